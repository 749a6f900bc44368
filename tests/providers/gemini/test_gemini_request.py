"""OpenAI-shaped bodies as Gemini's."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.gemini_media import Fetched, to_fetch
from backend.providers.gemini_messages import NO_SIGNATURE
from backend.providers.gemini_request import gemini_body
from backend.providers.gemini_schema import gemini_schema

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def body(model: str = "gemini-2.5-flash", **fields: Any) -> dict[str, Any]:
    return gemini_body({"messages": HI, **fields}, model, 100)


def config(model: str = "gemini-2.5-flash", **fields: Any) -> Any:
    return body(model, **fields)["generationConfig"]


def test_every_knob() -> None:
    knobs = config(
        temperature=0, top_p=0.9, top_k=40, seed=7, presence_penalty=0.1, frequency_penalty=0.2, stop="END", n=2, logprobs=True,
        top_logprobs=3, max_tokens=5, max_completion_tokens=6, response_format={"type": "json_object"},
    )  # fmt: skip
    assert knobs == {
        "temperature": 0,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
        "maxOutputTokens": 100,
        "responseMimeType": "application/json",
    }


@pytest.mark.parametrize(
    ("model", "fields", "thinking"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", {"reasoning_effort": "high"}, {"thinkingBudget": 24_576, "includeThoughts": True}),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-flash", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinkingBudget": 2000, "includeThoughts": True}),
        ("gemini-2.5-flash", {"thinking": {"type": "disabled"}}, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-flash", {"reasoning": {"max_tokens": 500, "exclude": True}}, {"thinkingBudget": 500, "includeThoughts": False}),
        ("gemini-3-flash-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3-flash-preview", {"reasoning_effort": "none"}, {"thinkingLevel": "MINIMAL", "includeThoughts": False}),
        ("gemini-3-pro-preview", {"reasoning_effort": "medium"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", {"reasoning": {"effort": "medium"}}, {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3-pro-preview", {"reasoning_effort": "minimal"}, {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-flash-latest", {"reasoning_effort": "high"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-2.0-flash", {"reasoning_effort": "none"}, None),
        ("gemini-2.5-flash", {}, None),
    ],
)
def test_thinking_by_family(model: str, fields: dict[str, Any], thinking: Any) -> None:
    assert config(model, **fields).get("thinkingConfig") == thinking


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_choices_of_tools(choice: Any, calling: Any) -> None:
    assert body(tools=[TOOL], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": calling}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"parallel_tool_calls": False, "tools": [TOOL]}, "parallel_tool_calls"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"verbosity": "low"}, "verbosity"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"extra_body": {"google": {"x": 1}}}, "extra_body.google.x"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "1"}}]}]}, "messages[0].content[0].file.file_id"),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        body(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3-pro-preview"])
def test_who_cannot_be_kept_from_thinking(model: str) -> None:
    with pytest.raises(UnsupportedParameter):
        body(model, reasoning_effort="none")


def test_what_changes_nothing_is_left_out() -> None:
    idle = {
        "metadata": {}, "store": False, "service_tier": "auto", "parallel_tool_calls": True, "verbosity": "medium",
        "logit_bias": {}, "stream": True, "stream_options": {"include_usage": True}, "logprobs": False, "stop": None,
    }  # fmt: skip
    assert body(**idle) == body()


def test_settings_of_safety_and_a_cache_go_along() -> None:
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    extra = {"google": {"cached_content": "cachedContents/1", "thinking_config": {"thinkingBudget": 5}}}
    said = body(safety_settings=safety, extra_body=extra)
    assert (said["safetySettings"], said["cachedContent"]) == (safety, "cachedContents/1")
    assert said["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 5}


def test_system_messages_are_the_instruction() -> None:
    said = body(
        messages=[
            {"role": "system", "content": "Be brief."},
            *HI,
            {"role": "developer", "content": [{"type": "text", "text": "In Danish."}]},
        ]
    )
    assert said["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "In Danish."}]}
    assert said["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]
    assert body(messages=[{"role": "system", "content": "Speak."}])["contents"] == [{"role": "user", "parts": [{"text": "Speak."}]}]


def called(identity: str, signature: str | None = None) -> dict[str, Any]:
    call: dict[str, Any] = {"id": identity, "type": "function", "function": {"name": "f", "arguments": f'{{"was": "{identity}"}}'}}
    return call | ({"extra_content": {"google": {"thought_signature": signature}}} if signature else {})


def test_calls_of_the_running_turn_that_nobody_signed_get_the_documented_stand_in() -> None:
    result = {"role": "tool", "content": "1"}
    two = [called("b"), called("c")]
    messages: list[dict[str, Any]] = [
        *HI, {"role": "assistant", "tool_calls": [called("a")]}, {**result, "tool_call_id": "a"}, {"role": "assistant", "content": "1"},
        *HI, {"role": "assistant", "tool_calls": two}, {**result, "tool_call_id": "b"}, {**result, "tool_call_id": "c"},
        {"role": "assistant", "tool_calls": [called("d", "c2ln")]}, {**result, "tool_call_id": "d"},
    ]  # fmt: skip
    signs = {
        part["functionCall"]["args"]["was"]: part.get("thoughtSignature")
        for content in body("gemini-3-flash", messages=messages)["contents"]
        for part in content["parts"]
        if "functionCall" in part
    }
    assert signs == {"a": None, "b": NO_SIGNATURE, "c": None, "d": "c2ln"}
    assert NO_SIGNATURE not in str(body("gemini-2.5-flash", messages=messages))


@pytest.mark.parametrize(
    ("model", "knows_ids", "ids"), [("gemini-3-flash", True, True), ("gemini-3-flash", False, False), ("gemini-2.5-flash", True, False)]
)
def test_results_stand_in_the_order_of_their_calls_with_ids_where_these_are_known(model: str, knows_ids: bool, ids: bool) -> None:
    results = [{"role": "tool", "tool_call_id": identity, "content": f'{{"of": "{identity}"}}'} for identity in "cab"]
    messages = [*HI, {"role": "assistant", "tool_calls": [called(identity) for identity in "abc"]}, *results]
    _, calls, responses = gemini_body({"messages": messages}, model, 9, knows_ids=knows_ids)["contents"]
    assert [part["functionResponse"]["response"] for part in responses["parts"]] == [{"of": "a"}, {"of": "b"}, {"of": "c"}]
    for part in (*calls["parts"], *responses["parts"]):
        (said,) = (value for name, value in part.items() if name != "thoughtSignature")
        assert ("id" in said) == ids


def test_the_signature_of_a_text_goes_back_with_it() -> None:
    message = {"role": "assistant", "content": "Well.", "extra_content": {"google": {"thought_signature": "c2ln"}}}
    assert body(messages=[*HI, message, *HI])["contents"][1] == {"role": "model", "parts": [{"text": "Well.", "thoughtSignature": "c2ln"}]}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "tool", "tool_call_id": "never", "content": "1"}],
        [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[1]"}}]}],
        [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}],
        [{"role": "poet", "content": "x"}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:text/html;base64,AA"}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
        [{"role": "user", "content": [{"type": "file", "file": {"file_data": "AAAA"}}]}],
    ],
)
def test_messages_that_make_no_sense(messages: list[Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        body(messages=messages)
    assert caught.value.param is not None


def test_media() -> None:
    parts = [
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB"}},
        {"type": "file", "file": {"file_data": "CC", "filename": "a.pdf"}},
        {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=1"}},
        {"type": "image_url", "image_url": "https://img.example/x"},
    ]
    messages = [{"role": "user", "content": parts}]
    assert [source.url for source, _ in to_fetch(messages)] == ["https://img.example/x"]
    fetched = {"https://img.example/x": Fetched("image/webp", "DD")}
    assert gemini_body({"messages": messages}, "gemini-2.5-flash", 9, fetched=fetched)["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "audio/mp3", "data": "AA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "BB"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "CC"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
        {"inlineData": {"mimeType": "image/webp", "data": "DD"}},
    ]


def test_a_film_that_is_called_an_image_is_fetched_and_not_watched() -> None:
    """It was reserved for as an image."""
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://youtu.be/1"}}]}]
    assert [source.url for source, _ in to_fetch(messages)] == ["https://youtu.be/1"]


def test_schemas() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "kind": {"const": "a"},
            "const": {"type": "string", "pattern": "^x$", "default": "x"},
            "next": {"$ref": "#/definitions/N", "description": "beside a reference"},
            "wrapped": {"allOf": [{"$ref": "#/definitions/N"}], "description": "d"},
            "any": True,
        },
        "definitions": {"N": {"type": ["object", "null"], "additionalProperties": {"type": "number", "title": "t"}}},
        "required": ["kind"],
        "additionalProperties": False,
    }
    before = copy.deepcopy(schema)
    assert gemini_schema(schema, "p") == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a"]},
            "const": {"type": "string"},
            "next": {"$ref": "#/$defs/N"},
            "wrapped": {"$ref": "#/$defs/N"},
            "any": {},
        },
        "$defs": {"N": {"type": ["object", "null"], "additionalProperties": {"type": "number", "title": "t"}}},
        "required": ["kind"],
        "additionalProperties": False,
    }
    assert schema == before


WORDS = st.sampled_from(
    ["user", "assistant", "tool", "text", "image_url", "file", "data:image/png;base64,A", "https://x.example/y", "{}", "a"]
)
NAMES = st.sampled_from([
    "role", "content", "type", "text", "image_url", "url", "tool_calls", "function", "name", "arguments", "id", "tool_call_id", "file",
    "file_data", "extra_content", "google", "thought_signature", "effort", "json_schema", "schema", "allowed_tools", "tools", "mode",
    "input_audio", "$ref", "properties", "items", "allOf",
])  # fmt: skip
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.dictionaries(
    st.sampled_from([
        "tools", "tool_choice", "response_format", "reasoning_effort", "reasoning", "thinking", "stop", "extra_body", "modalities",
        "safety_settings", "logprobs", "parallel_tool_calls", "service_tier", "x",
    ]),
    JUNK,
    max_size=4,
)  # fmt: skip


ANY_BODY = given(
    fields=FIELDS, message=st.dictionaries(NAMES, JUNK, max_size=5), role=st.sampled_from(["user", "assistant", "tool", "system"])
)


@settings(max_examples=40, deadline=None)
@ANY_BODY
def test_no_body_of_a_stranger_is_beyond_us_and_none_is_changed(fields: dict[str, Any], message: dict[str, Any], role: str) -> None:
    given_body = {"messages": [*HI, {**message, "role": role}], **fields}
    before = copy.deepcopy(given_body)
    try:
        list(to_fetch(given_body["messages"]))
        said = gemini_body(given_body, "gemini-3-flash", 100)
    except BadRequest:
        pass
    else:
        assert said["generationConfig"]["maxOutputTokens"] == 100
    assert given_body == before


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@ANY_BODY
def test_none_of_ten_thousand_bodies_is_beyond_us(fields: dict[str, Any], message: dict[str, Any], role: str) -> None:
    test_no_body_of_a_stranger_is_beyond_us_and_none_is_changed.hypothesis.inner_test(fields, message, role)  # type: ignore[attr-defined]
