"""OpenAI-shaped bodies into those of Converse and of Claude on Bedrock: nothing is lost in silence."""

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest, BourseError, UnsupportedParameter
from backend.providers.bedrock_claude import claude_body
from backend.providers.bedrock_messages import call_id, translated
from backend.providers.bedrock_request import converse_body

NOVA, CLAUDE = "amazon.nova-pro-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"
HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
PNG = "data:image/png;base64,iVBORw0KGgo="


def converse(model: str = NOVA, **body: Any) -> dict[str, Any]:
    return converse_body({"messages": HI, **body}, model, None)


def said(*messages: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    return translated(list(messages))


def test_system_and_developer_messages_are_the_prompt_and_turns_alternate() -> None:
    system, turns = said(
        {"role": "system", "content": "One."},
        {"role": "user", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "Two.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    )
    assert system == [{"text": "One."}, {"text": "Two."}, {"cachePoint": {"type": "default"}}]
    assert turns == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
        {"role": "assistant", "content": [{"text": "d"}]},
    ]


def test_blank_texts_are_left_out() -> None:
    assert said({"role": "user", "content": " \n"}, {"role": "user", "content": [{"type": "text", "text": ""}]}) == ([], [])
    assert said({"role": "system", "content": None}, *HI)[0] == []


def test_a_message_may_be_marked_for_the_cache() -> None:
    _, turns = said({**HI[0], "cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert turns[0]["content"] == [{"text": "hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]


def test_results_of_tools_hold_texts_and_images_and_ids_fit() -> None:
    long = "call_" + "x" * 100
    parts = [{"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}}, {"type": "image_url", "image_url": PNG}]
    call = {"id": long, "type": "function", "function": {"name": "look", "arguments": ""}, "cache_control": {"type": "ephemeral"}}
    _, turns = said(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": long, "content": parts},
        {"role": "tool", "tool_call_id": "b", "content": "", "is_error": True},
    )
    mark = {"cachePoint": {"type": "default"}}
    assert turns[0]["content"] == [{"toolUse": {"toolUseId": call_id(long), "name": "look", "input": {}}}, mark]
    image = {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}}
    assert turns[1]["content"] == [
        {"toolResult": {"toolUseId": call_id(long), "content": [{"text": "see"}, image]}},
        mark,
        {"toolResult": {"toolUseId": "b", "content": [], "status": "error"}},
    ]


@settings(max_examples=40)
@given(st.text(max_size=200))
def test_ids_of_calls_are_such_as_bedrock_takes_and_the_same_each_time(given_id: str) -> None:
    assert 1 <= len(call_id(given_id)) <= 64
    assert call_id(given_id).replace("-", "_").replace("_", "a").isalnum()
    assert call_id(given_id).isascii()
    assert call_id(given_id) == call_id(given_id)


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ({"file_data": "data:text/csv;base64,YSxi", "filename": "a.csv"}, ("csv", "a csv", "YSxi")),
        ({"file_data": "data:,a%20b"}, ("txt", "document", "YSBi")),
        ({"file_data": "data:text/x-python;charset=utf-8;base64,eA==", "filename": "!!"}, ("txt", "document", "eA==")),
        (
            {
                "file_data": "data:application/vnd.openxmlformats-officedocument.wordprocessingml.document;base64,UEs=",
                "filename": "x" * 300,
            },
            ("docx", "x" * 200, "UEs="),
        ),
    ],
)
def test_documents(file: dict[str, str], document: tuple[str, str, str]) -> None:
    _, turns = said({"role": "user", "content": [{"type": "file", "file": file}]})
    form, name, data = document
    assert turns[0]["content"] == [{"document": {"format": form, "name": name, "source": {"bytes": data}}}]


def test_documents_of_one_name_are_told_apart_and_stay_so_in_the_next_turn() -> None:
    def pdf(name: str) -> dict[str, Any]:
        return {"type": "file", "file": {"filename": name, "file_data": "data:application/pdf;base64,AA=="}}

    first: list[dict[str, Any]] = [{"role": "user", "content": [pdf("a"), pdf("A"), pdf("x" * 200), pdf("x" * 200), pdf("a 2")]}]
    later = [{"role": "assistant", "content": "ok"}, {"role": "tool", "tool_call_id": "t", "content": [pdf("a")]}]
    names = [block["document"]["name"] for block in translated(first)[1][0]["content"]]
    assert names == ["a", "A 2", "x" * 200, "x" * 195 + " 2", "a 2 2"]
    turns = translated([*first, *later])[1]
    assert [block["document"]["name"] for block in turns[0]["content"]] == names
    assert turns[2]["content"][0]["toolResult"]["content"][0]["document"]["name"] == "a 3"


def test_thoughts_that_nobody_signed_do_not_go_back() -> None:
    blocks = [{"type": "thinking", "thinking": "t", "signature": ""}, {"type": "thinking", "thinking": "u"}]
    assert said({"role": "assistant", "content": "x", "thinking_blocks": blocks})[1] == [{"role": "assistant", "content": [{"text": "x"}]}]


def part(value: Any) -> list[Any]:
    return [{"role": "user", "content": [value]}]


def assistant(**fields: Any) -> list[Any]:
    return [{"role": "assistant", "content": "x", **fields}]


REFUSED: list[tuple[list[Any], type[BourseError], str]] = [
    ([{"role": "narrator", "content": "x"}], UnsupportedParameter, "messages[0].role"),
    ([{"role": "user", "content": 1}], BadRequest, "messages[0].content"),
    (part("x"), BadRequest, "messages[0].content[0]"),
    (part({"type": "text"}), BadRequest, "messages[0].content[0]"),
    (part({"type": "input_audio", "input_audio": {}}), UnsupportedParameter, "messages[0].content[0]"),
    (part({"type": "image_url", "image_url": {"url": "ftp://x"}}), BadRequest, "messages[0].content[0].image_url"),
    (part({"type": "image_url", "image_url": {}}), BadRequest, "messages[0].content[0].image_url"),
    (part({"type": "image_url", "image_url": "data:image/tiff;base64,AA=="}), UnsupportedParameter, "messages[0].content[0].image_url"),
    (part({"type": "image_url", "image_url": "data:image/png;base64,A"}), BadRequest, "messages[0].content[0].image_url"),
    (part({"type": "file", "file": {"file_id": "f"}}), UnsupportedParameter, "messages[0].content[0].file.file_id"),
    (
        part({"type": "file", "file": {"file_data": "data:image/png;base64,AA=="}}),
        UnsupportedParameter,
        "messages[0].content[0].file.file_data",
    ),
    (part({"type": "text", "text": "x", "cache_control": "yes"}), BadRequest, "messages[0].content[0].cache_control"),
    ([{"role": "system", "content": [{"type": "image_url", "image_url": PNG}]}], UnsupportedParameter, "messages[0].content[0]"),
    (assistant(function_call={}), UnsupportedParameter, "messages[0].function_call"),
    (assistant(tool_calls={"a": 1}), BadRequest, "messages[0].tool_calls"),
    (assistant(tool_calls=[{"type": "custom"}]), UnsupportedParameter, "messages[0].tool_calls[0]"),
    (
        assistant(tool_calls=[{"function": {"name": "f", "arguments": "[]"}}]),
        BadRequest,
        "messages[0].tool_calls[0].function.arguments",
    ),
    (assistant(thinking_blocks={}), BadRequest, "messages[0].thinking_blocks"),
    (assistant(thinking_blocks=[{"type": "x"}]), BadRequest, "messages[0].thinking_blocks[0]"),
]


def test_messages_that_cannot_be_said_are_refused_by_their_place() -> None:
    for messages, raised, param in REFUSED:
        with pytest.raises(raised) as refused:
            translated(messages)
        assert refused.value.param == param


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "description": ""}}
FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (NOVA, {"stop": ["a", "b"]}, {"inferenceConfig": {"stopSequences": ["a", "b"]}}),
    (NOVA, {"max_completion_tokens": 7, "max_tokens": 9}, {"inferenceConfig": {"maxTokens": 7}}),
    (NOVA, {"temperature": 0}, {"inferenceConfig": {"temperature": 0}}),
    (NOVA, {"metadata": {}, "n": 1, "logprobs": False, "stream": True, "reasoning_effort": "none"}, {}),
    (NOVA, {"service_tier": "auto"}, {}),
    (NOVA, {"service_tier": "priority"}, {"serviceTier": {"type": "priority"}}),
    (NOVA, {"top_k": 5}, {"additionalModelRequestFields": {"inferenceConfig": {"topK": 5}}}),
    (
        CLAUDE,
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
    ),
    (CLAUDE, {"top_k": 5}, {"additionalModelRequestFields": {"top_k": 5}}),
    ("cohere.command-r-plus-v1:0", {"top_k": 5}, {"additionalModelRequestFields": {"k": 5}}),
    ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "low"}, {"additionalModelRequestFields": {"reasoning_effort": "low"}}),
    (
        "us.amazon.nova-2-lite-v1:0",
        {"reasoning_effort": "high"},
        {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}},
    ),
    (NOVA, {"tools": []}, {}),
    (NOVA, {"tools": [TOOL], "tool_choice": "none"}, {}),
    (
        NOVA,
        {"tools": [{**TOOL, "cache_control": {"type": "ephemeral"}}], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}, {"cachePoint": {"type": "default"}}],
                "toolChoice": {"tool": {"name": "f"}},
            }
        },
    ),
]


def test_fields() -> None:
    for model, body, expected in FIELDS:
        assert converse(model, **body) == {"messages": [{"role": "user", "content": [{"text": "hi"}]}], **expected}, body


REFUSED_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"n": 2}, "n"), ({"top_logprobs": 3}, "top_logprobs"), ({"logit_bias": {"1": 1}}, "logit_bias"), ({"store": True}, "store"),
    ({"service_tier": "scale"}, "service_tier"), ({"service_tier": ["flex"]}, "service_tier"),
    ({"reasoning_effort": "xhigh"}, "reasoning_effort"),
    ({"reasoning_effort": ["low"]}, "reasoning_effort"), ({"tools": {"a": 1}}, "tools"), ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [TOOL], "tool_choice": "any"}, "tool_choice"), ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema"),
]  # fmt: skip


def test_fields_that_cannot_be_said_are_refused_by_name() -> None:
    for body, param in REFUSED_FIELDS:
        with pytest.raises(BadRequest) as refused:
            converse(**body)
        assert refused.value.param == param
    with pytest.raises(UnsupportedParameter) as refused:
        converse("meta.llama3-1-70b-instruct-v1:0", top_k=3)
    assert refused.value.param == "top_k"
    with pytest.raises(UnsupportedParameter) as refused:
        converse("openai.gpt-oss-20b-1:0", reasoning_effort="xhigh")
    assert refused.value.param == "reasoning_effort"
    with pytest.raises(UnsupportedParameter) as refused:
        converse(NOVA, thinking={"type": "adaptive"})
    assert refused.value.param == "thinking"
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [*HI, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": "x"}]
    with pytest.raises(UnsupportedParameter) as refused:
        converse(messages=history, tools=[TOOL], tool_choice="none")
    assert refused.value.param == "tool_choice"


def test_claudes_body_has_the_version_and_neither_model_nor_stream() -> None:
    body = {"messages": HI, "stream": True, "service_tier": "default", "model": "alias"}
    assert claude_body(body, CLAUDE, 9, {}) == {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": HI}
    for beta in (["a", "b"], "a,b", "a, b"):
        told = claude_body(body, CLAUDE, 9, {"anthropic_version": "bedrock-2099-01-01", "anthropic_beta": beta})
        assert told["anthropic_beta"] == ["a", "b"]
        assert told["anthropic_version"] == "bedrock-2099-01-01"


def test_a_mark_on_the_whole_body_is_one_at_its_end() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    body = {"messages": [*HI, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}], "cache_control": mark}
    assert claude_body(body, CLAUDE, 9, {})["messages"][-1]["content"] == [{"type": "text", "text": "y", "cache_control": mark}]
    told = converse_body(body, NOVA, None)
    assert told["messages"][-1]["content"] == [{"text": "y"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert "cachePoint" not in str(told["messages"][:-1])
    own = {**body, "messages": [{**HI[0], "cache_control": {"type": "ephemeral"}}]}
    assert converse_body(own, NOVA, None)["messages"][0]["content"][-1] == {"cachePoint": {"type": "default"}}
    assert body["cache_control"] is mark


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=6), st.just(PNG)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["type", "text", "image_url", "url", "file", "file_data", "function", "name", "arguments", "id", "cache_control", "ttl"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=5,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
        optional={"content": ANY, "tool_calls": ANY, "tool_call_id": ANY, "thinking_blocks": ANY, "cache_control": ANY, "refusal": ANY},
    ),
    max_size=4,
)
BODIES = st.fixed_dictionaries(
    {"messages": MESSAGES},
    optional=dict.fromkeys(
        ["tools", "tool_choice", "response_format", "stop", "temperature", "top_k", "reasoning_effort", "service_tier"], ANY
    ),
)


@settings(max_examples=40)
@given(body=BODIES)
def test_any_body_is_translated_or_refused_and_never_changed(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    told, param = {"messages": []}, "nothing"
    try:
        told = converse_body(body, NOVA, 5)
    except BadRequest as error:
        param = error.param or ""
    assert param
    assert all(turn["content"] for turn in told["messages"])
    assert all(one["role"] != other["role"] for one, other in pairwise(told["messages"]))
    assert body == before
