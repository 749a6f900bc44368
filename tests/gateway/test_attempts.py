"""Retries, breakers and refused keys as callers and operators meet them: headers, the answer's list of attempts, the ledger, events."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import structlog
import yaml

from backend.asgi import FrontDoor
from backend.kernel.events import Event
from backend.providers.openai import OpenAIProvider
from backend.providers.provider import ChatRequest, StreamAnswer
from backend.routing.events import CandidateClosed, CandidateOpened, CredentialsAccepted, CredentialsRefused
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, answer, chunk, events, garbage, hang, status
from tests.gateway.conftest import KEY, PLAIN, PROVIDER_KEY, Rig, configuration, open_gateway

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def hole() -> Iterator[int]:
    """A port that swallows every packet: its queue of connections is full, and nobody takes one from it."""
    with socket.socket() as listening, ExitStack() as filling:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            one = filling.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@pytest.fixture
async def gateway(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream, hole: int
) -> AsyncIterator[Rig]:
    """`tough` asks both, `alone` the first; `probing` probes all the time."""
    settings = configuration(upstream.base_url, other.base_url)
    first, second = settings["models"][1]["candidates"]
    tough: dict[str, Any] = {"strategy": "ordered", "candidates": [first, second], "retries": {"backoff": "1ms"}}
    settings["models"] += [
        {"alias": "tough", **tough},
        {"alias": "alone", **tough, "candidates": [first]},
        {"alias": "probing", **tough, "breaker": {"probe_interval": "0s"}},
        {"alias": "at-once", **tough, "retries": {"max_wait": "0s"}},
        {"alias": "off-tough", **tough, "recover": "off"},
        {"alias": "hasty-tough", **tough, "timeouts": {"attempt": "1s", "first_token": "1s"}},
    ]
    settings["providers"]["tls"] = {"base_url": upstream.base_url.replace("http://", "https://")}
    settings["providers"]["hole"] = {"base_url": f"http://127.0.0.1:{hole}/v1"}
    for name in ("tls", "hole"):
        candidates = [{**first, "provider": name}, second]
        settings["models"].append({"alias": name, **tough, "candidates": candidates, "timeouts": {"connect": "800ms"}})
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


async def ask(gateway: Rig, model: str, *, stream: bool = False) -> tuple[Any, dict[str, Any]]:
    """The response, and the `bourse` object of its answer."""
    response = await gateway.post({**PLAIN, "model": model, "stream": stream})
    if response.status_code != 200:
        return response, {}
    if not stream:
        return response, response.json()["bourse"]
    chunks = [json.loads(line[6:]) for line in response.text.split("\n") if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]) == TEXT
    return response, next(chunk["bourse"] for chunk in chunks if "bourse" in chunk)


def told(gateway: Rig) -> list[Event]:
    events: list[Event] = []
    for kind in (CandidateOpened, CandidateClosed, CredentialsRefused, CredentialsAccepted):
        gateway.runtime.events.subscribe(kind, events.append)
    return events


@BOTH
async def test_all_attempts_are_told_and_written_down_and_one_answer_is_charged(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, stream: bool
) -> None:
    upstream.script(status(503))
    response, facts = await ask(gateway, "tough", stream=stream)
    assert (response.headers["x-bourse-attempts"], response.headers["x-bourse-fallback"]) == ("4", "true")
    assert response.headers["x-bourse-provider"] == "backup"
    attempts = [(attempt["provider"], attempt["outcome"], attempt.get("error"), attempt["status"]) for attempt in facts["attempts"]]
    assert attempts == [("acme", "failed", "upstream_error", 503)] * 3 + [("backup", "completed", None, 200)]
    call = await gateway.last_row()
    rows = await gateway.rows("call_attempt")
    assert [(row["number"], row["provider"], row["outcome"], row["status"]) for row in rows] == [
        (1, "acme", "failed", 503),
        (2, "acme", "failed", 503),
        (3, "acme", "failed", 503),
        (4, "backup", "completed", 200),
    ]
    assert [row["provider_cost_nano"] for row in rows] == [0, 0, 0, call["charged_nano"]]
    assert (call["provider"], call["attempts"], call["outcome"]) == ("backup", 4, "completed")
    assert call["charged_nano"] > 0
    assert len(other.requests) == 1


async def test_a_retry_is_no_fallback(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(status(500), answer())
    response, facts = await ask(gateway, "tough")
    assert (response.headers["x-bourse-attempts"], response.headers["x-bourse-fallback"]) == ("2", "false")
    assert [attempt["provider"] for attempt in facts["attempts"]] == ["acme", "acme"]


async def test_whoever_answers_for_one_that_is_left_out_is_the_fallback(gateway: Rig, upstream: OpenAIUpstream) -> None:
    events = told(gateway)
    upstream.script(status(503), status(503), status(503), answer())
    await ask(gateway, "tough")
    response, _ = await ask(gateway, "tough")
    assert (response.headers["x-bourse-attempts"], response.headers["x-bourse-fallback"]) == ("1", "true")
    assert len(upstream.requests) == 3
    response, _ = await ask(gateway, "probing")
    assert (response.headers["x-bourse-provider"], response.headers["x-bourse-fallback"]) == ("acme", "false")
    assert [type(event) for event in events] == [CandidateOpened, CandidateClosed]


@BOTH
@pytest.mark.case("U10")
async def test_with_everybody_left_out_a_call_costs_nothing_and_says_when_to_come_back(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, stream: bool
) -> None:
    upstream.script(status(503))
    other.script(status(503))
    assert (await ask(gateway, "tough"))[0].status_code == 502
    asked = len(upstream.requests) + len(other.requests)
    response, _ = await ask(gateway, "tough", stream=stream)
    assert response.json()["error"]["code"] == "no_available_provider"
    assert response.status_code == 503
    assert 1 <= int(response.headers["retry-after"]) <= 10
    assert len(upstream.requests) + len(other.requests) == asked == 6
    assert gateway.runtime.keeper.held_usd("reserved") == 0
    call = await gateway.last_row()
    assert (call["outcome"], call["attempts"], call["charged_nano"]) == ("refused", 0, 0)


@BOTH
async def test_when_all_limit_us_the_caller_hears_the_smallest_time(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, stream: bool
) -> None:
    upstream.script(status(429, None, "retry-after: 50"))
    other.script(status(429, None, "retry-after: 40"))
    with pytest.raises(openai.RateLimitError) as limited:
        await gateway.client.chat.completions.create(model="at-once", messages=[{"role": "user", "content": "hi"}], stream=stream)
    assert (limited.value.code, limited.value.response.headers["retry-after"]) == ("upstream_rate_limited", "40")
    response, _ = await ask(gateway, "at-once", stream=stream)
    assert (response.json()["error"]["code"], len(upstream.requests), len(other.requests)) == ("upstream_rate_limited", 1, 1)
    assert int(response.headers["retry-after"]) <= 40


@pytest.mark.case("U6")
async def test_a_refused_key_is_the_operators_to_hear_of_and_heals_by_itself(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    events = told(gateway)
    echo = {
        "error": {"message": f"Incorrect API key provided: {PROVIDER_KEY}.", "type": "invalid_request_error", "code": "invalid_api_key"}
    }
    upstream.script(status(401, echo))
    with structlog.testing.capture_logs() as logs:
        response, _ = await ask(gateway, "tough")
        assert (response.status_code, response.headers["x-bourse-provider"]) == (200, "backup")
        for _ in range(3):
            response, _ = await ask(gateway, "alone")
            assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_credentials")
            assert PROVIDER_KEY not in response.text
            # All models of the provider are asked with the same key.
            direct = await gateway.post({**PLAIN, "model": "acme/another"})
            assert (direct.status_code, direct.json()["error"]["code"]) == (502, "upstream_credentials")
    assert len(upstream.requests) == 1
    assert events == [CredentialsRefused("acme", "gpt-fake", 401, True)]
    assert [entry["log_level"] for entry in logs if entry["event"] == "provider.credentials_refused"] == ["error"]
    assert b'bourse_provider_credentials_refused_total{provider="acme"} 1.0' in gateway.runtime.metrics.render()
    upstream.script(answer())
    assert (await ask(gateway, "probing"))[0].headers["x-bourse-provider"] == "acme"
    assert (await ask(gateway, "alone"))[0].status_code == 200
    assert events[1:] == [CredentialsAccepted("acme")]


@BOTH
@pytest.mark.case("U1")
async def test_silence_refusal_and_rubbish_fall_over_within_the_deadline(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, stream: bool
) -> None:
    # Plain HTTP where TLS was asked for, and a black hole: neither lets itself be connected to, and one such wait is enough.
    for model in ("tls", "hole"):
        response, facts = await ask(gateway, model, stream=stream)
        assert [(attempt["provider"], attempt.get("error")) for attempt in facts["attempts"]] == [
            (model, "upstream_timeout"),
            ("backup", None),
        ]
    for step in (hang(), garbage(b"\x16\x03\x01 what is this")):
        upstream.script(step)
        response, facts = await ask(gateway, "hasty-tough", stream=stream)
        assert (response.headers["x-bourse-provider"], len(facts["attempts"])) == ("backup", 2)
    await upstream.__aexit__(None, None, None)
    response, facts = await ask(gateway, "probing", stream=stream)
    assert (response.headers["x-bourse-provider"], response.status_code) == ("backup", 200)
    other.script(hang())
    response, _ = await ask(gateway, "hasty-tough", stream=stream)
    assert (response.status_code, response.json()["error"]["code"]) == (504, "upstream_timeout")


# Streams ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asks_for"),
    [("off-tough", {}), ("tough", {"logprobs": True}), ("tough", {"n": 2})],
    ids=["off", "logprobs", "two choices"],
)
async def test_a_stream_that_breaks_counts_also_where_nobody_may_go_on_with_it(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, model: str, asks_for: dict[str, Any]
) -> None:
    upstream.script(events(chunk({"content": "The"}), chunk({"content": " quick"}), end="reset"))
    for _ in range(3):
        response, _ = await gateway.events(model=model, **asks_for)
        assert "upstream_error" in response.text
    response, _ = await gateway.events(model=model, **asks_for)
    assert response.headers["x-bourse-provider"] == "backup"
    assert (len(upstream.requests), len(other.requests)) == (3, 1)
    rows = await gateway.rows("call_attempt")
    assert [row["outcome"] for row in rows] == ["failed"] * 3 + ["completed"]
    assert all(row["provider_cost_nano"] > 0 for row in rows)


async def test_an_adapter_that_stumbles_in_the_middle_of_a_stream_has_broken_it(gateway: Rig, upstream: OpenAIUpstream) -> None:
    class Stumbling(OpenAIProvider):
        async def open_stream(self, request: ChatRequest) -> StreamAnswer:
            answer = await super().open_stream(request)
            read, reads = answer.read, 0

            class Once:
                release, close = answer.release, answer.close

                async def read(self) -> bytes:
                    nonlocal reads
                    reads += 1
                    return await read() if reads == 1 else bytes(1 // 0)

            return Once()

    upstream.script(events(chunk({"content": "The"}), chunk({"content": " quick"}), end="hang"))
    gateway.runtime.connections.shared["acme"].__class__ = Stumbling
    with structlog.testing.capture_logs() as logs:
        _, facts = await ask(gateway, "tough", stream=True)
    assert [(attempt["provider"], attempt["outcome"]) for attempt in facts["attempts"]] == [("acme", "failed"), ("backup", "completed")]
    assert [entry["exc_info"] for entry in logs if entry["event"] == "provider.not_understood"] == [True]


async def test_who_has_said_everything_is_free_before_the_caller_has_the_end_of_it(gateway: Rig) -> None:
    running: list[int] = []

    async def send(message: Any) -> None:
        if b"[DONE]" in message.get("body", b""):
            running.extend(health.in_flight for health in gateway.runtime.health.all())

    await through_the_door(gateway, {**PLAIN, "stream": True}, send)
    assert running == [0]


@BOTH
async def test_the_time_of_a_call_begins_with_the_call(gateway: Rig, upstream: OpenAIUpstream, stream: bool) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await through_the_door(gateway, {**PLAIN, "model": "brief", "stream": stream}, send, after=1.05)
    assert sent[0]["status"] == 504
    assert b"upstream_timeout" in sent[1]["body"]
    assert upstream.requests == []
    row = await gateway.last_row()
    assert (row["outcome"], row["attempts"], row["charged_nano"]) == ("refused", 0, 0)
    assert gateway.runtime.keeper.held_usd("reserved") == 0


async def through_the_door(gateway: Rig, body: dict[str, Any], send: Any, *, after: float = 0.0) -> None:
    """A call as the server hands it over, whose body comes `after` so many seconds."""
    door = FrontDoor(gateway.runtime.settings)
    door.runtime = gateway.runtime
    data = json.dumps(body).encode()
    scope = {
        "type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "client": ("127.0.0.1", 1), "scheme": "http",
        "headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"content-length", str(len(data)).encode())],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(after)
        return {"type": "http.request", "body": data, "more_body": False}

    await door(scope, receive, send)
