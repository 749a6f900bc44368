"""What Bedrock's errors mean, whole and inside streams; and what is done about credentials that are no good."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from backend.kernel.errors import (
    BadRequest,
    BourseError,
    ContentPolicyViolation,
    ContextLengthExceeded,
    ModelNotFound,
    RequestTooLarge,
    UpstreamCredentials,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from backend.kernel.secrets import SecretRef
from backend.providers import aws_credentials
from backend.providers.bedrock import build
from backend.providers.bedrock_errors import bedrock_failure
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, Provider
from backend.settings import ProviderSettings
from tests.fakes.bedrock_upstream import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    BedrockUpstream,
    claude,
    converse,
    converse_body,
    encoded,
    exception,
    failing,
    streaming,
)
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import Step, whole
from tests.providers.bedrock.conftest import ACCOUNT, CLAUDE, NOVA, settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
Meaning = tuple[str, type[BourseError]]
ERRORS: list[tuple[str, int, str, Meaning]] = [
    ("ThrottlingException", 429, "Too many requests, please wait before trying again.", ("rate_limited", UpstreamRateLimited)),
    ("ServiceQuotaExceededException", 400, "You have reached your quota.", ("rate_limited", UpstreamRateLimited)),
    ("ServiceUnavailableException", 503, "Too many connections", ("server", UpstreamError)),
    ("InternalServerException", 500, "The system encountered an unexpected error", ("server", UpstreamError)),
    ("ModelNotReadyException", 429, "Model is not ready for inference.", ("server", UpstreamError)),
    ("ModelErrorException", 424, "The system encountered an error during processing.", ("server", UpstreamError)),
    ("ModelTimeoutException", 408, "Model has timed out in processing the request.", ("timeout", UpstreamTimeout)),
    ("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.", ("credentials", UpstreamCredentials)),
    ("UnrecognizedClientException", 403, "The security token included in the request is invalid.", ("credentials", UpstreamCredentials)),
    ("ValidationException", 400, "Operation not allowed", ("credentials", UpstreamCredentials)),
    ("ResourceNotFoundException", 404, "Model use case details have not been submitted for this account.", ("not_found", ModelNotFound)),
    ("ValidationException", 400, "The provided model identifier is invalid.", ("not_found", ModelNotFound)),
    (
        "ValidationException",
        400,
        "Invocation of model ID x with on-demand throughput isn’t supported. Retry your request with an inference profile.",
        ("not_found", ModelNotFound),
    ),
    ("ValidationException", 400, "Input is too long for requested model.", ("refused", ContextLengthExceeded)),
    ("ValidationException", 400, "prompt is too long: 210000 tokens > 200000 maximum", ("refused", ContextLengthExceeded)),
    (
        "ValidationException",
        400,
        "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
        ("refused", ContextLengthExceeded),
    ),
    (
        "ValidationException",
        400,
        "Too many input tokens. Max input tokens: 8192, request input token count: 9001",
        ("refused", ContextLengthExceeded),
    ),
    ("ValidationException", 400, "This request has been blocked by our content filters.", ("refused", ContentPolicyViolation)),
    (
        "ValidationException",
        400,
        "1 validation error detected: Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 25000000",
        ("refused", RequestTooLarge),
    ),
    ("ValidationException", 400, "A conversation must start with a user message.", ("refused", BadRequest)),
]
UNREADABLE: list[tuple[Step, str]] = [
    (whole(b"<html>", content_type="text/html"), "protocol"),
    (whole({"Output": {"__type": "com.amazon.coral.service#UnknownOperationException"}}), "protocol"),
    (whole({"type": "message", "content": 1}), "protocol"),
    (whole({**converse_body(), "output": None}), "protocol"),
]


def request(model: str = NOVA, **more: Any) -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": "hi"}]}, model, 30, "00-0-0-00", 100, **more)


async def failure_of(provider: Provider, asked: ChatRequest, *, stream: bool = False) -> UpstreamFailure:
    with pytest.raises(UpstreamFailure) as told:
        if stream:
            answer = await provider.open_stream(asked)
            while await answer.read():
                pass
        else:
            await provider.complete(asked)
    return told.value


async def test_errors_mean_what_they_say(provider: Provider, bedrock: BedrockUpstream) -> None:
    for kind, status, words, meaning in ERRORS:
        for model in (CLAUDE, NOVA):
            for stream in (False, True):
                bedrock.script(failing(status, kind, words))
                failure = await failure_of(provider, request(model), stream=stream)
                assert (failure.kind, type(failure.error)) == meaning, words
                assert failure.status == (401 if kind == "UnrecognizedClientException" else status)


async def test_exceptions_in_a_stream_mean_the_same(provider: Provider, bedrock: BedrockUpstream) -> None:
    for kind, _, words, meaning in ERRORS:
        for model in (CLAUDE, NOVA):
            bedrock.script(streaming(exception(kind[0].lower() + kind[1:], words)))
            failure = await failure_of(provider, request(model), stream=True)
            assert (failure.kind, type(failure.error)) == meaning, words


async def test_a_models_own_error_is_whatever_the_model_says(provider: Provider, bedrock: BedrockUpstream) -> None:
    told: list[tuple[int, str, Meaning]] = [
        (400, "prompt is too long", ("refused", ContextLengthExceeded)),
        (429, "busy", ("rate_limited", UpstreamRateLimited)),
        (403, "the model's key", ("server", UpstreamError)),
        (500, "oh", ("server", UpstreamError)),
    ]
    for status, words, meaning in told:
        bedrock.script(failing(424, "ModelErrorException", words, originalStatusCode=status, resourceName="x"))
        failure = await failure_of(provider, request())
        assert (failure.kind, type(failure.error)) == meaning
        wire = exception("modelStreamErrorException", "The model failed.", originalStatusCode=status, originalMessage=words)
        bedrock.script(streaming(wire))
        failure = await failure_of(provider, request(), stream=True)
        assert (failure.kind, type(failure.error)) == meaning


async def test_an_error_message_of_the_stream_itself_has_its_code_in_headers(provider: Provider, bedrock: BedrockUpstream) -> None:
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "An internal server error occurred"}
    bedrock.script(streaming(encoded(headers, b"")))
    failure = await failure_of(provider, request(), stream=True)
    assert (failure.kind, failure.status) == ("server", 500)


async def test_what_is_no_answer_is_none(provider: Provider, bedrock: BedrockUpstream) -> None:
    for step, kind in UNREADABLE:
        for model in (CLAUDE, NOVA):
            for stream in (False, True):
                bedrock.script(step)
                failure = await failure_of(provider, request(model), stream=stream)
                assert failure.kind == kind
                # A whole answer that cannot be read is going to be billed all the same.
                assert failure.status == (None if stream else 200)


async def test_a_malformed_answer_is_asked_for_elsewhere(provider: Provider, bedrock: BedrockUpstream) -> None:
    bedrock.script(converse(stop="malformed_tool_use"))
    for stream in (False, True):
        failure = await failure_of(provider, request(), stream=stream)
        assert failure.kind == "protocol"
        assert failure.elsewhere


async def test_a_damaged_stream_is_given_up_after_what_was_good(provider: Provider, bedrock: BedrockUpstream) -> None:
    bedrock.script(streaming(encoded({":message-type": "event", ":event-type": "messageStart"}, b'{"role":"assistant"}') + b"x" * 16))
    answer = await provider.open_stream(request())
    assert b'"assistant"' in await answer.read()
    with pytest.raises(UpstreamFailure) as told:
        await answer.read()
    assert told.value.kind == "protocol"


@pytest.mark.parametrize("kind", ["com.amazon.coral.service#ThrottlingException", "throttlingException", "ThrottlingException:http://x/"])
async def test_a_type_is_the_same_however_it_is_written(kind: str) -> None:
    assert bedrock_failure("aws", None, kind, {}).kind == "rate_limited"


# ── credentials ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_wrong_signature_a_wrong_region_and_a_clock_that_differs_are_told_apart(bedrock: BedrockUpstream) -> None:
    bedrock.script(claude())
    async with client() as http:
        wrong = build("aws", settings(bedrock, aws_secret_access_key="x" * 40), http)
        refused = await failure_of(wrong, request(CLAUDE))
        assert (refused.kind, refused.status) == ("credentials", 401)
        assert await wrong.look(2) == 401
        elsewhere = build("aws", settings(bedrock, region="eu-central-1"), http)
        assert (await failure_of(elsewhere, request(CLAUDE))).kind == "credentials"
        right = build("aws", settings(bedrock), http)
        bedrock.clock_ahead = timedelta(minutes=9)
        try:
            failure = await failure_of(right, request(CLAUDE))
        finally:
            bedrock.clock_ahead = timedelta(0)
        assert failure.kind == "credentials"
        assert "clock" in failure.error.message
        await right.complete(request(CLAUDE))


async def test_a_callers_words_in_an_error_take_the_provider_from_nobody(provider: Provider, bedrock: BedrockUpstream) -> None:
    for words in (
        "messages.0: 'Signature expired: operation not allowed' is no role",
        "Signature not yet current",
        "the value 'You don't have access to the model' is not authorized to perform",
    ):
        bedrock.script(failing(400, "ValidationException", words))
        failure = await failure_of(provider, request())
        assert (failure.kind, type(failure.error)) == ("refused", BadRequest)
        assert not failure.blames_provider


async def test_an_api_key_of_bedrocks_is_sent_instead_of_a_signature(bedrock: BedrockUpstream) -> None:
    bedrock.script(claude())
    bedrock.bearer = "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3M"
    given = ProviderSettings(protocol="bedrock", base_url=bedrock.base_url, api_key=SecretRef(bedrock.bearer), metadata={"region": REGION})
    try:
        async with client() as http:
            provider = build("aws", given, http)
            await provider.complete(request(CLAUDE))
            assert await provider.look(2) == 200
    finally:
        bedrock.bearer = None
    assert bedrock.looks[0].path == "/foundation-models"


async def test_it_is_looked_at_by_its_list_of_models(provider: Provider, bedrock: BedrockUpstream) -> None:
    assert await provider.look(2) == 200
    assert bedrock.looks[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 ")


@pytest.fixture
def credentials_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    return file


def profile(key: str, secret: str, token: str = "") -> str:
    return f"[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\naws_session_token = {token}\nregion = {REGION}\n"


async def test_temporary_credentials_that_have_ended_are_read_anew_and_the_call_is_made(
    bedrock: BedrockUpstream, credentials_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_credentials, "LOOK_SECONDS", 0)
    bedrock.script(converse())
    bedrock.secrets |= {"ASIAOLD": ("old-secret", "old-token"), "ASIANEW": ("new-secret", "new-token")}
    credentials_file.write_text(profile("ASIAOLD", "old-secret", "old-token"))
    async with client() as http:
        given = ProviderSettings(protocol="bedrock", base_url=bedrock.base_url, metadata={"aws_profile": "work"})
        provider = build("aws", given, http)
        await provider.complete(request())
        bedrock.expired.add("ASIAOLD")
        assert (await failure_of(provider, request())).kind == "credentials"
        credentials_file.write_text(profile("ASIANEW", "new-secret", "new-token"))
        await provider.complete(request())
        assert bedrock.requests[-1].headers["x-amz-security-token"] == "new-token"


async def test_without_credentials_nobody_is_asked(bedrock: BedrockUpstream, credentials_file: Path) -> None:
    async with client() as http:
        for metadata in ({"region": REGION}, {"region": REGION, "aws_profile": "nobody"}, {"aws_access_key_id": ACCESS_KEY}):
            provider = build("aws", ProviderSettings(protocol="bedrock", base_url=bedrock.base_url, metadata=metadata), http)
            assert (await failure_of(provider, request())).kind == "credentials"
    assert not bedrock.requests
    assert not credentials_file.exists()


async def test_a_candidate_may_have_an_account_and_a_region_of_its_own(provider: Provider, bedrock: BedrockUpstream) -> None:
    bedrock.script(converse())
    bedrock.secrets["AKIDOTHER"] = ("other-secret", "")
    own = {"aws_access_key_id": "AKIDOTHER", "aws_secret_access_key": "other-secret", "bedrock_chat_format": "converse"}
    await provider.complete(request(CLAUDE, metadata=own))
    assert "Credential=AKIDOTHER/" in bedrock.requests[0].headers["authorization"]
    assert bedrock.requests[0].path.endswith("/converse")
    # Nobody else has it.
    await provider.complete(request())
    assert f"Credential={ACCESS_KEY}/" in bedrock.requests[1].headers["authorization"]
    failure = await failure_of(provider, request(metadata={"region": "eu-central-1"}))
    # A key that is not taken there is no reason to leave out the provider.
    assert (failure.kind, failure.status) == ("credentials", 403)
    assert f"/{REGION}/" in bedrock.requests[1].headers["authorization"]
    assert "/eu-central-1/" in bedrock.requests[2].headers["authorization"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"bedrock_chat_format": "grpc"},
        {"bedrock_default_max_tokens": 0},
        {"region": "../x"},
        {"aws_secret_key": "typo"},
        {"bedrock_image_size": 1},
    ],
)
async def test_metadata_that_cannot_be_is_refused_when_it_is_built(metadata: dict[str, Any]) -> None:
    async with client() as http:
        with structlog.testing.capture_logs() as logs, pytest.raises(ValueError, match=r"metadata\."):
            build("aws", ProviderSettings(protocol="bedrock", metadata={"region": REGION, **metadata}), http)
        assert logs[0]["reason"].startswith(f"metadata.{next(iter(metadata))}")
        # Of a candidate's there is nobody to tell before it is asked; another one may answer.
        provider = build("aws", ProviderSettings(protocol="bedrock", metadata=ACCOUNT), http)
        failure = await failure_of(provider, request(metadata=metadata))
        assert failure.elsewhere
        assert not failure.blames_provider


async def test_the_default_cap_is_sent_where_nobody_sets_one(bedrock: BedrockUpstream) -> None:
    bedrock.script(claude(), converse())
    async with client() as http:
        provider = build("aws", settings(bedrock, bedrock_default_max_tokens=321), http)
        for model in (CLAUDE, NOVA):
            asked = request(model)
            asked.cap = None
            await provider.complete(asked)
    assert bedrock.requests[0].body["max_tokens"] == 321
    assert bedrock.requests[1].body["inferenceConfig"] == {"maxTokens": 321}


async def test_an_arn_is_a_model(provider: Provider, bedrock: BedrockUpstream) -> None:
    bedrock.script(converse())
    await provider.complete(request("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3"))
    path = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2c3/converse"
    assert bedrock.requests[0].path == path
    assert SECRET_KEY not in str(bedrock.requests[0].headers)
