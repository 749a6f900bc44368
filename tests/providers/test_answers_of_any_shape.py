"""Whatever a provider or a metadata server answers is an answer, or is said to be none: nothing that comes over the wire is a crash."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.secrets import SecretUnavailable
from backend.providers import bedrock_cohere
from backend.providers.access_token import _granted as token_of
from backend.providers.aws_roles import _assumed, _granted
from backend.providers.failures import UpstreamFailure
from backend.providers.gemini_answer import Identity, chat_completion
from backend.providers.google_generated import generating
from backend.providers.huggingface_media import picture_answer, transcript_answer
from backend.providers.litellm_operations import operation_answer
from backend.providers.metadata_server import Told
from backend.providers.openrouter_operations import read, searches
from backend.providers.provider import Operation, OperationAnswer, OperationRequest, Upload

WAV = b"RIFF\x24\0\0\0WAVE"
NAMES = st.sampled_from([
    "candidates", "content", "parts", "text", "inlineData", "mimeType", "data", "finishReason", "usageMetadata", "promptTokenCount",
    "candidatesTokenCount", "usage", "seconds", "input_tokens", "output_tokens", "search_units", "cost", "embeddings", "float", "results",
    "index", "relevance_score", "AccessKeyId", "SecretAccessKey", "Token", "Expiration", "Code", "Message", "access_token", "expires_in",
    "expires_on", "b64_json", "duration", "prompt_tokens", "completion_tokens", "total_tokens",
])  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6)
    | st.sampled_from(["STOP", "image/png", "audio/L16;rate=24000", "aGk=", "2026-03-01T13:00:00Z", "12"])
)  # fmt: skip
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=8)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=6)


def asked(operation: Operation) -> OperationRequest:
    body = {"model": "m", "prompt": "x", "input": "x"} if operation != "audio.transcriptions" else {"model": "m"}
    body = {"model": "m", "input": "x"} if operation == "audio.speech" else {"model": "m", "prompt": "x"} if "images" in operation else body
    uploads = (Upload("a", "b", WAV),) if operation == "audio.transcriptions" else ()
    return OperationRequest(body, "gemini-3-flash", 30, "00-0-0-01", operation=operation, uploads=uploads)


def sound(answer: OperationAnswer) -> None:
    """What is counted can be charged."""
    assert answer.usage is None or all(0 <= amount < 2**40 for amount in answer.usage)


@settings(max_examples=60)
@given(JSON, st.sampled_from(["images.generations", "audio.speech", "audio.transcriptions"]))
def test_gemini(parts: Any, operation: Operation) -> None:
    _, reads = generating(asked(operation))
    told = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}], "usageMetadata": parts}
    with suppress(UpstreamFailure):
        sound(reads(chat_completion(told, Identity("g", "m", "id", 1)), "g"))


@settings(max_examples=60)
@given(OBJECTS, st.sampled_from(["images.generations", "audio.transcriptions"]))
def test_openrouter(value: dict[str, Any], operation: Operation) -> None:
    sound(read(asked(operation), value))
    units = searches(value.get("usage"))
    assert units is None or units.requests > 0


@settings(max_examples=60)
@given(OBJECTS, st.sampled_from(["embeddings", "rerank", "images.generations", "audio.transcriptions"]))
def test_litellm(value: dict[str, Any], operation: Operation) -> None:
    with suppress(UpstreamFailure):
        sound(operation_answer(asked(operation), value))


@settings(max_examples=60)
@given(JSON, st.binary(max_size=12))
def test_huggingface(value: Any, data: bytes) -> None:
    for reads in (lambda: transcript_answer(value, "hf", plain=False), lambda: picture_answer(data, "hf", 1)):
        with suppress(UpstreamFailure):
            sound(reads())


@settings(max_examples=60)
@given(OBJECTS)
def test_cohere_on_bedrock(value: dict[str, Any]) -> None:
    """What cannot be read raises what `BedrockProvider` knows as that."""
    for reads in (lambda: bedrock_cohere.embedding_answer(value, "m", 3)[1], lambda: bedrock_cohere.ranking_answer(value, "m")):
        with suppress(LookupError, TypeError, AttributeError):
            assert reads() is not None


@settings(max_examples=60)
@given(OBJECTS, st.sampled_from([200, 401, 500]))
def test_the_metadata_servers_of_aws(value: dict[str, Any], status: int) -> None:
    with suppress(SecretUnavailable):
        found = _granted(Told(status, json.dumps(value)), "the server").credentials
        assert status == 200
        assert all(isinstance(part, str) and part.isprintable() for part in (found.access_key, found.session_token))


@settings(max_examples=60)
@given(OBJECTS)
def test_azures_tokens(value: dict[str, Any]) -> None:
    try:
        token, seconds = token_of(value, 1000.0)
    except UpstreamFailure:
        return
    assert token
    assert isinstance(seconds, float)


@settings(max_examples=60)
@given(st.text(alphabet="<>/AccessKeyIdSecretToken&;#1 ", max_size=80), st.sampled_from([200, 403]))
async def test_what_sts_says(text: str, status: int) -> None:
    async def told(*_: Any) -> Told:
        return Told(status, f"<AccessKeyId>{text}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><Code>{text}</Code>")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.providers.aws_roles.asked", told)
        with pytest.raises(SecretUnavailable):
            await _assumed(None, "https://sts", {"RoleArn": "r"}, {})  # type: ignore[arg-type]
