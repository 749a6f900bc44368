"""What a provider's failure becomes, and what of its words a caller may read."""

from datetime import UTC, datetime
from typing import Any

import pytest

from backend.kernel.clock import FixedClock
from backend.providers.failures import failure_from_error_body, readable_reason, retry_after_seconds, status_of_error

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)


def openai_error(message: str, code: Any = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (
            400,
            openai_error("This model's maximum context length is 128000 tokens. However, you requested 200000."),
            "context_length_exceeded",
        ),
        (400, openai_error("prompt is too long: 210000 tokens > 200000 maximum"), "context_length_exceeded"),
        (400, openai_error("x", "context_length_exceeded"), "context_length_exceeded"),
        (
            400,
            openai_error("The response was filtered due to the prompt triggering Azure's content management policy."),
            "content_policy_violation",
        ),
        (403, openai_error("blocked", "content_filter"), "content_policy_violation"),
        (403, {"error": {"code": 403, "message": "m requires moderation, and your input was flagged"}}, "content_policy_violation"),
        (400, openai_error("x", "unsupported_parameter"), "unsupported_parameter"),
        (451, openai_error("x", "content_filter"), "content_policy_violation"),
        (400, openai_error("x"), None),
        (422, None, None),
    ],
)
def test_refusals_keep_their_meaning_and_only_what_another_may_know_or_hold_is_asked_elsewhere(
    status: int, body: Any, code: str | None
) -> None:
    failure = failure_from_error_body("acme", status, body)
    assert (failure.kind, failure.error.status, failure.error.code) == ("refused", 400, code)
    assert failure.elsewhere is (code in ("context_length_exceeded", "unsupported_parameter"))


# As callers of these providers have reported them.
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"message": "You exceeded your current quota, please check your plan and billing details.", "type": "insufficient_quota",
               "param": None, "code": "insufficient_quota"}),
        (429, {"message": "You exceeded your current quota.", "type": "insufficient_quota", "param": None, "code": None}),
        (429, {"message": "Your account is not active.", "type": "billing_not_active", "param": None, "code": "billing_not_active"}),
        (400, {"message": "Billing hard limit has been reached", "type": "invalid_request_error", "code": "billing_hard_limit_reached"}),
        (400, {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}),
        (400, {"type": "invalid_request_error", "message": "You have reached your specified API usage limits. You will regain access on "
               "2026-04-01 at 00:00 UTC."}),
        (400, {"type": "invalid_request_error", "message": "This organization has been disabled."}),
        (402, {"code": 402, "message": "Insufficient credits. Add more using https://openrouter.ai/credits"}),
    ],
)  # fmt: skip
def test_an_account_that_cannot_pay_is_the_operators_affair_whatever_its_status(status: int, error: dict[str, Any]) -> None:
    failure = failure_from_error_body("acme", status, {"error": error})
    assert (failure.kind, failure.status, failure.may_pass, failure.elsewhere) == ("credentials", 402, False, True)


@pytest.mark.case("U6")
@pytest.mark.parametrize("word", ["Your credit balance is too low", "insufficient_quota", "This organization has been disabled"])
def test_what_a_caller_wrote_takes_no_provider_from_others(word: str) -> None:
    """OpenAI and others quote a value that they do not know."""
    failure = failure_from_error_body("acme", 400, openai_error(f"Invalid value: '{word}'. Supported values are: 'auto'."))
    assert (failure.kind, failure.blames_provider) == ("refused", False)


def test_a_key_that_may_not_do_something_is_no_policy_that_the_request_met() -> None:
    said = openai_error("You have insufficient permissions for this operation. Missing scopes: api.model.moderations.request")
    assert failure_from_error_body("acme", 401, said).kind == "credentials"


def test_a_request_that_no_wait_makes_small_enough_is_no_limit_that_passes() -> None:
    words = "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 39143."
    failure = failure_from_error_body("acme", 429, openai_error(words, "rate_limit_exceeded", "tokens"))
    assert (failure.kind, failure.error.code, failure.elsewhere) == ("refused", "request_too_large", True)
    assert (failure.may_pass, failure.blames_provider) == (False, False)
    usual = openai_error("Rate limit reached for gpt-4o in organization org-x", "rate_limit_exceeded", "tokens")
    assert failure_from_error_body("acme", 429, usual).kind == "rate_limited"


@pytest.mark.parametrize(
    "words",
    [
        "request (5120 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        "Invalid request: Your request exceeded model token limit: 8192",
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
    ],
    ids=["llama.cpp", "xAI", "Moonshot", "Gemini's OpenAI API"],
)
def test_a_prompt_that_is_too_long_in_the_words_of_others(words: str) -> None:
    assert failure_from_error_body("acme", 400, openai_error(words)).too_long


@pytest.mark.parametrize("status", [405, 406, 410, 418, 421, 425, 431, 451, 499])
def test_a_status_that_is_no_refusal_of_the_request_is_asked_elsewhere_and_blames_nobody(status: int) -> None:
    failure = failure_from_error_body("acme", status, openai_error("secret words"))
    assert (failure.kind, failure.status, failure.error.status) == ("protocol", status, 502)
    assert (failure.elsewhere, failure.may_pass, failure.blames_provider) == (True, False, False)
    assert "secret words" not in failure.error.message


def test_a_request_that_is_too_large_for_one_may_be_asked_elsewhere() -> None:
    failure = failure_from_error_body("acme", 413, openai_error("Request too large."))
    assert (failure.kind, failure.error.status, failure.error.code) == ("refused", 413, "request_too_large")
    assert (failure.elsewhere, failure.may_pass, failure.blames_provider) == (True, False, False)


def test_the_name_of_a_field_is_cleaned_like_a_reason() -> None:
    body = {"error": {"message": "x", "param": "https://10.0.0.7:8000/v1 sk-proj-abcdefghijklmnop hunter2\x1b"}}
    param = failure_from_error_body("acme", 400, body, unsaid=("hunter2",)).error.param
    assert param is not None
    assert not any(word in param for word in ("10.0.0.7", "sk-proj", "hunter2", "\x1b"))


@pytest.mark.parametrize(
    ("status", "kind", "seen"),
    [(401, "credentials", 502), (402, "credentials", 502), (403, "credentials", 502), (404, "not_found", 404),
     (408, "timeout", 504), (409, "server", 502),
     (429, "rate_limited", 429), (500, "server", 502), (503, "server", 502), (504, "timeout", 504), (529, "server", 502)],
)  # fmt: skip
def test_everything_else_may_be_asked_elsewhere(status: int, kind: str, seen: int) -> None:
    failure = failure_from_error_body("acme", status, openai_error("secret words of the provider"))
    assert (failure.kind, failure.elsewhere, failure.error.status) == (kind, True, seen)
    assert "secret words" not in failure.error.message


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": 429}}, 429),
        ({"error": {"code": "503"}}, 503),
        ({"error": {"status": 400}}, 400),
        ({"error": {"code": 200}}, 502),
        ({"error": {"code": True}}, 502),
        ({"error": {"type": "rate_limit_error"}}, 429),
        ({"error": {"code": "content_filter"}}, 400),
        ({"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}, 402),
        ({"error": {"type": "authentication_error"}}, 401),
        ({"error": "x"}, 502),
        ({"error": []}, 502),
    ],
)
def test_the_status_that_an_error_inside_a_200_stands_for(body: dict[str, Any], status: int) -> None:
    assert status_of_error(body) == status


@pytest.mark.case("U6")
@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnop", "sk-ant-api03-xxxxxxxxxxxx", "Bearer abc.def.ghijkl", "https://internal.example/v1?key=1",
        "10.0.0.7:8000", "AKIAIOSFODNN7EXAMPLEAKIAIOSFODNN7", "gsk_0123456789abcdef", "sk-****************************abcd", "ftp://x",
        "org-kcWTmUe32aiccWNe", "proj_abc123",
    ],
)  # fmt: skip
def test_secrets_and_addresses_are_cut_out_of_a_reason(secret: str) -> None:
    shown = readable_reason(f"Incorrect value {secret} was given")
    assert secret not in shown
    assert shown.startswith("Incorrect value")
    assert shown.endswith("was given")


def test_a_credential_that_looks_like_nothing_is_cut_out_because_we_know_it() -> None:
    assert "hunter2" not in readable_reason("your key hunter2 is wrong", unsaid=("hunter2",))


def test_a_reason_is_one_printable_line_of_bounded_length() -> None:
    shown = readable_reason("a\r\nb\x1b[31m\u2028c\u202e" + "word " * 10_000)
    assert shown.isprintable()
    assert len(shown) <= 400


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0), ("0.5", 0.5), ("1000000000", 3600.0), ("-1", None), ("nan", None), ("inf", 3600.0), ("soon", None), ("", None),
        (None, None), ("Wed, 15 Jul 2026 12:00:30 GMT", 30.0), ("Wed, 15 Jul 2020 12:00:30 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None), ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_in_all_its_spellings(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, FixedClock(NOW)) == seconds
