"""Everything that `/v1/responses` says is what OpenAI's own types say it is: SDKs in other languages refuse what is not."""

import json
from typing import Any

import pytest

from tests.fakes.anthropic_upstream import message, text, thinking, tool_use
from tests.fakes.openai_upstream import USAGE, Step, chunk, completion, events, whole
from tests.gateway.conftest import KEY, Rig
from tests.gateway.responses_api.conftest import Providers
from tests.gateway.responses_api.test_sdk import PIXEL, WEATHER, calls
from tests.gateway.responses_api.typed import check_event, check_item, check_response

pytestmark = pytest.mark.asyncio(loop_scope="module")
HEADERS = {"authorization": f"Bearer {KEY}"}
CONVERSATION: list[Any] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}]},
    {"role": "user", "content": [{"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}]},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"role": "assistant", "content": "A pixel."},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "And more."}, {"type": "refusal", "refusal": "No."}],
    },
    {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "Rain."}]},
    {"type": "custom_tool_call", "call_id": "c2", "name": "shell", "input": "ls"},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": "a.txt"},
    {"role": "user", "content": "So?"},
]
CHOSEN = {"type": "function", "name": "weather"}
ASKED: list[dict[str, Any]] = [
    {"input": "hi"},
    {"input": CONVERSATION},
    {"input": "hi", "tools": [{"type": "function", "name": "f"}, {**WEATHER, "strict": False}, {"type": "custom", "name": "shell"}]},
    {"input": "hi", "tools": [WEATHER], "tool_choice": CHOSEN, "parallel_tool_calls": False},
    {"input": "hi", "tools": [WEATHER], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [CHOSEN]}},
    {"input": "hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"}},
    {"input": "hi", "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "store": False},
    {"input": "hi", "temperature": 0, "top_p": 1, "max_output_tokens": 50, "metadata": {"a": "b"}, "user": "u", "truncation": "disabled"},
]  # fmt: skip
TOKENS: list[Any] = [
    {"token": "Hé", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "Ho", "logprob": -2.5, "bytes": None}]},
    {"token": "y", "logprob": -0.2},
]
CITATIONS: list[Any] = [
    {"type": "url_citation", "url_citation": {"url": "https://example.org"}},
    {"type": "url_citation", "url_citation": {"url": "https://example.org", "title": None, "start_index": None}},
    {"type": "url_citation", "url_citation": {}},
]
CALL = {"type": "function", "function": {"name": "weather", "arguments": "{}"}}
SAID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "logprobs": ({"role": "assistant", "content": "Héy"}, {"logprobs": {"content": TOKENS}}),
    "citations": ({"role": "assistant", "content": "So", "annotations": CITATIONS}, {}),
    "a refusal": ({"role": "assistant", "refusal": "No."}, {}),
    "thoughts": ({"role": "assistant", "content": "So", "reasoning_content": "Hm."}, {}),
    "calls without ids": ({"role": "assistant", "content": None, "tool_calls": [CALL, CALL]}, {}),
    "a custom call": (
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}]},
        {},
    ),
    "a drawing": ({"role": "assistant", "content": "", "images": [{"type": "image_url", "image_url": {"url": PIXEL}}]}, {}),
    "nothing": ({"role": "assistant", "content": ""}, {}),
}


def events_in(stream: str) -> list[dict[str, Any]]:
    return [json.loads(event.partition("\ndata: ")[2]) for event in stream.strip().split("\n\n") if not event.startswith(":")]


async def told(gateway: Rig, **fields: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The whole response, and the events, each judged."""
    one = await gateway.http.post("/v1/responses", json={"model": "fast", "input": "hi", **fields}, headers=HEADERS)
    assert one.status_code == 200, one.text
    response = one.json()
    check_response(response)
    streamed = await gateway.http.post("/v1/responses", json={"model": "fast", "input": "hi", **fields, "stream": True}, headers=HEADERS)
    found = events_in(streamed.text)
    for event in found:
        check_event(event)
    return response, found


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: ",".join(asked))
async def test_whatever_is_asked_the_answer_is_of_openais_types(gateway: Rig, providers: Providers, asked: dict[str, Any]) -> None:
    response, _ = await told(gateway, **asked)
    if asked.get("store") is False:
        return
    found = await gateway.http.get(f"/v1/responses/{response['id']}", headers=HEADERS)
    assert found.json() == response
    items = await gateway.http.get(f"/v1/responses/{response['id']}/input_items?limit=100", headers=HEADERS)
    assert len(items.json()["data"]) == (1 if isinstance(asked["input"], str) else len(asked["input"]))
    for item in items.json()["data"]:
        check_item(item)


@pytest.mark.parametrize("said", SAID)
async def test_whatever_a_provider_says_the_answer_is_of_openais_types(gateway: Rig, providers: Providers, said: str) -> None:
    spoken, beside = SAID[said]

    async def step(exchange: Any) -> None:
        if exchange.seen.body.get("stream"):
            one = chunk(spoken)
            one["choices"][0] |= beside
            await events(one, chunk({}, "stop"), chunk(None, usage=USAGE), end="done")(exchange)
            return
        body = completion()
        body["choices"][0] |= {"message": spoken, **beside}
        await whole(body)(exchange)

    providers.openai.script(step)
    response, found = await told(gateway, tools=[WEATHER])
    last = found[-1]["response"]
    assert [item["type"] for item in response["output"]] == [item["type"] for item in last["output"]]
    if said == "calls without ids":
        assert len({item["call_id"] for item in response["output"]}) == 2
    if said == "logprobs":
        tokens = response["output"][0]["content"][0]["logprobs"]
        assert [bytes(token["bytes"]) for token in tokens] == ["Hé".encode(), b"y"]
        assert tokens == last["output"][0]["content"][0]["logprobs"]


@pytest.mark.parametrize(
    ("model", "step"),
    [
        ("fast", calls("Bern", "Ulm")),
        ("claude", message(thinking("Hm."), text("Yes."), tool_use("toolu_1", "weather", {"city": "Bern"}))),
        ("fast", events(chunk({"content": "half"}), end="done")),
        ("fast", events(chunk({"content": "half"}), end="reset")),
    ],
    ids=["calls", "claude", "no finish", "cut"],
)
async def test_events_of_every_end_are_of_openais_types(gateway: Rig, providers: Providers, model: str, step: Step) -> None:
    (providers.anthropic if model == "claude" else providers.openai).script(step)
    body = {"model": model, "input": "hi", "tools": [WEATHER], "stream": True, "max_output_tokens": 5000, "reasoning": {"effort": "low"}}
    found = events_in((await gateway.http.post("/v1/responses", json=body, headers=HEADERS)).text)
    for event in found:
        check_event(event)
    assert found[-1]["type"] in ("response.completed", "response.failed", "response.incomplete")
