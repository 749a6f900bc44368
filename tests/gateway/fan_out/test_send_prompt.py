"""One prompt for many models: each answer is a call of its own, whatever becomes of the others."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml

from backend.asgi import answer_error
from backend.kernel.errors import BourseError
from backend.kernel.request import Receive, Scope, Send, open_context
from backend.rest import build_rest
from tests.docs.test_examples import HERE, blocks
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, answer, canonical_chunks, chunk, completion, events, hang, status, whole
from tests.gateway.conftest import KEY, LIMITED_KEY, Rig, configuration, open_gateway

ASKED = {"prompt": "Why is the sky blue?", "timeout_seconds": 5}


@pytest.fixture
async def rest(gateway: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with served(gateway) as client:
        yield client


@asynccontextmanager
async def served(gateway: Rig) -> AsyncIterator[httpx.AsyncClient]:
    """The REST surface of the gateway's runtime on a socket, with the context and the last words that the front door gives a request."""
    inner = build_rest(gateway.runtime)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["bourse"] = open_context(scope, started=time.monotonic(), trusted_proxy_hops=0)
        try:
            await inner(scope, receive, send)
        except BourseError as error:
            await answer_error(send, error, "api", scope)

    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off", proxy_headers=False)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, timeout=30, verify=False, headers={"authorization": f"Bearer {KEY}"}) as client:
        yield client
    server.should_exit = True
    await task


async def ask(rest: httpx.AsyncClient, status: int = 200, **fields: Any) -> dict[str, Any]:
    response = await rest.post("/api/send_prompt", json={**ASKED, **fields})
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_every_model_answers_by_itself_and_each_call_is_in_the_ledger(
    rest: httpx.AsyncClient, gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    other.script(status(400, {"error": {"message": "no such thing", "type": "invalid_request_error"}}))
    told = await ask(rest, model_names=["fast", "backup/gpt-other", "sandbox/chat", "nobody"], max_tokens=50, system="Be brief.")
    assert (told["success"], told["count"], told["succeeded"]) == (True, 4, 2)
    fast, refused, sandbox, unknown = told["data"]
    assert [one["model_name"] for one in told["data"]] == ["fast", "backup/gpt-other", "sandbox/chat", "nobody"]
    assert (fast["success"], fast["provider"], fast["response"], fast["finish_reason"]) == (True, "acme", TEXT, "stop")
    # 20 tokens at 1 and 12 at 2 dollars a million
    assert fast["cost_usd"] == pytest.approx(44e-6)
    assert fast["usage"]["completion_tokens"] == 12
    assert sandbox["success"]
    assert sandbox["response"]
    assert refused["error"] == {"message": refused["error"]["message"], "code": None, "status": 400}
    assert "no such thing" in refused["error"]["message"]
    assert unknown["error"]["code"] == "model_not_found"
    assert upstream.requests[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": ASKED["prompt"]},
    ]
    assert upstream.requests[0].body["max_tokens"] == 50
    rows = {row["request_id"]: row for row in await gateway.rows()}
    assert {one["request_id"]: one["success"] for one in told["data"]} == {
        name: row["outcome"] == "completed" for name, row in rows.items()
    }
    assert rows[fast["request_id"]]["charged_nano"] == 44_000


async def test_one_that_is_silent_costs_the_others_nothing_and_ends_when_its_time_is_over(
    rest: httpx.AsyncClient, gateway: Rig, upstream: OpenAIUpstream
) -> None:
    upstream.script(hang())
    told = await ask(rest, model_names=["fast", "sandbox/chat"], timeout_seconds=2)
    silent, sandbox = told["data"]
    assert silent["error"] == {"message": "No whole answer within 2 s.", "code": "timeout", "status": 504}
    assert sandbox["success"]
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 20)
    while (silent["request_id"], "client_closed") not in [(row["request_id"], row["outcome"]) for row in await gateway.rows()]:
        await asyncio.sleep(0.02)


async def test_whoever_leaves_stops_every_call_of_his(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(hang())
    async with served(gateway) as rest:
        asking = asyncio.create_task(rest.post("/api/send_prompt", json={**ASKED, "model_names": ["fast", "acme/gpt-fake"]}))
        while len(upstream.requests) < 2:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait_for(asyncio.gather(*[request.hung_up.wait() for request in upstream.requests]), 20)
    while [row["outcome"] for row in await gateway.rows()] != ["client_closed"] * 2:
        await asyncio.sleep(0.02)


def pairs(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


async def test_streamed_texts_come_as_they_do_and_then_each_answer_and_an_end(
    rest: httpx.AsyncClient, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(events(*canonical_chunks()))
    other.script(events(*canonical_chunks()[:4], end="eof"))
    response = await rest.post("/api/send_prompt", json={**ASKED, "model_names": ["fast", "backup/gpt-other"], "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    told = pairs(response.text)
    assert told[-1] == ("done", {"success": True, "count": 2, "succeeded": 1})
    texts = ["".join([value["delta"] for name, value in told if name == "delta" and value["index"] == index]) for index in (0, 1)]
    results = {value["index"]: value for name, value in told if name == "result"}
    assert texts[0] == results[0]["response"] == TEXT
    assert results[0]["success"]
    assert results[0]["cost_usd"] == pytest.approx(44e-6)
    # What came of the one that broke is there, and so is why there is no more.
    assert not results[1]["success"]
    assert results[1]["response"] == texts[1] != ""
    assert (results[1]["error"]["code"], results[1]["error"]["status"]) == ("upstream_error", 502)


async def test_models_at_providers_are_the_pairs_that_are_sold(rest: httpx.AsyncClient, gateway: Rig) -> None:
    told = await ask(rest, model_names=["gpt-x"], providers=["Acme", "backup", "acme"])
    assert [(one["model_name"], one["provider"], one["success"]) for one in told["data"]] == [
        ("gpt-x", "acme", True), ("gpt-x", "backup", True),
    ]  # fmt: skip
    told = await ask(rest, model_names=["sandbox-model"], providers=["sandbox"])
    (unsold,) = told["data"]
    assert (unsold["error"]["code"], unsold["request_id"]) == ("model_not_found", None)
    assert len(await gateway.rows()) == 2, "nobody was asked for what nobody sells"


async def test_providers_alone_answer_with_their_default_model(rest: httpx.AsyncClient, gateway: Rig) -> None:
    gateway.runtime.settings.providers["acme"].__dict__["default_model"] = "gpt-default"
    told = await ask(rest, providers=["acme", "backup", "nobody"])
    assert [(one["model_name"], one["success"]) for one in told["data"]] == [("gpt-default", True), ("", False), ("", False)]
    assert "no default model" in told["data"][1]["error"]["message"]
    assert [(one["model_name"], one["success"]) for one in (await ask(rest, providers=["Sandbox"]))["data"]] == [("chat", True)]
    assert "no such provider" in told["data"][2]["error"]["message"]


async def test_a_key_asks_for_no_more_than_it_may(rest: httpx.AsyncClient) -> None:
    told = await ask_as(rest, LIMITED_KEY, model_names=["fast", "pair", "sandbox/chat"])
    assert [(one["success"], (one["error"] or {}).get("code")) for one in told["data"]] == [
        (True, None), (False, "model_not_allowed"), (False, "model_not_found"),
    ]  # fmt: skip


async def ask_as(rest: httpx.AsyncClient, key: str, **fields: Any) -> dict[str, Any]:
    response = await rest.post("/api/send_prompt", json={**ASKED, **fields}, headers={"authorization": f"Bearer {key}"})
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model_names": []}, "name whom to ask"),
        ({"model_names": ["fast"], "prompt": None}, "either 'prompt' or 'messages'"),
        ({"model_names": ["fast"], "messages": [{"role": "user", "content": "hi"}]}, "either 'prompt' or 'messages'"),
        ({"model_names": ["fast"], "prompt": ""}, "empty"),
        ({"model_names": ["fast"], "timeout_seconds": 0}, "timeout_seconds"),
        ({"model_names": ["fast"], "temprature": 1}, "temprature"),
        ({"model_names": [f"m{number}" for number in range(33)]}, "model_names"),
        ({"model_names": [f"m{number}" for number in range(17)], "providers": ["acme", "backup"]}, "34 questions"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anybody_is_asked(rest: httpx.AsyncClient, fields: dict[str, Any], field: str) -> None:
    error = (await ask(rest, 400, **fields))["error"]
    assert field in json.dumps(error)


@pytest.mark.parametrize(
    "body", [b"{", b'{"prompt": "\\ud800"}', b'{"messages": [{"content": NaN}]}', b'{"messages": [9223372036854775808]}']
)
async def test_what_no_provider_could_be_sent_is_refused(rest: httpx.AsyncClient, upstream: OpenAIUpstream, body: bytes) -> None:
    named = b'{"model_names": ["fast"], ' + body[1:]
    response = await rest.post("/api/send_prompt", content=named, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert not upstream.requests


@pytest.mark.parametrize("authorization", [None, "Bearer sk-wrong.key", f"Basic {KEY}"])
@pytest.mark.parametrize("body", [{**ASKED, "model_names": ["fast"]}, {}])
async def test_without_a_good_key_nobody_is_asked(
    rest: httpx.AsyncClient, upstream: OpenAIUpstream, authorization: str | None, body: dict[str, Any]
) -> None:
    del rest.headers["authorization"]
    response = await rest.post("/api/send_prompt", json=body, headers={"authorization": authorization} if authorization else {})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert not upstream.requests


async def test_many_questions_are_no_way_around_the_calls_that_a_key_may_make_at_once(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    settings = configuration(upstream.base_url, other.base_url)
    two_at_once = {"tenant": "small", "name": "two", "key": "sk-two.local-only", "rate_limit": {"parallel": 2}}
    settings["bootstrap"]["api_keys"].append(two_at_once)
    settings["providers"]["acme"]["default_model"] = "gpt-fake"
    settings["bootstrap"]["tenants"][0].pop("models")
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    upstream.script(hang())
    async with open_gateway(file, tmp_path, sqlite_database_url) as gateway, served(gateway) as rest:
        names = ["fast", "pair", "slow-pair", "in-20-s", "acme/gpt-fake"]
        told = await ask_as(rest, "sk-two.local-only", model_names=names, timeout_seconds=1.5)
        codes = [one["error"]["code"] for one in told["data"]]
        assert sorted(codes) == ["parallel_limit_exceeded"] * 3 + ["timeout"] * 2
        assert len(upstream.requests) == 2


async def test_the_example_of_the_docs_works_as_printed(rest: httpx.AsyncClient) -> None:
    (command,) = blocks("docs/send-prompt.md", "sh")
    whole = command.replace(HERE, str(rest.base_url).rstrip("/")).replace("curl ", "curl -sS --fail-with-body -m 20 ", 1)
    run = await asyncio.create_subprocess_exec("bash", "-c", whole, stdout=asyncio.subprocess.PIPE)
    told = json.loads((await run.communicate())[0])
    assert (told["count"], told["succeeded"]) == (2, 2)
    (printed,) = [json.loads(text) for text in blocks("docs/send-prompt.md", "json")]
    assert [told["data"][0].keys(), told.keys()] == [printed["data"][0].keys(), printed.keys()]


async def test_an_answer_without_text_is_an_answer(rest: httpx.AsyncClient, upstream: OpenAIUpstream) -> None:
    upstream.script(answer(""))
    told = await ask(rest, model_names=["fast"])
    assert (told["data"][0]["success"], told["data"][0]["response"]) == (True, "")


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_in_parts_and_chunks_without_a_delta_are_read(
    rest: httpx.AsyncClient, gateway: Rig, upstream: OpenAIUpstream, stream: bool
) -> None:
    """Mistral's thinking models answer with a list of parts, and some servers end with a choice that has no delta."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Because."}]
    if stream:
        end = {**chunk({}, "stop"), "choices": [{"index": 0, "finish_reason": "stop"}]}
        upstream.script(events(chunk({"role": "assistant", "content": parts}), end, end="done"))
        response = await rest.post("/api/send_prompt", json={**ASKED, "model_names": ["fast"], "stream": True})
        told = next(json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ") and '"success":true' in line)
    else:
        upstream.script(whole(completion(parts)))  # type: ignore[arg-type]
        told = (await ask(rest, model_names=["fast"]))["data"][0]
    assert (told["success"], told["response"], told["finish_reason"]) == (True, "Because.", "stop")
    assert (await gateway.last_row())["outcome"] == "completed"
