"""What Google's errors mean, over the wire and in the middle of streams."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.clock import SystemClock
from backend.kernel.secrets import SecretRef
from backend.providers.failures import UpstreamFailure
from backend.providers.gemini import GeminiProvider
from backend.providers.gemini_errors import google_failure
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings
from tests.fakes.byte_server import client
from tests.fakes.gemini_upstream import BAD_KEY, EXHAUSTED, OVERLOADED, TOO_LONG, GeminiUpstream, error, pieces, streamed, whole
from tests.providers.gemini.conftest import API_KEY

CASES = [
    pytest.param(BAD_KEY, "credentials", "upstream_credentials", None, id="key"),
    pytest.param(error(403, "PERMISSION_DENIED", "denied"), "credentials", "upstream_credentials", None, id="permission"),
    pytest.param(
        error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "credentials", "upstream_credentials", None,
        id="location",
    ),
    pytest.param(
        error(400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country. Please enable billing on your project."),
        "credentials", "upstream_credentials", None, id="billing",
    ),
    pytest.param(
        error(400, "INVALID_ARGUMENT", "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[billing]"
              ".properties: should be non-empty for OBJECT type"), "refused", None, None, id="a caller's field",
    ),
    pytest.param(
        error(400, "INVALID_ARGUMENT", "Invalid value at 'tools[0].type' (Type), \"API key not valid\""), "refused", None, None,
        id="a caller's value",
    ),
    pytest.param(TOO_LONG, "refused", "context_length_exceeded", None, id="too long"),
    pytest.param(EXHAUSTED, "rate_limited", "upstream_rate_limited", 37.0, id="quota"),
    pytest.param(OVERLOADED, "server", "upstream_error", None, id="overloaded"),
    pytest.param(error(500, "INTERNAL", "An internal error"), "server", "upstream_error", None, id="internal"),
    pytest.param(error(404, "NOT_FOUND", "models/x is not found"), "not_found", "model_not_found", None, id="model"),
    pytest.param(error(504, "DEADLINE_EXCEEDED", "too slow"), "timeout", "upstream_timeout", None, id="deadline"),
    pytest.param([error(400, "INVALID_ARGUMENT", "Unknown name")], "refused", None, None, id="in a list"),
]  # fmt: skip


def request() -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": "hi"}]}, "gemini-3-flash", 30, "00-0-0-01", 64)


def provider(http: Any, base_url: str) -> GeminiProvider:
    settings = ProviderSettings(protocol="gemini", base_url=base_url, api_key=SecretRef(API_KEY))
    return GeminiProvider("google", settings, http, SystemClock())


@pytest.mark.parametrize(("said", "kind", "code", "after"), CASES)
async def test_errors_by_status_and_as_an_event(said: Any, kind: str, code: str | None, after: float | None) -> None:
    status = (said[0] if isinstance(said, list) else said)["error"]["code"]
    async with GeminiUpstream() as google, client() as http:
        google.script(whole(said, status), whole(said, status), streamed(said), streamed(*pieces()[:2], said), whole(said))
        asked = provider(http, google.base_url)
        failures = []
        for streams in (False, True):
            with pytest.raises(UpstreamFailure) as caught:
                await (asked.open_stream if streams else asked.complete)(request())
            failures.append(caught.value)
        for before in (0, 2):
            stream = await asked.open_stream(request())
            heard = b""
            with pytest.raises(UpstreamFailure) as caught:
                while data := await stream.read():
                    heard += data
            assert heard.count(b"finish_reason") == before
            failures.append(caught.value)
        if isinstance(said, dict):
            with pytest.raises(UpstreamFailure) as caught:
                await asked.complete(request())
            failures.append(caught.value)
    for failure in failures:
        assert (failure.kind, failure.error.code, failure.retry_after) == (kind, code, after)
        assert API_KEY not in failure.error.message


async def test_a_key_that_is_not_there_is_no_request() -> None:
    async with GeminiUpstream() as google, client() as http:
        settings = ProviderSettings(protocol="gemini", base_url=google.base_url, api_key=SecretRef("env:NO_SUCH_KEY_OF_TESTS"))
        asked = GeminiProvider("google", settings, http, SystemClock())
        with pytest.raises(UpstreamFailure) as caught:
            await asked.complete(request())
        assert caught.value.kind == "credentials"
        assert google.requests == []


async def test_the_look_asks_for_the_models() -> None:
    async with GeminiUpstream() as google, client() as http:
        google.models = whole({"models": []})
        assert await provider(http, google.base_url).look(2) == 200
        assert google.looks[0].path == "/v1beta/models?pageSize=1"
        assert google.looks[0].headers["x-goog-api-key"] == API_KEY


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["error", "code", "details", "status", "x"]), inner),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(value=JSON, status=st.none() | st.integers(400, 599))
def test_no_error_body_is_beyond_us(value: Any, status: int | None) -> None:
    failure = google_failure("google", status, {"error": value}, unsaid=(API_KEY,))
    assert failure.error.status >= 400
    assert failure.retry_after is None or 0 <= failure.retry_after <= 3600
