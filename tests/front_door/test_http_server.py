"""uvicorn with our protocol on a real socket: what leaves it, byte by byte."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from backend import http_server
from backend.http_server import Cycle, Http
from backend.kernel.header_lines import EXTENSION
from backend.observability.logging import configure_logging

Send = Callable[[dict[str, Any]], Awaitable[None]]
Answer = Callable[[dict[str, Any], Send], Awaitable[None]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OK = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain"), (b"content-length", b"5")]}


@asynccontextmanager
async def served(
    answer: Any, once_started: Callable[[], None] = lambda: None, *, keep_alive: float = 5, whole_app: bool = False
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A server that answers with `answer` (which may be all of an ASGI app), and one connection to it."""

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        await answer(scope, send)

    config = uvicorn.Config(
        answer if whole_app else app,
        port=0,
        http=Http,
        lifespan="off",
        access_log=False,
        server_header=False,
        date_header=False,
        log_config=None,
    )
    config.timeout_keep_alive = keep_alive  # type: ignore[assignment]
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    once_started()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


def request(method: str = "GET", *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} / HTTP/{version}", "host: x", *lines, "", ""]).encode() + body


async def hello(_scope: dict[str, Any], send: Send) -> None:
    await send(OK)
    await send({"type": "http.response.body", "body": b"hello"})


def answering(*messages: dict[str, Any]) -> Answer:
    async def answer(_scope: dict[str, Any], send: Send) -> None:
        for message in messages:
            await send(message)

    return answer


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"


async def test_a_whole_answer_leaves_in_one_write_and_the_connection_goes_on() -> None:
    async with served(hello) as (reader, writer):
        for _ in range(3):
            writer.write(request())
            assert await reader.read(65536) == WHOLE


async def test_our_own_log_settings_do_not_switch_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(logging.root, "level", logging.root.level)
    begun: list[object] = []
    begin = Cycle._begin

    def watched(cycle: Cycle, message: Any) -> None:
        begun.append(message)
        begin(cycle, message)

    monkeypatch.setattr(Cycle, "_begin", watched)
    async with served(hello, once_started=configure_logging) as (reader, writer):
        writer.write(request())
        assert await reader.read(65536) == WHOLE
    assert len(begun) == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with served(hello) as (reader, writer):
        writer.write(request() * 3)
        assert await reader.readexactly(3 * len(WHOLE)) == WHOLE * 3


@pytest.mark.parametrize("more", [0, 1, 2])
async def test_a_stream_hears_of_a_hang_up_whatever_was_asked_behind_it(more: int) -> None:
    heard: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        assert scope["method"] == "POST", "nobody waits for the others"
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        gone = asyncio.create_task(receive())
        for _ in range(2000):
            await asyncio.wait([gone], timeout=0.01)
            if gone.done():
                break
            await send({"type": "http.response.body", "body": b"more", "more_body": True})
        heard.set_result(gone.done() and gone.result()["type"] == "http.disconnect")
        gone.cancel()
        await send({"type": "http.response.body"})

    async with served(app, whole_app=True) as (reader, writer):
        writer.write(request("POST", "content-length: 0") + request() * more)
        await reader.readuntil(b"first")
        writer.close()
        assert await heard


async def test_a_stream_is_chunked_and_its_head_leaves_with_the_first_piece() -> None:
    go_on = asyncio.Event()

    async def answer(_scope: dict[str, Any], send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two!", "more_body": True})
        await send({"type": "http.response.body"})

    async with served(answer) as (reader, writer):
        writer.write(request())
        first = await reader.read(65536)
        assert first == b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
        go_on.set()
        assert await reader.readuntil(b"0\r\n\r\n") == b"4\r\ntwo!\r\n0\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_no_framing(status: int) -> None:
    messages = ({"type": "http.response.start", "status": status, "headers": []}, {"type": "http.response.body"})
    async with served(answering(*messages)) as (reader, writer):
        for _ in range(2):
            writer.write(request())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"transfer-encoding" not in head
            assert b"connection" not in head


async def test_head_gets_the_head_alone() -> None:
    async with served(hello) as (reader, writer):
        writer.write(request("HEAD"))
        assert await reader.read(65536) == WHOLE.removesuffix(b"hello")
        writer.write(request())
        assert await reader.read(65536) == WHOLE


@pytest.mark.parametrize("asked", [request("GET", "connection: close"), request(version="1.0")])
async def test_a_caller_that_wants_the_end_gets_it(asked: bytes) -> None:
    async with served(hello) as (reader, writer):
        writer.write(asked)
        answer = await reader.read()
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.endswith(b"hello")


async def test_an_app_that_wants_the_end_gets_it() -> None:
    start = {**OK, "headers": [*OK["headers"], (b"Connection", b"Close")]}  # type: ignore[misc]
    async with served(answering(start, {"type": "http.response.body", "body": b"hello"})) as (reader, writer):
        writer.write(request())
        assert (await reader.read()).count(b"connection:") == 1


async def test_who_expects_a_continue_gets_it_before_the_answer() -> None:
    async with served(hello) as (reader, writer):
        writer.write(request("POST", "content-length: 2", "expect: 100-continue"))
        assert await reader.read(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert await reader.read(65536) == WHOLE


@pytest.mark.parametrize(
    "header",
    [(b"x", b"a\r\nset-cookie: b"), (b"x", b"a\nb"), (b"x", b"a\0b"), (b"x\r\ny", b"a"), (b"x y", b"a"), (b"", b"a"), (b"x:", b"a")],
)
async def test_nothing_can_end_a_header_line(header: tuple[bytes, bytes]) -> None:
    messages = ({"type": "http.response.start", "status": 200, "headers": [header]}, {"type": "http.response.body", "body": b"x"})
    async with served(answering(*messages)) as (reader, writer):
        writer.write(request())
        assert await reader.read() == b""  # the error is in the log, the connection is gone


@pytest.mark.parametrize("body", [b"hell", b"hello!"])
async def test_a_body_that_is_not_as_long_as_announced_ends_the_connection(body: bytes) -> None:
    async with served(answering(OK, {"type": "http.response.body", "body": body})) as (reader, writer):
        writer.write(request())
        answer = await reader.read()
        assert answer.count(b"HTTP/1.1") <= 1
        assert not answer.endswith(b"hello!")


async def test_an_app_that_fails_before_it_answers_is_a_500() -> None:
    async def answer(_scope: dict[str, Any], _send: Send) -> None:
        raise ValueError

    async with served(answer) as (reader, writer):
        writer.write(request())
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")


async def test_messages_out_of_order_are_the_apps_mistake() -> None:
    async with served(answering({"type": "http.response.body", "body": b"x"})) as (reader, writer):
        writer.write(request())
        assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
    async with served(answering(OK, OK)) as (reader, writer):
        writer.write(request())
        assert await reader.read() == b""


def with_lines(*blocks: tuple[bytes, int]) -> Answer:
    return answering({**OK, EXTENSION: blocks}, {"type": "http.response.body", "body": b"hello"})


async def test_header_lines_that_are_ready_are_sent_as_they_are() -> None:
    async with served(with_lines((b"x-one: 1\r\nx-two: 2\r\n", 2), (b"x-three: 3\r\n", 1))) as (reader, writer):
        writer.write(request())
        answer = await reader.read(65536)
        assert answer.replace(b"x-one: 1\r\nx-two: 2\r\nx-three: 3\r\n", b"") == WHOLE


@pytest.mark.parametrize("block", [(b"x-one: 1\r\nx-two: 2\r\n", 1), (b"x-one: 1\r\n", 2), (b"x-one: a\0b\r\n", 1), (b"x-one: 1\n", 1)])
async def test_ready_lines_are_as_many_as_they_say(block: tuple[bytes, int]) -> None:
    async with served(with_lines(block)) as (reader, writer):
        writer.write(request())
        assert await reader.read() == b""


@pytest.mark.parametrize("asked", [(), ("connection: upgrade", "upgrade: h2c")], ids=["plain", "h2c"])
async def test_ready_lines_are_only_asked_for_where_they_will_be_sent(asked: tuple[str, ...]) -> None:
    async def answer(scope: dict[str, Any], send: Send) -> None:
        if EXTENSION in scope.get("extensions", ()):
            await with_lines((b"x-one: 1\r\n", 1))(scope, send)
        else:
            await answering({**OK, "headers": [*OK["headers"], (b"x-one", b"1")]}, {"type": "http.response.body", "body": b"hello"})(
                scope, send
            )

    async with served(answer) as (reader, writer):
        writer.write(request("POST", *asked))
        answered = await reader.readuntil(b"hello")
        assert answered.replace(b"x-one: 1\r\n", b"") == WHOLE
        assert b"x-one: 1\r\n" in answered


@pytest.mark.parametrize("together", [True, False])
async def test_a_body_that_came_with_its_head_need_not_be_waited_for(together: bool) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Send) -> None:
        at_hand = scope.get("bourse.body")
        body = (await receive())["body"]
        while len(body) < 4:
            body += (await receive())["body"]
        await send({**OK, "headers": [(b"at-hand", repr(at_hand).encode()), (b"received", body), (b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with served(app, whole_app=True) as (reader, writer):
        head = request("POST", "content-length: 4")
        for _ in range(2):
            if together:
                writer.write(head + b"body")
            else:
                writer.write(head + b"bo")
                await asyncio.sleep(0.05)
                writer.write(b"dy")
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b"received: body\r\n" in answer
            assert (b"at-hand: b'body'\r\n" if together else b"at-hand: None\r\n") in answer


async def test_a_connection_is_closed_once_it_is_idle_and_not_while_a_request_runs() -> None:
    async def slow(_scope: dict[str, Any], send: Send) -> None:
        await asyncio.sleep(1.0)
        await hello(_scope, send)

    async with served(slow, keep_alive=0.8) as (reader, writer):
        for _ in range(2):
            writer.write(request())
            assert await reader.readexactly(len(WHOLE)) == WHOLE
        assert await reader.read() == b""


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[uvicorn.Server]:
    """The servers that the test starts."""
    started: list[uvicorn.Server] = []
    serve = uvicorn.Server.serve

    async def remember(server: uvicorn.Server) -> None:
        started.append(server)
        await serve(server)

    monkeypatch.setattr(uvicorn.Server, "serve", remember)
    return started


async def stops_listening(server: uvicorn.Server) -> None:
    listening = server.servers[0]
    server.should_exit = True
    async with asyncio.timeout(20):
        while listening.is_serving():
            await asyncio.sleep(0.01)


@pytest.mark.case("D2")
@pytest.mark.parametrize("used", [False, True], ids=["just connected", "kept"])
async def test_a_request_that_was_on_its_way_when_the_server_was_told_to_end_is_answered(
    used: bool, servers: list[uvicorn.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 10.0)
    async with served(hello) as (reader, writer):
        if used:
            writer.write(request())
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        await stops_listening(servers[0])
        writer.write(request("GET", "connection: close"))
        assert (await reader.read()).endswith(b"hello")


async def test_a_silent_connection_is_closed_once_the_server_was_told_to_end(
    servers: list[uvicorn.Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "LINGER_SECONDS", 0.05)
    async with served(hello) as (reader, _):
        await stops_listening(servers[0])
        assert await asyncio.wait_for(reader.read(), 20) == b""


@pytest.mark.case("C3")
@pytest.mark.parametrize("version", ["1.1", "1.0"], ids=["connection stays", "connection closes"])
async def test_who_does_not_read_an_answer_is_cut_off_and_forgotten(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(http_server, "UNREAD_SECONDS", 0.1)
    lost = asyncio.Event()
    connection_lost = Http.connection_lost

    def noted(self: Http, exc: Exception | None) -> None:
        connection_lost(self, exc)
        lost.set()

    monkeypatch.setattr(Http, "connection_lost", noted)
    size = 32 * 1024 * 1024
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]}
    async with served(answering(head, {"type": "http.response.body", "body": bytes(size)})) as (_reader, writer):
        writer.write(request(version=version))
        await asyncio.wait_for(lost.wait(), 20)
