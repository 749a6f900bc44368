"""Where AWS credentials are found, and when they are looked for again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from backend.kernel.addresses import AddressPolicy
from backend.kernel.clock import SystemClock
from backend.providers.aws_credentials import CredentialSource, profile_region
from backend.providers.aws_signature import AwsCredentials
from backend.providers.bedrock_account import BedrockAccount
from backend.providers.http import UpstreamHttp

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-secret"}


class Clock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = default%secret\n"
        "[work]\naws_access_key_id=AKIDWORK\naws_secret_access_key=work-secret\naws_session_token=work-token\nregion=eu-west-1\n"
        "[half]\naws_access_key_id=AKIDHALF\n"
    )
    return path


def source(environment: dict[str, str], file: Path, clock: Clock | None = None, **metadata: Any) -> CredentialSource:
    return CredentialSource("aws", metadata, clock or Clock(), {"AWS_SHARED_CREDENTIALS_FILE": str(file), **environment})


def test_the_first_place_that_names_an_account_counts(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_SECRET", "own-secret")
    own = {"aws_access_key_id": "AKIDOWN", "aws_secret_access_key": "env:OWN_SECRET"}
    assert source(KEYS, file, aws_profile="work", **own).current() == AwsCredentials("AKIDOWN", "own-secret")
    assert source(KEYS, file, aws_profile="work").current() == AwsCredentials("AKIDWORK", "work-secret", "work-token")
    assert source(KEYS, file).current() == AwsCredentials("AKIDENV", "env-secret")
    assert source({**KEYS, "AWS_SESSION_TOKEN": "t"}, file).current() == AwsCredentials("AKIDENV", "env-secret", "t")
    assert source({"AWS_PROFILE": "work"}, file).current() == AwsCredentials("AKIDWORK", "work-secret", "work-token")
    assert source({}, file).current() == AwsCredentials("AKIDDEFAULT", "default%secret")


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"aws_profile": "nobody"}, "there is no profile 'nobody'"),
        ({"aws_profile": "half"}, "has no aws_access_key_id and aws_secret_access_key"),
        ({"aws_access_key_id": "AKID"}, "metadata.aws_secret_access_key is not set"),
        ({"aws_secret_access_key": "s"}, "metadata.aws_access_key_id is not set"),
        (
            {"aws_access_key_id": "AKID", "aws_secret_access_key": "env:NO_SUCH_VARIABLE_HERE"},
            "env:NO_SUCH_VARIABLE_HERE is empty or not set",
        ),
    ],
)
def test_what_is_missing_is_said_in_the_log_and_never_what_is_there(file: Path, metadata: dict[str, str], says: str) -> None:
    with structlog.testing.capture_logs() as logs:
        assert source({}, file, **metadata).current() is None
    assert says in logs[0]["reason"]
    assert "secret" not in logs[0]["reason"].replace("aws_secret_access_key", "")


@pytest.mark.parametrize("text", ["no section = canary", "[work\ncanary", "[work]\nx=1\n[work]\ny=canary", b"\xff\xfe"])
def test_a_file_that_is_none_is_not_quoted(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "credentials"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with structlog.testing.capture_logs() as logs:
        assert source({}, file, aws_profile="work").current() is None
    assert logs[0]["reason"] == "the file of profiles is no INI file"
    assert profile_region("work", {"AWS_SHARED_CREDENTIALS_FILE": str(file)}) is None


def test_a_missing_file_is_looked_for_again_but_not_at_every_call(tmp_path: Path, file: Path) -> None:
    clock, missing = Clock(), tmp_path / "later"
    found = source({}, missing, clock)
    with structlog.testing.capture_logs() as logs:
        assert [found.current(), found.current(), found.current()] == [None, None, None]
    assert len(logs) == 1
    missing.write_text(file.read_text())
    assert found.current() is None
    clock.time += timedelta(seconds=10)
    assert found.current() == AwsCredentials("AKIDDEFAULT", "default%secret")


@pytest.mark.parametrize("end", ["2026-03-01T13:00:00Z", "2026-03-01T13:00:00+00:00", "2026-03-01T14:00:00+01:00", "2026-03-01 13:00:00"])
def test_temporary_ones_are_read_again_a_minute_before_their_end(tmp_path: Path, end: str) -> None:
    clock, file = Clock(), tmp_path / "credentials"
    text = "[default]\naws_access_key_id=ASIA{0}\naws_secret_access_key=s{0}\naws_session_token=t{0}\nexpiration={1}\n"
    file.write_text(text.format(1, end))
    found = source({}, file, clock)
    assert found.current() == AwsCredentials("ASIA1", "s1", "t1")
    file.write_text(text.format(2, "2026-03-01T15:00:00Z"))
    clock.time = NOON + timedelta(minutes=58)
    assert found.current() == AwsCredentials("ASIA1", "s1", "t1")
    clock.time = NOON + timedelta(minutes=59, seconds=1)
    assert found.current() == AwsCredentials("ASIA2", "s2", "t2")


def test_those_of_the_environment_too_and_old_ones_are_kept_while_there_are_no_others() -> None:
    clock, environment = Clock(), {**KEYS, "AWS_SESSION_TOKEN": "t1", "AWS_CREDENTIAL_EXPIRATION": "2026-03-01T13:00:00Z"}
    found = CredentialSource("aws", {}, clock, environment)
    first = AwsCredentials("AKIDENV", "env-secret", "t1")
    assert found.current() == first
    environment["AWS_SESSION_TOKEN"] = "t2"
    assert found.current() == first
    clock.time += timedelta(hours=1)
    assert found.current() == AwsCredentials("AKIDENV", "env-secret", "t2")
    environment.clear()
    environment["AWS_SHARED_CREDENTIALS_FILE"] = "/nowhere"
    clock.time += timedelta(seconds=10)
    assert found.current() == AwsCredentials("AKIDENV", "env-secret", "t2")


def test_refused_ones_are_looked_for_again_and_only_others_are_worth_a_try(file: Path) -> None:
    clock = Clock()
    found = source({}, file, clock, aws_profile="work")
    first = found.current()
    assert first is not None
    clock.time += timedelta(seconds=10)
    assert not found.renewed(first)
    file.write_text("[work]\naws_access_key_id=ASIANEW\naws_secret_access_key=s\n")
    assert not found.renewed(first), "a place is not looked at more than once in ten seconds"
    clock.time += timedelta(seconds=10)
    assert found.renewed(first)
    assert found.current() == AwsCredentials("ASIANEW", "s")


def test_a_profile_may_name_its_region(file: Path) -> None:
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert profile_region("work", environment) == "eu-west-1"
    assert profile_region(None, {**environment, "AWS_PROFILE": "work"}) == "eu-west-1"
    assert profile_region(None, environment) is None
    assert profile_region("nobody", environment) is None


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "bedrock-runtime.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_a_region_has_its_address(region: str, host: str) -> None:
    account = BedrockAccount("aws", {"region": region}, None, "", SystemClock(), UpstreamHttp(AddressPolicy()))
    assert account.runtime_url == f"https://{host}"
    assert account.models_url == f"https://{host.replace('-runtime', '')}/foundation-models"


def test_the_region_is_the_metadatas_else_the_environments(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    told = []
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    told.append(BedrockAccount("aws", {"aws_profile": "work"}, None, "", SystemClock(), UpstreamHttp(AddressPolicy())).region)
    for name, value in (("AWS_DEFAULT_REGION", "us-east-2"), ("AWS_REGION", "us-west-2")):
        monkeypatch.setenv(name, value)
        told.append(BedrockAccount("aws", {"aws_profile": "work"}, None, "", SystemClock(), UpstreamHttp(AddressPolicy())).region)
    told.append(BedrockAccount("aws", {"region": "eu-north-1"}, None, "", SystemClock(), UpstreamHttp(AddressPolicy())).region)
    assert told == ["eu-west-1", "us-east-2", "us-west-2", "eu-north-1"]
