"""Both ways without loss: what a model says comes back to it as it said it; any cut of a stream is the same response."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.responses_api.answer import output_of
from backend.gateway.responses_api.body import SIGNED_THOUGHTS, asked, chat_body
from backend.gateway.responses_api.response import Identity, response_of
from backend.gateway.responses_api.stream import ResponseStream
from backend.kernel.errors import BadRequest, NotFound
from backend.kernel.ids import new_id
from tests.fakes.cut_stream import cut_at
from tests.gateway.responses_api.typed import check_event

WORDS = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=30)
NAMES = st.text("abcdefghij_", min_size=1, max_size=8)
ANY_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
CALLS = st.lists(
    st.one_of(
        st.builds(lambda name, words: {"type": "function", "function": {"name": name, "arguments": words}}, NAMES, WORDS),
        st.builds(lambda name, words: {"type": "custom", "custom": {"name": name, "input": words}}, NAMES, WORDS),
    ),
    max_size=3,
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": WORDS,
        "refusal": WORDS,
        "reasoning_content": WORDS,
        "thinking_blocks": st.lists(st.builds(lambda words: {"type": "thinking", "thinking": words}, WORDS), min_size=1, max_size=2),
        "extra_content": st.just({"google": {"thought_signature": "c2ln"}}),
        "tool_calls": CALLS,
    },
).map(lambda message: {**message, **({"tool_calls": with_ids(message["tool_calls"])} if message.get("tool_calls") else {"tool_calls": []})})
FINISHES = st.sampled_from(["stop", "length", "content_filter", "tool_calls"])


def with_ids(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every other one is signed."""
    signed = {"extra_content": {"google": {"thought_signature": "b3duZWQ"}}}
    return [{"id": f"call_{number}", **call, **(signed if number % 2 else {})} for number, call in enumerate(calls)]


def identity(**fields: Any) -> Identity:
    return Identity(new_id("response"), asked({"model": "m", "input": "hi", **fields}), 1_790_000_000, stored=True)


def completion(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    return {"model": "upstream", "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def messages_of(items: list[dict[str, Any]], model: str = "m") -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = chat_body(asked({"model": model, "input": [*items, {"role": "user", "content": "next"}]}))["messages"]
    return messages[:-1]


def as_sent_back(message: dict[str, Any]) -> dict[str, Any] | None:
    """What of an assistant's message belongs into the next turn; None where it says nothing."""
    back = {name: message[name] for name in ("thinking_blocks", "extra_content", "refusal", "tool_calls") if message.get(name)}
    said = {"role": "assistant", "content": message.get("content"), **back}
    return said if message.get("content") or message.get("refusal") or message["tool_calls"] else None


@given(MESSAGES, FINISHES)
def test_what_a_model_said_comes_back_as_it_said_it(message: dict[str, Any], finish: str) -> None:
    output, _ = output_of(completion(message, finish), identity())
    expected = as_sent_back(message)
    assert messages_of(output) == ([expected] if expected is not None else [])
    of_another = messages_of(output, model="another")
    assert not any({"thinking_blocks", "extra_content"} & told.keys() for told in of_another)
    assert "b3duZWQ" not in str(of_another)


def deltas_of(message: dict[str, Any], sizes: list[int]) -> list[dict[str, Any]]:
    """The message as servers stream it: thoughts, words, then calls, in pieces of these sizes."""
    found: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for name in ("reasoning_content", "thinking_blocks", "content", "refusal"):
        value = message.get(name)
        if isinstance(value, str):
            found += [{name: piece} for piece in cut(value, sizes)]
        elif value:
            found += [{name: [block]} for block in value]
    for index, call in enumerate(message["tool_calls"]):
        kind = call["type"]
        field = "arguments" if kind == "function" else "input"
        found.append({"tool_calls": [{**call, "index": index, kind: {**call[kind], field: ""}}]})
        found += [{"tool_calls": [{"index": index, kind: {field: piece}}]} for piece in cut(call[kind][field], sizes)]
    if message.get("extra_content"):
        found.append({"content": "", "extra_content": message["extra_content"]})
    return found


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, rest, number = [], text, 0
    while rest:
        size = sizes[number % len(sizes)]
        pieces.append(rest[:size])
        rest, number = rest[size:], number + 1
    return pieces


def wire_of(deltas: list[dict[str, Any]], finish: str) -> bytes:
    chunks: list[Any] = [{"model": "upstream", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    chunks.append({"choices": [], "usage": usage, "bourse": {"provider": "acme"}})
    return b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]) + b"data: [DONE]\n\n"


def streamed(wire: bytes, cuts: list[int], told: Identity) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """Events, the response, and the output as it is kept."""
    stream = ResponseStream(told)
    data = b"".join(map(stream.feed, cut_at(wire, cuts)))
    assert stream.done
    last, response, output = stream.close(1_790_000_001)
    data += last + stream.ending(response)
    return events_in(data), response, output


def events_in(data: bytes) -> list[dict[str, Any]]:
    found = []
    for event in data.split(b"\n\n")[:-1]:
        name, payload = event.split(b"\n")
        value = orjson.loads(payload.removeprefix(b"data: "))
        assert name == b"event: " + value["type"].encode()
        check_event(value)
        found.append(value)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def gathered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output as client libraries put it together from the events alone, each of which has to fit those before."""
    output: list[Any] = []
    done: set[int] = set()
    for event in events:
        kind, index = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert index == len(output)
            output.append(event["item"])
            continue
        if index is None:
            continue
        item = output[index]
        assert index not in done
        assert event.get("item_id", item["id"]) == item["id"]
        if kind == "response.content_part.added":
            assert event["content_index"] == len(item["content"])
            item["content"].append(event["part"])
        elif kind == "response.output_text.delta":
            item["content"][event["content_index"]]["text"] += event["delta"]
        elif kind == "response.refusal.delta":
            item["content"][event["content_index"]]["refusal"] += event["delta"]
        elif kind == "response.content_part.done":
            assert item["content"][event["content_index"]] == event["part"]
        elif kind == "response.reasoning_summary_part.added":
            item["summary"].append(event["part"])
        elif kind == "response.reasoning_summary_text.delta":
            item["summary"][event["summary_index"]]["text"] += event["delta"]
        elif kind == "response.function_call_arguments.delta":
            item["arguments"] += event["delta"]
        elif kind == "response.custom_tool_call_input.delta":
            item["input"] += event["delta"]
        elif kind == "response.output_item.done":
            done.add(index)
            assert {**item, "status": None} == {**event["item"], "status": None} or "encrypted_content" in event["item"]
            output[index] = event["item"]
    assert done == set(range(len(output)))
    return output


def check_stream(message: dict[str, Any], finish: str, sizes: list[int], cuts: list[int]) -> None:
    told = identity(include=[SIGNED_THOUGHTS])
    events, response, output = streamed(wire_of(deltas_of(message, sizes), finish), cuts, told)
    assert gathered(events) == response["output"] == output
    whole, _ = output_of(completion(message, finish), told)
    # The whole answer has all that goes back in its first item, the stream where it came; the model gets the same.
    assert messages_of(output) == messages_of(whole)
    plain = [item for item in output if item["type"] != "reasoning"]
    told_whole = [item for item in whole if item["type"] != "reasoning"]
    assert [without_id(item) for item in plain] == [without_id(item) for item in told_whole]
    assert "".join(summary_of(output)) == "".join(summary_of(whole))
    assert (response["status"], response["model"]) == ("completed" if finish in ("stop", "tool_calls") else "incomplete", "upstream")
    assert response["usage"]["total_tokens"] == 10
    assert response["bourse"] == {"provider": "acme"}


def without_id(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("id", "status")}


def summary_of(output: list[dict[str, Any]]) -> list[str]:
    return [part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"]]


STREAMS = (MESSAGES, FINISHES, st.lists(st.integers(1, 9), min_size=1, max_size=3), st.lists(st.integers(0, 3000), max_size=5))


@given(*STREAMS)
def test_any_cut_of_a_stream_is_the_same_response_as_the_whole_answer(
    message: dict[str, Any], finish: str, sizes: list[int], cuts: list[int]
) -> None:
    check_stream(message, finish, sizes, cuts)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(*STREAMS)
def test_ten_thousand_streams(message: dict[str, Any], finish: str, sizes: list[int], cuts: list[int]) -> None:
    check_stream(message, finish, sizes, cuts)


FIELDS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "thinking_blocks", "reasoning_details", "extra_content")
ENTRIES = ("id", "index", "type", "function", "custom", "text")
DELTAS = st.dictionaries(
    st.sampled_from((*FIELDS, "images", "annotations", "role")),
    st.one_of(
        ANY_JSON, st.lists(st.dictionaries(st.sampled_from(["id", "index", "type", "function", "custom", "text"]), ANY_JSON), max_size=2)
    ),
    max_size=4,
)


def check_strange(deltas: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    chunks = [{"model": "m", "choices": [{"index": 0, "delta": delta, **rest}]} for delta in deltas] + [{"choices": [], **rest}]
    wire = b"".join([b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]) + b"data: [DONE]\n\n"
    events, response, _ = streamed(wire, [], identity(include=[SIGNED_THOUGHTS]))
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    assert gathered(events) == response["output"]
    output_of({"choices": [{"message": delta, **rest} for delta in deltas]}, identity())


STRANGE = (
    st.lists(DELTAS, max_size=4),
    st.dictionaries(st.sampled_from(["logprobs", "usage", "service_tier", "bourse", "finish_reason"]), ANY_JSON, max_size=3),
)


@settings(max_examples=40)
@given(*STRANGE)
def test_whatever_a_provider_puts_where_words_belong(deltas: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    check_strange(deltas, rest)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(*STRANGE)
def test_ten_thousand_strange_streams(deltas: list[dict[str, Any]], rest: dict[str, Any]) -> None:
    check_strange(deltas, rest)


PARTS = st.dictionaries(
    st.sampled_from(["type", "text", "image_url", "file_data", "refusal", "detail"]),
    st.one_of(ANY_JSON, st.sampled_from(["input_text", "output_text", "input_image", "input_file", "refusal", "input_audio"])),
    max_size=4,
)
ITEMS = st.dictionaries(
    st.sampled_from(["type", "role", "content", "call_id", "name", "arguments", "output", "id", "encrypted_content", "summary", "input"]),
    st.one_of(
        ANY_JSON,
        st.lists(PARTS, max_size=2),
        st.sampled_from(["message", "user", "assistant", "function_call", "function_call_output", "reasoning", "item_reference"]),
    ),
    max_size=6,
)
BODIES = st.dictionaries(
    st.sampled_from([
        "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "metadata", "include", "store", "stream", "user",
        "max_output_tokens", "parallel_tool_calls", "top_logprobs", "previous_response_id", "truncation", "temperature", "n",
    ]),
    st.one_of(ANY_JSON, st.lists(ITEMS, max_size=3)),
    max_size=8,
)  # fmt: skip


def check_body(body: Any) -> None:
    try:
        request = asked(body)
        list(request.references)
        request.resolve({})
        chat = chat_body(request)
        identity_of = Identity(new_id("response"), request, 0, stored=False)
    except (BadRequest, NotFound):
        return
    assert chat["messages"]
    assert all(isinstance(message["role"], str) for message in chat["messages"])
    assert len(request.places) == len(chat["messages"])
    orjson.dumps(identity_of.head("in_progress"))


@settings(max_examples=40)
@given(st.one_of(BODIES, ANY_JSON))
def test_bodies_of_strangers_are_refused_or_understood(body: Any) -> None:
    check_body(body)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(st.one_of(BODIES, ANY_JSON))
def test_ten_thousand_bodies(body: Any) -> None:
    check_body(body)


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_ids_of_items_say_where_they_belong(text: str) -> None:
    told = identity()
    assert response_of(told.item_id("msg", 12)) == told.id
    response_of(text)
