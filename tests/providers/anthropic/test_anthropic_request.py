"""OpenAI-shaped bodies into Anthropic's, and what is refused."""

import base64
import copy
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.anthropic_answer import completion
from backend.providers.anthropic_models import takes_prefill, thinks_adaptively, version
from backend.providers.anthropic_request import messages_body
from tests.fakes.anthropic_upstream import body as message_body
from tests.fakes.anthropic_upstream import text, thinking, tool_use

OLD, NEW = "claude-sonnet-4-5-20250929", "claude-opus-4-8"
MARK = {"type": "ephemeral", "ttl": "1h"}
USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": "{}"}}


def sent(*messages: Any, model: str = OLD, cap: int | None = 5000, stream: bool = False, **fields: Any) -> dict[str, Any]:
    return messages_body({"model": "alias", "messages": list(messages) or [USER], **fields}, model, cap, stream=stream)


def said_badly(arguments: str) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "now", "arguments": arguments}}]}


def schema(**facts: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"schema": facts}}}


def part(kind: str, **facts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": kind, **facts}]}


def test_the_least_body() -> None:
    assert sent() == {"model": OLD, "max_tokens": 5000, "messages": [USER]}
    assert sent(cap=None)["max_tokens"] == 4096
    assert sent(cap=None, max_tokens=7)["max_tokens"] == 7
    assert sent(stream=True)["stream"] is True


def test_system_prompts_are_one() -> None:
    first, second = {"role": "system", "content": "One."}, {"role": "developer", "content": [{"type": "text", "text": "Two."}]}
    assert sent(first, USER, second)["system"] == "One.\n\nTwo."
    assert sent(first, USER, second)["messages"] == [USER]
    marked = {"role": "system", "content": [{"type": "text", "text": "Long.", "cache_control": MARK}, {"type": "text", "text": "Short."}]}
    assert sent(marked, USER)["system"] == [{"type": "text", "text": "Long.", "cache_control": MARK}, {"type": "text", "text": "Short."}]
    assert "system" not in sent({"role": "system", "content": ""}, USER)


def test_marks_for_the_cache_stay_where_they_are() -> None:
    asked = sent(
        {"role": "user", "content": "long", "cache_control": MARK},
        tools=[{"type": "function", "function": {"name": "now"}, "cache_control": MARK}],
        cache_control=MARK,
    )
    assert asked["messages"][0]["content"] == [{"type": "text", "text": "long", "cache_control": MARK}]
    assert asked["tools"][0]["cache_control"] == MARK
    assert asked["cache_control"] == MARK


def test_what_anthropic_alone_has_goes_through() -> None:
    said = {"role": "assistant", "content": None, "tool_calls": [{**CALL, "cache_control": MARK}]}
    failed = {"role": "tool", "tool_call_id": "call_1", "content": "no clock", "is_error": True}
    clearing = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]}
    form = schema(type="object", properties={})
    asked = sent(USER, said, failed, output_config={"effort": "low"}, context_management=clearing, anthropic_beta=["x"], **form)
    assert asked["messages"][1]["content"][0]["cache_control"] == MARK
    assert asked["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "call_1", "content": "no clock", "is_error": True}]
    assert asked["context_management"] == clearing
    assert asked["output_config"].keys() == {"effort", "format"}
    assert "anthropic_beta" not in asked


def test_turns_of_one_role_are_one_and_results_come_first() -> None:
    said = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "functions.now:1"}]}
    results = [
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "12:00"}]},
        {"role": "tool", "tool_call_id": "functions.now:1", "content": ""},
    ]
    turns = sent(USER, said, *results, USER)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [block["id"] for block in turns[1]["content"]] == ["call_1", "functions_now_1"]
    assert turns[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "call_1", "content": "12:00"},
        {"type": "tool_result", "tool_use_id": "functions_now_1"},
        {"type": "text", "text": "hi"},
    ]


def test_a_prefill_ends_bare_and_only_for_models_that_take_one() -> None:
    assert sent(USER, {"role": "assistant", "content": "So \n"})["messages"][-1] == {"role": "assistant", "content": "So"}
    assert sent(USER, {"role": "assistant", "content": " \n"})["messages"] == [USER]
    with pytest.raises(UnsupportedParameter) as told:
        sent(USER, {"role": "assistant", "content": "So"}, model=NEW)
    assert told.value.param == "messages"


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("claude-3-7-sonnet-20250219", (3, 7)), ("claude-3-opus-20240229", (3, 0)), ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-opus-4-1-20250805", (4, 1)), ("claude-sonnet-4-5-20250929", (4, 5)), ("claude-haiku-4-5", (4, 5)),
        ("claude-opus-4-6", (4, 6)), ("claude-opus-4.8", (4, 8)), ("claude-sonnet-5", (5, 0)), ("claude-mythos-preview", (99, 0)),
        ("anthropic.claude-opus-4-6-v1", (4, 6)), ("us.anthropic.claude-haiku-4-5-20251001-v1:0", (4, 5)),
    ],
)  # fmt: skip
def test_versions(model: str, known: tuple[int, int]) -> None:
    assert version(model) == known
    assert thinks_adaptively(model) is (known >= (4, 6))
    assert takes_prefill(model) is (known < (4, 6))


@pytest.mark.parametrize(
    ("effort", "cap", "budget"),
    [("minimal", 5000, 1024), ("low", 10_000, 2000), ("medium", 10_000, 5000), ("high", 10_000, 8000), ("xhigh", 1025, 1024)],
)
def test_efforts_are_a_share_of_the_cap_for_models_with_a_budget(effort: str, cap: int, budget: int) -> None:
    assert sent(reasoning_effort=effort, cap=cap)["thinking"] == {"type": "enabled", "budget_tokens": budget}


def test_efforts_of_models_that_think_adaptively() -> None:
    asked = sent(reasoning_effort="minimal", model=NEW, cap=100)
    assert asked["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert asked["output_config"] == {"effort": "low"}
    own = sent(reasoning_effort="high", thinking={"type": "adaptive", "display": "omitted"}, model=NEW)
    assert own["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert own["output_config"] == {"effort": "high"}
    assert sent(reasoning_effort="max", model=NEW, **schema(type="object", properties={}))["output_config"].keys() == {"format", "effort"}


def test_thinking_goes_through_and_none_is_none() -> None:
    own = {"type": "enabled", "budget_tokens": 2000}
    assert sent(thinking=own)["thinking"] == own
    assert "thinking" not in sent(reasoning_effort="none")
    for wrong in ({"reasoning_effort": "high", "thinking": own}, {"reasoning_effort": "low", "cap": 1024}, {"reasoning_effort": ["low"]}):
        with pytest.raises(BadRequest) as told:
            sent(**wrong)
        assert told.value.param == "reasoning_effort"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}), ("none", {"type": "none"}), ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "now"}}, {"type": "tool", "name": "now"}),
    ],
)  # fmt: skip
def test_tool_choices(choice: Any, expected: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "now", "parameters": None}}]
    assert sent(tools=tools, tool_choice=choice)["tool_choice"] == expected
    alone = sent(tools=tools, tool_choice=choice, parallel_tool_calls=False)["tool_choice"]
    assert alone == (expected if choice == "none" else {**expected, "disable_parallel_tool_use": True})
    assert sent(tools=tools, parallel_tool_calls=False)["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice" not in sent(tools=tools, parallel_tool_calls=True)


def test_schemas_are_closed_and_what_cannot_be_enforced_is_told() -> None:
    given_schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 1, "description": "In years."},
            "when": {"type": "string", "format": "date"},
            "kind": {"oneOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string", "pattern": "x"}, "minItems": 1},
        },
        "required": ["age"],
        "$defs": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
    }
    before = copy.deepcopy(given_schema)
    found = sent(**schema(**given_schema))["output_config"]["format"]["schema"]
    assert given_schema == before
    assert found == {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "description": "In years.\n\n{minimum: 1}"},
            "when": {"type": "string", "format": "date"},
            "kind": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]},
            "tags": {"type": "array", "items": {"type": "string", "description": '{pattern: "x"}'}, "minItems": 1},
        },
        "required": ["age"],
        "$defs": {"a": {"type": "object", "properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }


def test_small_things() -> None:
    asked = sent(
        stop="END", user="u-1", top_k=5, top_p=0.5, temperature=1, service_tier="default", metadata={}, n=1, logprobs=False,
        frequency_penalty=0.0, seed=None, store=False, response_format={"type": "text"},
    )  # fmt: skip
    assert asked == {
        "model": OLD, "max_tokens": 5000, "messages": [USER], "stop_sequences": ["END"], "metadata": {"user_id": "u-1"}, "top_k": 5,
        "top_p": 0.5, "temperature": 1, "service_tier": "standard_only",
    }  # fmt: skip
    assert sent(stop=["a", "b"])["stop_sequences"] == ["a", "b"]
    assert sent(user="u", safety_identifier="u") == sent(safety_identifier="u")


def test_a_text_file_is_read_here() -> None:
    data = base64.b64encode("Grüße".encode()).decode()
    source = sent(part("file", file={"file_data": f"data:text/csv;base64,{data}"}))["messages"][0]["content"][0]["source"]
    assert source == {"type": "text", "media_type": "text/plain", "data": "Grüße"}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (part("input_audio", input_audio={"data": "", "format": "wav"}), "messages[0].content[0]"),
        (part("image_url", image_url={"url": "http://example.org/a.png"}), "messages[0].content[0].image_url"),
        (part("image_url", image_url={"url": "data:image/tiff;base64,AA=="}), "messages[0].content[0].image_url"),
        (part("image_url", image_url={}), "messages[0].content[0].image_url"),
        (part("file", file={"file_id": "file-1"}), "messages[0].content[0].file.file_id"),
        (part("file", file={"file_data": "data:application/zip;base64,AA=="}), "messages[0].content[0].file.file_data"),
        (part("file", file={"file_data": "data:text/plain;base64,/w=="}), "messages[0].content[0].file.file_data"),
        ({"role": "system", "content": [{"type": "image_url", "image_url": "https://example.org/a.png"}]}, "messages[0].content[0]"),
        ({"role": "function", "name": "now", "content": "x"}, "messages[0].role"),
        (said_badly("[1"), "messages[0].tool_calls[0].function.arguments"),
        (said_badly("[1]"), "messages[0].tool_calls[0].function.arguments"),
        ({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {}}]}, "messages[0].tool_calls[0]"),
        ({"role": "assistant", "thinking_blocks": [{"type": "x"}]}, "messages[0].thinking_blocks[0]"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_where_it_is(message: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as told:
        sent(message)
    assert told.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (schema(type="object", additionalProperties=True), "response_format.json_schema.schema"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"verbosity": "low"}, "verbosity"),
        ({"output_config": "low"}, "output_config"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
    ],
)  # fmt: skip
def test_fields_that_cannot_be_said_are_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as told:
        sent(**fields)
    assert told.value.param == param


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4), st.sampled_from(["text", "function", "data:,x", "https://x"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "type", "text", "image_url", "url", "file", "file_data", "function", "name", "arguments", "id", "cache_control", "refusal",
                "json_schema", "schema", "properties", "items", "anyOf", "format", "required", "additionalProperties", "parameters",
                "strict",
            ]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)  # fmt: skip
MESSAGES = st.lists(
    st.builds(
        lambda role, fields: {"role": role, **fields},
        st.sampled_from(["system", "developer", "user", "assistant", "tool", "x"]),
        st.dictionaries(
            st.sampled_from(["content", "tool_calls", "tool_call_id", "thinking_blocks", "refusal", "cache_control"]), ANY, max_size=3
        ),
    ),
    min_size=1,
    max_size=4,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["stop", "tools", "tool_choice", "response_format", "reasoning_effort", "thinking", "temperature", "service_tier", "n"]
    ),
    st.one_of(ANY, st.lists(st.fixed_dictionaries({"type": st.just("function"), "function": ANY}), max_size=2)),
    max_size=4,
)


def check_any_body(messages: list[Any], fields: dict[str, Any]) -> None:
    asked = {"messages": messages, **fields}
    before = copy.deepcopy(asked)
    try:
        found = messages_body(asked, OLD, 5000, stream=False)
    except BadRequest as error:
        sound = bool(error.param)
    else:
        orjson.dumps(found)
        roles = [turn["role"] for turn in found["messages"]]
        sound = all(first != second for first, second in pairwise(roles)) and all(turn["content"] for turn in found["messages"])
    assert sound
    assert asked == before


@settings(max_examples=150)
@given(messages=MESSAGES, fields=FIELDS)
def test_whatever_it_is_it_is_translated_or_refused_and_never_changed(messages: list[Any], fields: dict[str, Any]) -> None:
    check_any_body(messages, fields)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=10_000, deadline=None)
@given(messages=MESSAGES, fields=FIELDS)
def test_whatever_it_is_ten_thousand_times(messages: list[Any], fields: dict[str, Any]) -> None:
    check_any_body(messages, fields)


def test_an_answer_goes_back_as_it_came() -> None:
    blocks = [thinking("Hm."), text("Let me look."), tool_use("now", {"zone": "UTC"})]
    said = completion(message_body(*blocks, stop="tool_use"), None, 0)["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "12:00"}
    assert sent(USER, said, result)["messages"][1]["content"] == blocks
