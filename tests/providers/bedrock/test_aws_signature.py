"""Signature Version 4, held to the signatures of AWS's own test suite (aws-sig-v4-test-suite)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from backend.providers.aws_signature import AwsCredentials, AwsSigner
from tests.fakes.bedrock_upstream import signature_of

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
WHEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQr"
    "mGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scq"
    "Kmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
PUBLISHED = [
    ("get-vanilla", "GET", "/", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-utf8", "GET", "/ሴ", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    (
        "get-unreserved",
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        {},
        b"",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    (
        "get-header-value-trim",
        "GET",
        "/",
        {"my-header1": " value1", "my-header2": ' "a   b   c"'},
        b"",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-header-key-duplicate",
        "GET",
        "/",
        {"my-header1": "value2,value2,value1"},
        b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "get-special-character",
        "GET",
        "/example/$delete",
        {},
        b"",
        "a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27",
    ),
    ("post-vanilla", "POST", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-header-key-sort",
        "POST",
        "/",
        {"my-header1": "value1"},
        b"",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-header-value-case",
        "POST",
        "/",
        {"my-header1": "VALUE1"},
        b"",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST",
        "/",
        {"content-type": FORM},
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    (
        "post-x-www-form-urlencoded-parameters",
        "POST",
        "/",
        {"content-type": f"{FORM}; charset=utf8"},
        b"Param1=value1",
        "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
    ),
]


def signed(method: str, path: str, headers: dict[str, str], body: bytes, token: str = "", now: datetime = WHEN) -> dict[str, str]:
    signer = AwsSigner(AwsCredentials("AKIDEXAMPLE", SECRET, token), "us-east-1", "service")
    return signer.headers(method, path, {"host": "example.amazonaws.com", **headers}, body, now)


@pytest.mark.parametrize(("method", "path", "headers", "body", "signature"), [pytest.param(*one[1:], id=one[0]) for one in PUBLISHED])
def test_published_signatures(method: str, path: str, headers: dict[str, str], body: bytes, signature: str) -> None:
    names = ";".join(sorted(["host", "x-amz-date", *headers]))
    assert signed(method, path, headers, body) == {
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}",
    }


def test_a_session_token_is_signed_too() -> None:
    # post-sts-header-before
    own = signed("POST", "/", {}, b"", TOKEN)
    assert own["x-amz-security-token"] == TOKEN
    assert own["authorization"].endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_the_key_of_a_day_is_not_used_on_the_next() -> None:
    signer = AwsSigner(AwsCredentials("AKIDEXAMPLE", SECRET), "us-east-1", "service")
    for day in range(3):
        now = WHEN + timedelta(days=day)
        assert signer.headers("GET", "/", {"host": "h"}, b"", now) == AwsSigner(
            AwsCredentials("AKIDEXAMPLE", SECRET), "us-east-1", "service"
        ).headers("GET", "/", {"host": "h"}, b"", now)


def test_the_time_is_utc_wherever_the_clock_is() -> None:
    assert signed("GET", "/", {}, b"", now=WHEN.astimezone(timezone(timedelta(hours=9)))) == signed("GET", "/", {}, b"")


def test_the_secret_shows_nowhere() -> None:
    credentials = AwsCredentials("AKIDEXAMPLE", SECRET, TOKEN)
    assert SECRET not in repr(credentials)
    assert TOKEN not in repr(credentials)


def test_the_fake_server_works_out_the_same() -> None:
    headers = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}
    told = signature_of("GET", "/", headers, "host;x-amz-date", b"", SECRET, "20150830/us-east-1/service")
    assert told == PUBLISHED[0][-1]
