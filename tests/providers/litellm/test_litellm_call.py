"""What litellm is called with and what its exceptions mean, without litellm."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.clock import SystemClock
from backend.kernel.errors import BadRequest
from backend.pricing.usage import Usage
from backend.providers.gemini_media import Fetched
from backend.providers.litellm_call import arguments, chunk_bytes, to_fetch, whole_answer
from backend.providers.litellm_errors import failure_of
from backend.providers.openai_usage import usage_from_openai

HI: list[Any] = [{"role": "user", "content": "hi"}]
URL = "https://example.org/a.png"
FOUND = {URL: Fetched("image/png", "aWk=")}
OURS = {"model", "messages", "max_tokens"}
NAMES = st.sampled_from(["temperature", "tools", "api_base", "messages", "content", "type", "image_url", "url", "file", "role", "metadata"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["image_url", "file", "text", URL])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4))


def test_only_fields_that_are_known_become_arguments() -> None:
    body = {"model": "mine", "messages": HI, "temperature": 0.5, "seed": None, "metadata": {}, "stream": False, "max_tokens": 9}
    assert arguments(body, "cohere_chat/x", "max_tokens", 5, {}) == {
        "model": "cohere_chat/x",
        "messages": HI,
        "temperature": 0.5,
        "max_tokens": 5,
    }
    assert arguments({"messages": HI, "stream": True}, "x", "max_completion_tokens", 5, {}) == {
        "model": "x",
        "messages": HI,
        "max_completion_tokens": 5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "image_url", "image_url": URL},
        {"type": "file", "file": {"file_data": URL, "filename": "a.png"}},
    ],
)
def test_bytes_go_instead_of_urls(part: dict[str, Any]) -> None:
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "?"}, part], "extra": 1}]
    assert [url for url, _, _ in to_fetch(messages)] == [URL]
    sent = arguments({"messages": messages}, "x", "max_tokens", None, FOUND)["messages"]
    assert "extra" not in sent[0]
    assert URL not in json.dumps(sent)
    assert "data:image/png;base64,aWk=" in json.dumps(sent)
    assert URL in json.dumps(messages)


@settings(max_examples=40)
@given(body=st.dictionaries(NAMES, JSON, max_size=4), content=JSON)
def test_whatever_a_caller_writes_is_said_or_refused(body: dict[str, Any], content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    try:
        wanted = {url: Fetched("image/png", "aWk=") for url, _, _ in to_fetch(messages)}
        said = arguments({**body, "messages": messages}, "x", "max_tokens", 5, wanted)
    except BadRequest:
        return
    assert set(said) <= OURS | {"temperature", "tools"}
    assert "api_base" not in said


def test_whole_answers_and_chunks_have_what_clients_look_for() -> None:
    value = whole_answer(
        {"id": "a", "choices": [{"index": 0, "message": {"role": "assistant"}}], "model": "cohere_chat/x"}, "cohere_chat/x"
    )
    assert (value["model"], whole_answer({"model": "x-2026"}, "cohere_chat/x")["model"]) == ("x", "x-2026")
    assert value["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": None, "refusal": None},
        "finish_reason": None,
        "logprobs": None,
    }
    end = {"id": "b", "choices": [{"index": 0, "delta": {}}], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    shown = json.loads(chunk_bytes(end, {"id": "a"})[6:])
    assert (shown["id"], shown["choices"], shown["usage"]["total_tokens"]) == ("a", [], 3)


def test_cached_tokens_are_counted_once() -> None:
    """As litellm reports Anthropic's: all within the prompt, and again beside it under Anthropic's names."""
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_creation_tokens": 100, "text_tokens": 300},
        "cache_read_input_tokens": 600,
        "cache_creation_input_tokens": 100,
        "completion_tokens_details": {"reasoning_tokens": 20, "text_tokens": 30},
    }
    assert usage_from_openai(usage) == Usage(input=300, cache_read=600, cache_write=100, output=30, reasoning=20)


def raised(name: str, message: str, *, bases: tuple[str, ...] = (), **more: Any) -> Exception:
    """An exception as litellm's are: by its classes' names, a message and a status."""
    kind: type[Exception] = Exception
    for base in reversed((name, *bases)):
        kind = type(base, (kind,), {})
    error = kind(message)
    error.message = message  # type: ignore[attr-defined]
    for field, value in more.items():
        setattr(error, field, value)
    return error


class Answered:
    headers = {"retry-after": "7"}


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (raised("ContextWindowExceededError", "x", bases=("BadRequestError",)), "refused", "context_length_exceeded"),
        (raised("ContentPolicyViolationError", "x", bases=("BadRequestError",)), "refused", "content_policy_violation"),
        (raised("PaymentRequiredError", "no money", bases=("BadRequestError",)), "credentials", "upstream_credentials"),
        (raised("PermissionDeniedError", "no"), "credentials", "upstream_credentials"),
        (raised("RateLimitError", "slow", response=Answered), "rate_limited", "upstream_rate_limited"),
        (raised("Timeout", "late"), "timeout", "upstream_timeout"),
        (raised("ImageFetchError", "no", bases=("BadRequestError",)), "refused", None),
        (raised("UnprocessableEntityError", "no"), "refused", None),
        (raised("MidStreamFallbackError", "x", original_exception=raised("RateLimitError", "y")), "rate_limited", "upstream_rate_limited"),
        (raised("APIConnectionError", "litellm.APIConnectionError: Server disconnected"), "reset", "upstream_error"),
        (raised("APIConnectionError", "litellm.APIConnectionError: Cannot connect to host 10.0.0.1"), "connect", "upstream_error"),
        (raised("APIConnectionError", "litellm.APIConnectionError: KeyError", status_code=500), "protocol", "upstream_error"),
        (raised("APIError", "odd", status_code=529), "server", "upstream_error"),
        (KeyError("x"), "protocol", "upstream_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_exceptions(error: Exception, kind: str, code: str | None) -> None:
    failure = failure_of("bridge", error, SystemClock())
    assert (failure.kind, failure.error.code) == (kind, code)
    assert failure.retry_after == (7.0 if getattr(error, "response", None) is Answered else None)


def test_words_of_refusals_are_cleaned() -> None:
    said = 'litellm.BadRequestError: CohereException - {"message": "bad sk-abcdef0123456789 at https://10.0.0.1/x"}'
    failure = failure_of("bridge", raised("BadRequestError", said), SystemClock(), ("zzz",))
    assert failure.error.message == "bad … at …"


def test_what_the_operator_gives_litellm_is_not_repeated_to_callers() -> None:
    secret = "wJalrXUtnFEMI/K7MDENG"
    error = raised("BadRequestError", f"litellm.BadRequestError: cannot sign with {secret}")
    failure = failure_of("acme", error, SystemClock(), ("sk-x", secret))
    assert failure.error.message.endswith("…")
    assert secret not in failure.error.message
