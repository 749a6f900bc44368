"""A Messages body into a chat body and back into Anthropic's: the same again; and what is refused, by name."""

import base64
import copy
from itertools import groupby, pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.chat_body import check_chat_body
from backend.gateway.messages.asked import known_to
from backend.gateway.messages.plain import ALL, SIGNED_CALLS, THINKING, plain
from backend.gateway.messages.request import chat_body
from backend.gateway.token_bound import token_bound
from backend.gateway.token_families import family_of
from backend.kernel.errors import BadRequest
from backend.providers.anthropic_request import messages_body

CLAUDE = "claude-sonnet-4-5-20250929"
HI: Any = {"role": "user", "content": "hi"}
LEAST: dict[str, Any] = {"model": "m", "max_tokens": 5000, "messages": [HI]}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}

WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.text("abcdefghij_", min_size=1, max_size=8)
INPUTS = st.dictionaries(NAMES, st.one_of(WORDS, st.integers(-9, 9), st.none(), st.lists(st.booleans(), max_size=2)), max_size=2)
MARK = st.one_of(
    st.just({}), st.sampled_from([{"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}])
)


def marked(blocks: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda block, mark: {**block, **mark}, blocks, MARK)


TEXT = marked(st.builds(lambda words: {"type": "text", "text": words}, WORDS))
IMAGE = marked(st.sampled_from([{"type": "image", "source": PNG}, {"type": "image", "source": {"type": "url", "url": "https://x.test/a"}}]))
DOCUMENT = marked(
    st.sampled_from([
        {"type": "document", "source": PDF, "title": "Report"},
        {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Wörter"}},
    ])
)  # fmt: skip
RESULT = marked(
    st.builds(
        lambda call, content, fails: {"type": "tool_result", "tool_use_id": call} | content | ({"is_error": True} if fails else {}),
        NAMES,
        st.one_of(
            st.just({}),
            st.builds(lambda words: {"content": words}, WORDS),
            st.builds(lambda blocks: {"content": blocks}, st.lists(st.one_of(TEXT, IMAGE), min_size=1, max_size=2)),
        ),
        st.booleans(),
    )
)
CALL = marked(st.builds(lambda call, name, given: {"type": "tool_use", "id": call, "name": name, "input": given}, NAMES, NAMES, INPUTS))
THOUGHT = st.one_of(
    st.builds(lambda words, sign: {"type": "thinking", "thinking": words, "signature": sign}, WORDS, WORDS),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, WORDS),
)
USER = st.builds(
    lambda content: {"role": "user", "content": content},
    st.one_of(WORDS, st.lists(st.one_of(TEXT, IMAGE, DOCUMENT, RESULT), min_size=1, max_size=4)),
)
ASSISTANT = st.builds(
    lambda content: {"role": "assistant", "content": content},
    st.one_of(WORDS, st.lists(st.one_of(TEXT, CALL, THOUGHT), min_size=1, max_size=5)),
)
CLOSED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
TOOL = marked(
    st.builds(
        lambda name, more: {"name": name, "input_schema": CLOSED, **more},
        NAMES,
        st.sampled_from([{}, {"description": "Does it."}, {"strict": True}]),
    )
)
CHOICE = st.sampled_from([
    {"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "a"}, {"type": "auto", "disable_parallel_tool_use": True},
    {"type": "tool", "name": "a", "disable_parallel_tool_use": True},
])  # fmt: skip
BODIES = st.builds(
    lambda messages, tools, fields: {**LEAST, "messages": [*messages, HI], **tools, **fields},
    st.lists(st.one_of(USER, ASSISTANT), max_size=5),
    st.one_of(
        st.just({}),
        st.builds(lambda tools, choice: {"tools": tools, "tool_choice": choice}, st.lists(TOOL, min_size=1, max_size=3), CHOICE),
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "system": st.one_of(WORDS, st.lists(TEXT, min_size=1, max_size=3)),
            "stop_sequences": st.lists(WORDS, min_size=1, max_size=3),
            "stream": st.just(True),
            "temperature": st.floats(0, 1),
            "top_p": st.floats(0, 1),
            "top_k": st.integers(1, 99),
            "thinking": st.sampled_from([{"type": "enabled", "budget_tokens": 2000}, {"type": "disabled"}, {"type": "adaptive"}]),
            "metadata": st.builds(lambda user: {"user_id": user}, WORDS),
            "service_tier": st.sampled_from(["auto", "standard_only"]),
            "cache_control": st.just({"type": "ephemeral"}),
            "context_management": st.just({"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}),
            "output_config": st.sampled_from([{"effort": "low"}, {"format": {"type": "json_schema", "schema": CLOSED}}]),
        },
    ),
)


def canonical(body: dict[str, Any]) -> dict[str, Any]:
    """The one way in which the adapter says what can be said in several."""
    out = {**body, "model": CLAUDE}
    system = body.get("system")
    if isinstance(system, list) and not any("cache_control" in block for block in system):
        out["system"] = "\n\n".join([block["text"] for block in system])
    turns: list[Any] = []
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else [_block(block) for block in content]
        results = [block for block in blocks if block["type"] == "tool_result"]
        turns.append((message["role"], [*results, *[block for block in blocks if block["type"] != "tool_result"]]))
    out["messages"] = [
        {"role": role, "content": _short([block for _, blocks in group for block in blocks])}
        for role, group in groupby(turns, key=lambda turn: turn[0])
    ]
    return out


def _block(block: dict[str, Any]) -> dict[str, Any]:
    return {**block, "content": _short(block["content"])} if isinstance(block.get("content"), list) else block


def _short(blocks: list[dict[str, Any]]) -> Any:
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks


def check_round_trip(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    meant = chat_body(body).body
    check_chat_body(meant)
    assert messages_body(meant, CLAUDE, None, stream=bool(body.get("stream"))) == canonical(body)
    assert body == before


@settings(max_examples=40)
@given(body=BODIES)
def test_it_comes_back_as_it_was(body: dict[str, Any]) -> None:
    check_round_trip(body)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=10_000, deadline=None)
@given(body=BODIES)
def test_it_comes_back_as_it_was_ten_thousand_times(body: dict[str, Any]) -> None:
    check_round_trip(body)


OF_A_MESSAGE = {"role", "content", "tool_calls", "tool_call_id", "name"}
OF_A_PART = {"type", "text", "image_url", "file"}


def check_plain(body: dict[str, Any]) -> None:
    meant = chat_body(body).body
    before = copy.deepcopy(meant)
    found = plain(meant, frozenset())
    assert meant == before
    assert not found.keys() & {"thinking", "cache_control", "output_config", "anthropic_beta", "context_management"}
    roles = [message["role"] for message in found["messages"]]
    assert ("assistant", "assistant") not in pairwise(roles)
    for message in found["messages"]:
        assert message.keys() <= OF_A_MESSAGE
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            assert part.keys() <= OF_A_PART
            assert message["role"] != "tool"
        for call in message.get("tool_calls", ()):
            assert call.keys() == {"id", "type", "function"}
    said = orjson.dumps(found["messages"]).decode()
    for message in body["messages"]:
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "text":
                assert orjson.dumps(block["text"]).decode() in said
    kept = plain(meant, frozenset({THINKING, SIGNED_CALLS}))
    assert (kept.get("thinking") or {}).get("budget_tokens") == (body.get("thinking") or {}).get("budget_tokens")


@settings(max_examples=40)
@given(body=BODIES)
def test_servers_that_speak_openai_are_asked_in_their_own_words(body: dict[str, Any]) -> None:
    check_plain(body)


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4), st.sampled_from(["text", "tool_use", "base64", "custom"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([
                "type", "text", "source", "url", "data", "media_type", "content", "name", "input", "id", "cache_control", "tool_use_id",
                "thinking", "signature", "input_schema", "schema", "format", "effort", "user_id", "role", "budget_tokens", "title",
            ]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)  # fmt: skip
BLOCK = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(["text", "image", "document", "tool_result", "tool_use", "thinking", "redacted_thinking", "search_result"]),
    st.dictionaries(
        st.sampled_from(["text", "source", "content", "tool_use_id", "id", "name", "input", "signature", "is_error"]), ANY, max_size=3
    ),
)
ANY_BODIES = st.builds(
    lambda messages, fields: {**LEAST, "messages": messages, **fields},
    st.one_of(
        ANY,
        st.lists(
            st.builds(
                lambda role, content: {"role": role, "content": content},
                st.sampled_from(["user", "assistant", "system", "tool"]),
                st.one_of(ANY, st.lists(BLOCK, max_size=3)),
            ),
            max_size=3,
        ),
    ),
    st.dictionaries(
        st.sampled_from([
            "system", "tools", "tool_choice", "thinking", "metadata", "output_config", "output_format", "stop_sequences", "service_tier",
            "stream", "max_tokens", "temperature", "cache_control", "model", "context_management",
        ]),
        ANY,
        max_size=4,
    ),
)  # fmt: skip


def check_any_body(body: dict[str, Any]) -> None:
    """It is understood or refused by the name of a field, and what is understood can be counted, and put to everybody."""
    before = copy.deepcopy(body)
    named = []
    try:
        meant = chat_body(body).body
        check_chat_body(meant)
    except BadRequest as error:
        named.append(error.param)
    else:
        orjson.dumps(meant)
        assert token_bound(meant, family_of("gpt-4o")) > 0
        for known in (frozenset[str](), frozenset({THINKING, SIGNED_CALLS}), ALL):
            try:
                asked = meant if known is ALL else plain(meant, known)
                orjson.dumps(asked)
                messages_body(asked, CLAUDE, 5000, stream=False)
            except BadRequest as error:
                named.append(error.param)
    assert all(named)
    assert body == before


@settings(max_examples=40)
@given(body=ANY_BODIES)
def test_whatever_it_is_it_is_understood_or_refused(body: dict[str, Any]) -> None:
    check_any_body(body)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@settings(max_examples=10_000, deadline=None)
@given(body=ANY_BODIES)
def test_whatever_it_is_ten_thousand_times(body: dict[str, Any]) -> None:
    check_any_body(body)


def block(kind: str, **facts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, **facts}]}]}


def tool(**facts: Any) -> dict[str, Any]:
    return {"tools": [{"name": "now", "input_schema": {"type": "object"}, **facts}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "hi", "name": "x"}]}, "messages[0].name"),
        ({"max_tokens": None}, "max_tokens"),
        ({"mcp_servers": [{"url": "https://x.test"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"context_management": {"compact": True}}, "context_management"),
        ({"context_management": {"edits": [{}]}}, "context_management"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"whatever": 1}, "whatever"),
        ({"metadata": {"task": "x"}}, "metadata.task"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "loud"}}, "thinking"),
        ({"output_config": {"effort": "most"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
        ({"tools": [{"name": "now"}]}, "tools[0]"),
        (tool(defer_loading=True), "tools[0].defer_loading"),
        (tool(input_examples=[{}]), "tools[0].input_examples"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"system": [{"type": "image", "source": PNG}]}, "system[0]"),
        (block("search_result"), "messages[0].content[0]"),
        (block("image", source={"type": "file", "file_id": "f"}), "messages[0].content[0].source"),
        (block("image"), "messages[0].content[0]"),
        (block("document", source={"type": "content", "content": "x"}), "messages[0].content[0].source"),
        (block("document", source=PDF, citations={"enabled": True}), "messages[0].content[0].citations"),
        (block("document", source=PDF, context="x"), "messages[0].content[0].context"),
        (block("text", text="x", citations=[{"type": "char_location"}]), "messages[0].content[0].citations"),
        (block("tool_result"), "messages[0].content[0].tool_use_id"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(change: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as told:
        chat_body({**LEAST, **change})
    assert told.value.param == param


def test_what_is_just_what_it_is_without_is_left_out() -> None:
    neutral = {"container": None, "speed": "standard", "mcp_servers": [], "system": "", "metadata": {}, "tools": [], "temperature": None}
    assert chat_body({**LEAST, **neutral}).body == {"model": "m", "max_completion_tokens": 5000, "messages": [HI]}
    idle = block("text", text="x", citations=None) | tool(type="custom", eager_input_streaming=True, cache_control=None)
    assert chat_body({**LEAST, **idle}).body["messages"] == [{"role": "user", "content": "x"}]


def test_a_schema_is_enforced_where_every_server_can() -> None:
    def strict(schema: dict[str, Any]) -> bool:
        meant = chat_body({**LEAST, "output_config": {"format": {"type": "json_schema", "schema": schema}}}).body
        return bool(meant["response_format"]["json_schema"]["strict"])

    optional = {**CLOSED, "required": []}
    assert strict(CLOSED)
    assert strict({"anyOf": [CLOSED, {"type": "string"}]})
    assert not strict(optional)
    assert not strict({"type": "array", "items": optional})
    assert not strict({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"n": {}}}}})


def test_fields_are_called_as_the_caller_calls_them() -> None:
    meant = chat_body({**LEAST, "system": "Be brief.", "messages": [HI, {"role": "assistant", "content": "ho"}, HI]})
    assert meant.place("messages[0].content") == "system"
    assert meant.place("messages[2].content[1].image_url") == "messages[1]"
    assert meant.place("messages[9]") == "messages[9]"
    assert meant.place("max_completion_tokens") == "max_tokens"
    assert meant.place("response_format.json_schema.schema") == "output_config.format"
    assert meant.place("user") == "metadata.user_id"
    assert meant.place("temperature") == "temperature"


def test_pictures_from_tools_are_shown_by_the_user() -> None:
    shown = [{"type": "text", "text": "Here:"}, {"type": "image", "source": PNG}]
    turns = [
        HI,
        {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{number}", "name": "look", "input": {}} for number in (1, 2)]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": shown},
                {"type": "tool_result", "tool_use_id": "t2", "content": "nothing"},
                {"type": "text", "text": "Well?"},
            ],
        },
    ]
    found = plain(chat_body({**LEAST, "messages": turns}).body, frozenset())["messages"]
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "tool", "user"]
    assert [message["content"] for message in found[2:4]] == ["Here:", "nothing"]
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG['data']}"}}
    assert found[4]["content"][1:] == [picture, {"type": "text", "text": "Well?"}]


def test_marks_for_the_cache_go_to_those_who_know_them() -> None:
    """OpenRouter reads them on the parts of a message, whoever is behind it."""
    mark = {"cache_control": {"type": "ephemeral"}}
    meant = chat_body({**LEAST, "system": [{"type": "text", "text": "Long.", **mark}]}).body
    for known, kept in ((known_to("openrouter", "x"), mark), (known_to("openai", "x"), {})):
        assert plain(meant, known)["messages"][0]["content"] == [{"type": "text", "text": "Long.", **kept}]
    assert known_to("bedrock", "us.anthropic.claude-sonnet-4-5") is known_to("anthropic", "x") is ALL
    assert known_to("bedrock", "amazon.nova-pro-v1:0") == frozenset()


def test_documents_have_a_name_for_servers_that_ask_for_one() -> None:
    files = [
        plain(chat_body({**LEAST, **block("document", source=source)}).body, frozenset()) for source in (PDF, {"type": "text", "data": "x"})
    ]
    names = [found["messages"][0]["content"][0]["file"]["filename"] for found in files]
    assert names == ["document.pdf", "document"]
    assert base64.b64decode(files[1]["messages"][0]["content"][0]["file"]["file_data"].partition(",")[2]) == b"x"


def test_only_thoughts_are_cleared_away_by_themselves_elsewhere() -> None:
    edits = [{"type": "clear_tool_uses_20250919"}]
    meant = chat_body({**LEAST, "context_management": {"edits": edits}}).body
    assert messages_body(meant, CLAUDE, None, stream=False)["context_management"] == {"edits": edits}
    compacted = chat_body({**LEAST, "context_management": {"edits": [{"type": "compact_20260112"}]}}).body
    for refused in (lambda: plain(meant, frozenset()), lambda: messages_body(compacted, CLAUDE, None, stream=False)):
        with pytest.raises(BadRequest) as told:
            refused()
        assert told.value.param == "context_management"


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "xhigh"),
        ({"thinking": {"type": "disabled"}}, None),
        ({"output_config": {"effort": "medium"}}, "medium"),
    ],
)
def test_thoughts_are_asked_for_by_an_effort_elsewhere(asked: dict[str, Any], effort: str | None) -> None:
    assert plain(chat_body({**LEAST, **asked}).body, frozenset()).get("reasoning_effort") == effort


def test_thoughts_without_a_signature_go_back_with_their_calls_only() -> None:
    said = [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "tool_use", "id": "t", "name": "now", "input": {}}]
    for content, kept in ((said, "Hm."), ([said[0], {"type": "text", "text": "So."}], None)):
        message = chat_body({**LEAST, "messages": [HI, {"role": "assistant", "content": content}]}).body["messages"][1]
        assert message.get("reasoning_content") == kept
        assert "thinking_blocks" not in message
