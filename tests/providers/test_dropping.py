"""Nothing that a caller says is lost in silence: each adapter says it, refuses it by name, or it is left out and named."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.anthropic_betas import beta_lines
from backend.providers.anthropic_request import messages_body
from backend.providers.bedrock_claude import claude_body
from backend.providers.bedrock_cohere import embedding_body as cohere_body
from backend.providers.bedrock_request import converse_body
from backend.providers.bedrock_titan import embedding_body, image_body
from backend.providers.dropping import DROPPABLE, HINTS, leave_out
from backend.providers.gemini_request import gemini_body
from backend.providers.google_embeddings import batch_body, prediction_body
from backend.providers.google_pictures import picture_body
from backend.providers.huggingface_embeddings import extraction_body
from backend.providers.litellm_call import arguments
from backend.providers.nested_hints import hints_within, without_hints
from backend.providers.openrouter_operations import body_of
from backend.providers.provider import ChatRequest, OperationRequest

Body = Mapping[str, Any]
PICTURE = "data:image/png;base64,iVBORw0KGgo="
MARK = {"type": "ephemeral"}


def anthropic(model: str) -> Callable[[Body], Any]:
    return lambda body: (messages_body(body, model, 5000, stream=False), beta_lines(body.get("anthropic_beta")))


CHAT: dict[str, Callable[[Body], Any]] = {
    "anthropic 4.5": anthropic("claude-sonnet-4-5"),
    "anthropic 4.8": anthropic("claude-opus-4-8"),
    "anthropic fable": anthropic("claude-fable-5"),
    "claude on bedrock": lambda body: claude_body(body, "anthropic.claude-sonnet-4-5", 5000, {}),
    "nova": lambda body: converse_body(body, "amazon.nova-pro-v1:0", 5000),
    "nova 2": lambda body: converse_body(body, "amazon.nova-2-lite-v1:0", 5000),
    "gpt-oss on bedrock": lambda body: converse_body(body, "openai.gpt-oss-20b-1:0", 5000),
    "gemini 2": lambda body: gemini_body(body, "gemini-2.0-flash", 5000),
    "gemini 2.5": lambda body: gemini_body(body, "gemini-2.5-flash", 5000),
    "gemini 2.5 pro": lambda body: gemini_body(body, "gemini-2.5-pro", 5000),
    "gemini 3": lambda body: gemini_body(body, "gemini-3-flash", 5000),
    "litellm": lambda body: arguments(body, "cohere_chat/x", "max_tokens", 5000, {}),
}
OPERATIONS: dict[str, Callable[[Body], Any]] = {
    "titan": lambda body: embedding_body(body, "amazon.titan-embed-text-v2:0", {}),
    "titan 1": lambda body: embedding_body(body, "amazon.titan-embed-text-v1", {}),
    "titan's pictures": lambda body: image_body(body, {}),
    "gemini's vectors": lambda body: batch_body(body, "gemini-embedding-001"),
    "vertex's vectors": lambda body: prediction_body(body),
    "hugging face": lambda body: extraction_body(body, {}),
    "cohere on bedrock": lambda body: cohere_body(body, "cohere.embed-v4:0", {}),
    "cohere 3 on bedrock": lambda body: cohere_body(body, "cohere.embed-english-v3", {}),
    "gemini's pictures": lambda body: picture_body(body, (), "gemini-2.5-flash-image"),
    "openrouter's pictures": lambda body: body_of(OperationRequest(body, "x/y", 1, "", operation="images.generations")),
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}
FIELDS: dict[str, list[Any]] = {
    "temperature": [0, 0.5, 1.5], "top_p": [0.5], "top_k": [5], "min_p": [0.1], "top_a": [0.2], "seed": [0, 7], "n": [3], "best_of": [4],
    "presence_penalty": [0.5], "frequency_penalty": [-1], "repetition_penalty": [1.2], "logit_bias": [{"5": -100}], "logprobs": [True],
    "top_logprobs": [3], "stop": ["END", ["a", "b"]], "user": ["u-1"], "safety_identifier": ["u-1", "s-2"], "metadata": [{"a": "b"}],
    "store": [True], "prompt_cache_key": ["k"], "prompt_cache_retention": ["24h"], "cache_control": [MARK], "verbosity": ["low", "high"],
    "reasoning_effort": ["none", "minimal", "low", "high", "xhigh"],
    "reasoning": [{"effort": "low"}, {"max_tokens": 2000}, {"enabled": False}],
    "thinking": [{"type": "enabled", "budget_tokens": 2000}, {"type": "disabled"}, {"type": "adaptive"}],
    "output_config": [{"effort": "low"}], "service_tier": ["flex", "priority"], "prediction": [{"type": "content", "content": "x"}],
    "modalities": [["text", "audio"]], "audio": [{"voice": "alloy", "format": "wav"}], "web_search_options": [{}],
    "parallel_tool_calls": [False], "tool_choice": ["required", "none", {"type": "function", "function": {"name": "f"}}],
    "tools": [[TOOL], [{**TOOL, "function": {**TOOL["function"], "strict": True}}], [{**TOOL, "cache_control": MARK}]],  # type: ignore[dict-item]
    "functions": [[{"name": "f"}]], "function_call": ["auto"], "enable_thinking": [False], "include_reasoning": [True],
    "xyz": [0, False, ""],
    "anthropic_beta": [["interleaved-thinking-2025-05-14"]],
    "stream_options": [{"include_usage": True, "include_obfuscation": False}],
    "response_format": [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}},
    ],
}  # fmt: skip
"""Values that mean something."""
ASKED: dict[str, list[Any]] = {
    "dimensions": [256, 1024, 1536], "user": ["u-1"], "task_type": ["RETRIEVAL_QUERY"], "title": ["t"], "normalize": [False],
    "prompt_name": ["query"], "truncate": [True], "input_type": ["query"], "n": [3], "seed": [7], "style": ["vivid"], "quality": ["hd"],
    "background": ["transparent"], "output_format": ["webp"], "output_compression": [50], "moderation": ["low"], "response_format": ["url"],
    "metadata": [{"a": "b"}], "xyz": [False],
}  # fmt: skip
SHOWN = st.sampled_from([
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": "hi", "name": "bot"}, {"role": "user", "content": "y", "name": "ann"}],
    [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": MARK}]}],
    [{"role": "system", "content": "s", "cache_control": MARK}, {"role": "user", "content": "hi"}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}]}],
])  # fmt: skip


def some(fields: Mapping[str, list[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=6)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: st.sampled_from(fields[name]) for name in chosen}))


def asked(translate: Callable[[Body], Any], body: Body, *, drops: bool) -> tuple[ChatRequest, Any]:
    """As whoever asks does: the request as it was said at last, and what it became, or the refusal."""
    request = ChatRequest(body, "m", 1, "")
    while True:
        try:
            return request, translate(request.body)
        except BadRequest as error:
            if not (isinstance(error, UnsupportedParameter) and leave_out(request, error, drops=drops)):
                return request, error


def says_nothing(name: str, body: Body) -> bool:
    """What is so without it, as things are in this body."""
    if name in ("tool_choice", "parallel_tool_calls"):
        return not body.get("tools") or body.get("tool_choice") == "none"
    if name in ("reasoning_effort", "thinking", "reasoning"):
        # Models that are not asked to think do not, but for those that always do, which refuse.
        twice = name == "reasoning" and body[name].get("effort") == body.get("reasoning_effort")
        return twice or body[name] in ("none", {"type": "disabled"}, {"enabled": False})
    if name == "tools":  # who may call none is shown none on Bedrock
        return body.get("tool_choice") == "none"
    if name == "cache_control":  # the end of the body is where a part is marked already
        return "messages[].cache_control" in hints_within(body)
    if name == "dimensions":  # all that the first Titan, or Cohere's third generation, has
        return body[name] in (1024, 1536)
    if name == "stream_options":  # we ask for the usage in any case
        return body[name] == {"include_usage": True}
    return name in ("user", "safety_identifier") and body.get("user") == body.get("safety_identifier")


def nothing_is_lost(translate: Callable[[Body], Any], body: Body, *, drops: bool) -> None:
    request, sent = asked(translate, body, drops=drops)
    if isinstance(sent, BadRequest):
        param = sent.param or ""
        assert param.partition(".")[0].partition("[")[0] in request.body
        assert not (isinstance(sent, UnsupportedParameter) and (param in HINTS or (drops and param in DROPPABLE)))
        return
    assert set(request.dropped) <= (HINTS.keys() | DROPPABLE.keys() if drops else HINTS.keys())
    known = request.body
    for name in known:
        if name in FIELDS | ASKED and not says_nothing(name, known):
            try:
                less = translate({other: value for other, value in known.items() if other != name})
            except BadRequest:
                continue  # the others cannot do without it, so it was read
            assert json.dumps(less) != json.dumps(sent), f"{name} is lost"
    for name in hints_within(known):
        if (says_nothing("tools", known) and name.startswith("tools")) or (name == "messages[].cache_control" and "cache_control" in known):
            continue
        assert json.dumps(translate(without_hints(known, [name]))) != json.dumps(sent), f"{name} is lost"
    gone = (body.keys() | hints_within(body)) - known.keys() - hints_within(known)
    assert gone <= set(request.dropped)


@given(name=st.sampled_from(sorted(CHAT)), fields=some(FIELDS), messages=SHOWN, drops=st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_field_of_a_chat_is_lost_in_silence(name: str, fields: dict[str, Any], messages: Any, drops: bool) -> None:
    nothing_is_lost(CHAT[name], {"model": "alias", "messages": messages, **fields}, drops=drops)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", CHAT)
@given(fields=some(FIELDS), messages=SHOWN, drops=st.booleans())
@settings(max_examples=10_000, deadline=None)
def test_no_field_is_lost_ten_thousand_times(name: str, fields: dict[str, Any], messages: Any, drops: bool) -> None:
    nothing_is_lost(CHAT[name], {"model": "alias", "messages": messages, **fields}, drops=drops)


@given(name=st.sampled_from(sorted(OPERATIONS)), fields=some(ASKED), drops=st.booleans())
@settings(max_examples=80, deadline=None)
def test_no_field_of_another_operation_is_lost_in_silence(name: str, fields: dict[str, Any], drops: bool) -> None:
    given = {"prompt": "a cat"} if "pictures" in name else {"input": "hi"}
    nothing_is_lost(OPERATIONS[name], {"model": "alias", **given, **fields}, drops=drops)


@given(fields=some(FIELDS), messages=SHOWN)
@settings(max_examples=50, deadline=None)
def test_hints_are_taken_out_of_a_copy(fields: dict[str, Any], messages: Any) -> None:
    body = {"messages": messages, **fields}
    before = json.dumps(body)
    for name in hints_within(body):
        assert hints_within(without_hints(body, [name])) == hints_within(body) - {name}
    assert json.dumps(body) == before


def test_what_is_in_one_table_is_not_in_the_other() -> None:
    assert not HINTS.keys() & DROPPABLE.keys()


def test_what_means_nothing_alone_goes_along() -> None:
    request = ChatRequest({"logprobs": True, "top_logprobs": 3, "seed": 1}, "m", 1, "")
    assert leave_out(request, UnsupportedParameter("no", param="logprobs"), drops=True)
    assert (request.body, request.dropped) == ({"seed": 1}, ("logprobs", "top_logprobs"))
    assert not leave_out(request, UnsupportedParameter("no", param="logprobs"), drops=True), "it is not there any more"
    assert not leave_out(request, UnsupportedParameter("no"), drops=True)
    assert not leave_out(request, UnsupportedParameter("no", param="seed"), drops=False)


NAMES = st.sampled_from(
    ["name", "content", "role", "image_url", "detail", "cache_control", "tool_calls", "function", "strict", "include_obfuscation"]
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.just("x")),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@given(body=st.dictionaries(st.sampled_from(["messages", "tools", "stream_options", "input"]), JSON, max_size=4))
@settings(max_examples=100, deadline=None)
def test_bodies_of_any_shape_are_looked_through(body: dict[str, Any]) -> None:
    """Of what is no chat nobody has looked at the messages."""
    found = hints_within(body)
    assert hints_within(without_hints(body, found)) == set()
