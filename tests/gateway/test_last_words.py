"""What a caller is told, and what it is charged, when a call does not end as it should."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from backend.gateway import watch as watch_module
from backend.gateway.responses import EventWriter
from backend.gateway.watch import Watch
from backend.http_server import Http
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream, canonical_chunks, chunk, events, status
from tests.gateway.conftest import KEY, PLAIN, Rig, configuration, open_gateway
from tests.gateway.errors import assert_error
from tests.gateway.test_watch import never

BEARER = {"authorization": f"Bearer {KEY}"}


# ── who is told of when several failed ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("first", "second", "expected", "code"),
    [
        pytest.param(500, 429, 502, "upstream_error", id="500 429"),
        pytest.param(503, 404, 502, "upstream_error", id="503 404"),
        pytest.param(500, 401, 502, "upstream_error", id="500 401"),
        pytest.param(404, 401, 502, "upstream_credentials", id="404 401"),
        pytest.param(401, 404, 502, "upstream_credentials", id="401 404"),
        pytest.param(429, 404, 503, "no_available_provider", id="429 404"),
        pytest.param(429, 429, 429, "upstream_rate_limited", id="429 429"),
        pytest.param(404, 404, 404, "model_not_found", id="404 404"),
        pytest.param(500, 400, 400, None, id="500 400"),
    ],
)
async def test_what_may_pass_is_told_before_what_stays(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, first: int, second: int, expected: int, code: str | None
) -> None:
    upstream.script(status(first))
    other.script(status(second))
    response = await gateway.post({**PLAIN, "model": "pair"})
    kind = {429: "rate_limit_error", 404: "invalid_request_error", 400: "invalid_request_error"}.get(expected, "api_error")
    assert_error(response, expected, kind, code)


@pytest.mark.parametrize(("larger", "asked"), [(None, 1), (4096, 0), (8192, 0), (16384, 1)])
async def test_a_prompt_that_is_too_long_is_asked_where_the_window_is_larger_or_unknown(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, larger: int | None, asked: int
) -> None:
    """The windows are put where the catalog is asked: the test's own catalog is empty."""
    windows = {"gpt-fake": 8192, "gpt-other": larger}
    monkeypatch.setattr(gateway.runtime.gateway._pipeline._upstreams, "window", lambda candidate: windows[candidate.model])
    too_long = {"error": {"message": "Too long.", "type": "invalid_request_error", "code": "context_length_exceeded", "param": None}}
    upstream.script(status(400, too_long))
    for stream in (False, True):
        response = await gateway.post({**PLAIN, "model": "pair", "stream": stream})
        if asked:
            assert response.status_code == 200
        else:
            assert_error(response, 400, "invalid_request_error", "context_length_exceeded")
    assert len(other.requests) == 2 * asked


async def test_refused_credentials_are_said_to_the_operator_once_a_minute_and_counted(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(status(401))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert (await gateway.post(PLAIN)).status_code == 502
    said = [entry for entry in logs if entry["event"] == "provider.credentials_refused"]
    assert [(entry["provider"], entry["log_level"]) for entry in said] == [("acme", "error")]
    assert b'bourse_provider_credentials_refused_total{provider="acme"} 1.0' in gateway.runtime.metrics.render()
    assert len(upstream.requests) == 1, "a key that was refused is tried again by a probe, not by every call"


# ── what is charged ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("C1")
async def test_a_hang_up_while_the_connection_is_being_made_costs_nothing(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream
) -> None:
    """The provider takes connections and never says a word of TLS: the request is not written."""

    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(f"https://127.0.0.1:{port}/v1", upstream.base_url)))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        caller = asyncio.create_task(rig.post(PLAIN))
        await connected.wait()
        caller.cancel()
        row = await rig.last_row("client_closed")
        assert (row["charged_nano"], row["usage_source"], row["attempts"]) == (0, "none", 1)
    server.close()


# ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_comments_of_the_provider_are_no_sign_of_an_answer(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*canonical_chunks()[:4], *[b": PROCESSING\n\n"] * 2000, end="hang", gap=0.05))
    _, values = await gateway.events(model="hasty-alone")
    error = json.loads(values[-1])["error"]
    assert error["code"] == "upstream_timeout"
    assert "no data" in error["message"]


async def test_the_caller_gets_its_comment_although_the_provider_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts for the caller's side of the connection is what was sent to the caller."""
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.02)
    sent: list[bytes] = []
    commented = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))
        if b"keep-alive" in sent[-1]:
            commented.set()

    watch = Watch(never, total=30, keep_alive_after=0.2)
    writer = EventWriter(send, watch, list)
    watch.limit(30, "first_token")
    await writer.write(b"data: 1\n\n")
    watch.waiting = True
    for _ in range(500):
        watch.last = asyncio.get_running_loop().time()
        if commented.is_set():
            break
        await asyncio.sleep(0.02)
    watch.stop()
    assert commented.is_set()


async def test_a_caller_that_stops_reading_has_its_full_time_from_the_write_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watch_module, "STALL_SECONDS", 5.0)
    watch = Watch(never, total=30)
    paused = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            paused.set()
            await asyncio.sleep(0.2)

    writer = EventWriter(send, watch, list)
    watch.limit(30, "first_token")
    watch.last -= 10  # the provider has been thinking for longer than a stall may last
    await writer.write(b"data: 1\n\n")
    watch.stop()
    assert paused.is_set()
    assert watch.reason is None


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_last_bytes_are_given_up_when_nobody_takes_them() -> None:
    async def send(message: Any) -> None:
        if not message.get("more_body", message["type"] == "http.response.start"):
            await asyncio.Event().wait()

    writer = EventWriter(send, Watch(never, total=30), list)
    await asyncio.wait_for(writer.finish(b"data: [DONE]\n\n", seconds=0.05), 20)


@pytest.mark.parametrize("complete", [True, False])
async def test_the_provider_is_let_go_before_the_caller_takes_its_last_bytes(
    gateway: Rig, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, complete: bool
) -> None:
    """The caller's last write waits until the provider's connection is closed."""
    whole = canonical_chunks()
    upstream.script(events(*(whole if complete else [*whole[:4], {"error": {"message": "no", "code": 500}}]), end="hang"))
    finish = EventWriter.finish

    async def late(self: EventWriter, data: bytes, **options: Any) -> None:
        await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 10)
        await finish(self, data, **options)

    monkeypatch.setattr(EventWriter, "finish", late)
    _, values = await gateway.events(model="hasty-alone")
    # A wait in vain would have become an internal error.
    assert values[-1] == "[DONE]" if complete else json.loads(values[-1])["error"]["code"] == "upstream_error"


async def test_a_stream_that_the_process_ends_says_so(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*canonical_chunks()[:6], end="hang"))
    before = asyncio.all_tasks()
    async with gateway.http.stream("POST", "/v1/chat/completions", json={**PLAIN, "stream": True}, headers=BEARER) as response:
        lines = response.aiter_lines()
        async for line in lines:
            if "fox" in line:
                break
        [running] = [task for task in asyncio.all_tasks() - before if "run_asgi" in repr(task.get_coro())]
        running.cancel("the server is ending")
        rest = [line async for line in lines if line.startswith("data: ")]
    error = json.loads(rest[-1][6:])["error"]
    assert (error["code"], error["message"]) == ("unavailable", "Bourse is restarting.")
    assert (await gateway.last_row())["outcome"] == "interrupted"


async def test_a_comment_that_was_due_does_not_answer_after_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    watch = Watch(never, total=30)
    writer = EventWriter(send, watch, list)
    assert watch.keep_alive is not None
    watch.keep_alive()
    writer.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert sent == []


async def test_the_overhead_in_the_headers_is_not_the_time_of_a_provider_that_is_still_thinking(
    gateway: Rig, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment starts the answer long before the first token."""
    defaults = Watch.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "keep_alive_after", 0.5)
    upstream.script(events(chunk({"role": "assistant", "content": ""}), chunk({"content": "x"}), chunk({}, "stop"), end="done", gap=1.5))
    response = await gateway.post({**PLAIN, "stream": True})
    assert response.content.startswith(b": keep-alive")
    overhead, elapsed = float(response.headers["x-bourse-overhead-ms"]), float(response.headers["openai-processing-ms"])
    assert elapsed >= 400
    # The half second in which the provider alone was waited for; a busy machine adds to both.
    assert elapsed - overhead >= 400


# ── a call that waits for its turn ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.case("C1")
@pytest.mark.parametrize("keyed", [False, True])
async def test_who_hangs_up_before_it_is_his_turn_is_not_asked_for(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, keyed: bool
) -> None:
    left = asyncio.Event()

    class Noted(Http):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            left.set()

    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(upstream.base_url, upstream.base_url)))
    async with open_gateway(file, tmp_path, sqlite_database_url, http=Noted) as rig:
        waits, his_turn, admit = asyncio.Event(), asyncio.Event(), rig.runtime.limiter.admit

        async def queued(*given: Any) -> Any:
            waits.set()
            await his_turn.wait()
            return await admit(*given)

        monkeypatch.setattr(rig.runtime.gateway._pipeline._limiter, "admit", queued)
        caller = asyncio.create_task(rig.post(PLAIN, headers={"idempotency-key": "k"} if keyed else {}))
        await waits.wait()
        caller.cancel()
        await asyncio.wait_for(left.wait(), 20)
        for _ in range(5):
            await asyncio.sleep(0)
        his_turn.set()
        row = await rig.last_row("client_closed")
        assert (row["status"], row["charged_nano"], row["attempts"]) == (499, 0, 0)
        assert not upstream.requests


async def test_an_answer_that_came_is_handed_out_and_charged_though_the_process_ends_while_it_waits_for_its_turn(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gateway.runtime.gateway.gate
    waiting: list[Any] = []

    async def go_on(_tenant: str) -> None:
        waiting.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(gate, "is_crowded", lambda _tenant: True)
    monkeypatch.setattr(gate, "go_on", go_on)
    asked = asyncio.create_task(gateway.post(PLAIN))
    async with asyncio.timeout(20):
        while not waiting:
            await asyncio.sleep(0.01)
    waiting[0].cancel()
    assert (await asked).json()["choices"][0]["message"]["content"] == TEXT
    row = await gateway.last_row()
    assert (row["outcome"], row["status"], row["output_tokens"], row["usage_source"]) == ("completed", 200, 10, "provider")
