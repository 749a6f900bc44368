"""The hot path's HTTP client against servers that write their own bytes, on both event loops that we may run on."""

import asyncio
import gzip

import pytest

from backend.kernel.addresses import AddressPolicy
from backend.providers.exchange import MAX_HEADER_BYTES, QUEUE_BYTES, READ_BYTES
from backend.providers.http import AddressForbidden, BrokenOff, NotConnected, NotHttp, Target, TooLarge, UpstreamHttp
from tests.fakes.byte_server import HEAD, Call, ask, client, sending, serving


async def test_a_request_is_what_the_target_and_the_call_say() -> None:
    async with serving(sending(HEAD + b"content-length: 2\r\n\r\nok")) as (server, url), client() as http:
        target = http.target(url + "?v=1", {"authorization": "Bearer secret", "content-type": "application/json"})
        answer = await http.post(target, b'{"a":1}', "accept: x/y\r\n", connect_seconds=10)
        assert (answer.status, answer.content_type, await answer.read_whole(10)) == (200, "application/json", b"ok")
        lines = server.calls[0].head.decode().split("\r\n")
        assert lines[0] == "POST /v1/chat?v=1 HTTP/1.1"
        assert sorted(lines[1:]) == sorted(
            [
                "",
                "",
                f"host: {url.split('/')[2]}",
                "authorization: Bearer secret",
                "content-type: application/json",
                "accept: x/y",
                "content-length: 7",
            ]
        )
        assert server.calls[0].body == b'{"a":1}'


async def test_calls_one_after_another_share_a_connection_and_parallel_ones_do_not() -> None:
    async with serving(sending(HEAD + b"content-length: 2\r\n\r\nok")) as (server, url), client() as http:
        for _ in range(3):
            assert await ask(http, url) == b"ok"
        assert server.connections == 1
        assert await asyncio.gather(*(ask(http, url) for _ in range(3))) == [b"ok"] * 3
        assert server.connections == 3


async def test_an_answer_cut_into_single_bytes_is_the_same_answer() -> None:
    whole = HEAD + b"transfer-encoding: chunked\r\nx-a: 1\r\nX-A: 2\r\n\r\n5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\ntrailer: x\r\n\r\n"
    async with serving(sending(*(whole[i : i + 1] for i in range(len(whole))))) as (server, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        assert answer.header(b"x-a") == "1, 2"
        assert await answer.read_whole(100) == b"hello!"
        assert await ask(http, url) == b"hello!"
        assert server.connections == 1


async def test_a_stream_is_read_as_it_comes() -> None:
    go_on = asyncio.Event()

    async def serve(call: Call) -> None:
        await call.send(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        await call.send(b"3\r\ntwo\r\n0\r\n\r\n")

    async with serving(serve) as (_, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        assert await answer.read() == b"one"
        assert not answer.done
        go_on.set()
        assert [await answer.read(), await answer.read(), await answer.read()] == [b"two", b"", b""]


async def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async with serving(sending(HEAD + b"\r\n", b"until", b" the end", close=True)) as (server, url), client() as http:
        assert await ask(http, url) == b"until the end"
        assert await ask(http, url) == b"until the end"
        assert server.connections == 2


@pytest.mark.parametrize("framing", [b"content-length: 10\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"])
async def test_an_answer_that_is_cut_is_told_after_what_came(framing: bytes) -> None:
    async with serving(sending(HEAD + framing, close=True)) as (_, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        assert await answer.read() == b"half"
        with pytest.raises(BrokenOff):
            await answer.read()


async def test_a_server_that_hangs_up_without_a_word_broke_off() -> None:
    async with serving(sending(close=True)) as (_, url), client() as http:
        with pytest.raises(BrokenOff):
            await ask(http, url)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"a" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
    ids=["ssh", "bad length", "two framings", "endless headers", "upgrade"],
)
async def test_what_is_not_an_http_answer_is_said_and_the_connection_is_dropped(nonsense: bytes) -> None:
    async with serving(sending(nonsense)) as (server, url), client() as http:
        with pytest.raises(NotHttp):
            await ask(http, url)
        await server.hung_up.wait()


async def test_informational_answers_come_before_the_answer() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    async with serving(sending(early, HEAD + b"content-length: 2\r\n\r\nok")) as (server, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        assert answer.header(b"link") is None
        assert await answer.read_whole(10) == b"ok"
        assert await ask(http, url) == b"ok"
        assert server.connections == 1


async def test_an_answer_without_a_body_is_complete() -> None:
    async with serving(sending(b"HTTP/1.1 204 No Content\r\n\r\n")) as (server, url), client() as http:
        assert await ask(http, url) == b""
        assert await ask(http, url) == b""
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"content-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\npoisoned",
    ],
    ids=["close", "HTTP/1.0", "a second answer that nobody asked for"],
)
async def test_such_connections_are_not_used_again(answer: bytes) -> None:
    async with serving(sending(answer)) as (server, url), client() as http:
        for _ in range(2):
            try:
                assert await ask(http, url) == b"ok"
            except NotHttp:
                assert b"poisoned" in answer
        assert server.connections == 2


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    async def serve(call: Call) -> None:
        await call.send(HEAD + b"content-length: 2\r\n\r\nok")
        await asked.wait()
        if call.connection == 1:
            await call.send(HEAD + b"content-length: 8\r\n\r\npoisoned")

    asked = asyncio.Event()
    async with serving(serve) as (server, url), client() as http:
        assert await ask(http, url) == b"ok"
        asked.set()
        await server.hung_up.wait()
        assert await ask(http, url) == b"ok"
        assert server.connections == 2


async def test_a_connection_that_the_server_closed_while_idle_is_replaced() -> None:
    async with serving(sending(HEAD + b"content-length: 2\r\n\r\nok", close=True)) as (server, url), client() as http:
        assert await ask(http, url) == b"ok"
        await server.hung_up.wait()
        await asyncio.sleep(0.01)  # the loop has to see the end of the socket, which sends no signal of its own
        assert await ask(http, url) == b"ok"


async def test_an_answer_that_comes_before_the_request_was_taken_is_read_and_the_connection_dropped() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await writer.drain()
        await reader.read(1)
        gone.set()

    gone = asyncio.Event()
    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listener, client() as http:
        port = listener.sockets[0].getsockname()[1]
        answer = await http.post(http.target(f"http://127.0.0.1:{port}/", {}), b"x" * 20_000_000, "", connect_seconds=10)
        assert (answer.status, await answer.read_whole(10)) == (413, b"big")
        await gone.wait()


async def test_compressed_answers_are_unpacked_whole_and_in_streams() -> None:
    packed = gzip.compress(b"hello " * 1000)
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with serving(sending(head, packed[:20], packed[20:])) as (server, url), client() as http:
        assert await ask(http, url) == b"hello " * 1000
        assert await ask(http, url) == b"hello " * 1000
        assert server.connections == 1


@pytest.mark.parametrize("encoding", [b"br", b"gzip", b"deflate"])
async def test_a_body_that_cannot_be_unpacked_is_said(encoding: bytes) -> None:
    async with serving(sending(HEAD + b"content-encoding: %b\r\ncontent-length: 4\r\n\r\nzzzz" % encoding)) as (_, url), client() as http:
        with pytest.raises(NotHttp):
            await ask(http, url)


async def test_a_compressed_bomb_is_unpacked_a_piece_at_a_time_and_refused_at_the_limit() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
    async with (
        serving(sending(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb)) as (_, url),
        client() as http,
    ):
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        assert len(await answer.read()) <= 1024 * 1024
        with pytest.raises(TooLarge):
            await answer.read_whole(3 * 1024 * 1024)


async def test_an_answer_longer_than_wanted_is_refused_and_its_connection_dropped() -> None:
    pieces = [b"3e8\r\n" + b"x" * 1000 + b"\r\n"] * 20
    async with serving(sending(HEAD + b"transfer-encoding: chunked\r\n\r\n", *pieces)) as (server, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        with pytest.raises(TooLarge):
            await answer.read_whole(5000)
        await server.hung_up.wait()


async def test_a_slow_reader_leaves_the_socket_unread_and_loses_nothing() -> None:
    total = 32 * 1024 * 1024
    sent = 0

    async def serve(call: Call) -> None:
        nonlocal sent
        await call.send(HEAD + b"content-length: %d\r\n\r\n" % total)
        for _ in range(total // 65536):
            await call.send(bytes(65536))
            sent += 65536

    async with serving(serve) as (_, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        before = -1
        while sent != before:  # until the server is stuck
            before = sent
            await asyncio.sleep(0.05)
        assert sent < total
        assert answer._queued <= QUEUE_BYTES + READ_BYTES
        assert len(await answer.read_whole(total)) == total


async def test_closing_an_answer_half_way_hangs_up_at_once() -> None:
    async with serving(sending(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")) as (server, url), client() as http:
        answer = await http.post(http.target(url, {}), b"", "", connect_seconds=10)
        assert await answer.read() == b"one"
        answer.close()
        answer.close()
        await server.hung_up.wait()
        with pytest.raises(BrokenOff):
            await answer.read()


async def test_giving_up_before_the_answer_begins_hangs_up() -> None:
    async with serving(sending()) as (server, url), client() as http:
        call = asyncio.create_task(ask(http, url))
        while not server.calls:
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await server.hung_up.wait()


async def test_closing_the_client_ends_every_connection() -> None:
    async with serving(sending(HEAD + b"content-length: 2\r\n\r\nok")) as (server, url), client() as http:
        assert await ask(http, url) == b"ok"
        await http.close()
        await server.hung_up.wait()


async def test_an_address_that_is_not_allowed_is_never_connected_to() -> None:
    async with serving(sending()) as (server, url):
        http = UpstreamHttp(AddressPolicy())
        with pytest.raises(AddressForbidden):
            await ask(http, url)
        with pytest.raises(AddressForbidden):
            await ask(http, url.replace("127.0.0.1", "localhost"))
        assert server.connections == 0


async def test_nobody_there_is_not_connected(unused_tcp_port: int) -> None:
    async with client() as http:
        with pytest.raises(NotConnected):
            await ask(http, f"http://127.0.0.1:{unused_tcp_port}/")


async def test_a_connection_that_takes_too_long_is_a_timeout() -> None:
    async with serving(sending()) as (_, url), client() as http:
        # Plain TCP on the other side: the TLS handshake never ends.
        with pytest.raises(TimeoutError):
            await http.post(http.target(url.replace("http:", "https:"), {}), b"", "", connect_seconds=0.05)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://example.com/", {}),
        ("http:///nohost", {}),
        ("http://example.com/a b", {}),
        ("http://example.com/a\r\nx: y", {}),
        ("http://example.com/", {"x": "a\r\ny: b"}),
        ("http://example.com/", {"x\n": "a"}),
    ],
)
async def test_what_could_be_read_as_another_header_is_no_target(url: str, headers: dict[str, str]) -> None:
    async with client() as http:
        try:
            target = http.target(url, headers)
        except ValueError:
            return
        assert target.head.count(b"\r\n") == 2 + len(headers)  # urlsplit itself takes line ends out of a URL
        assert b"\nx: y" not in target.head


async def test_a_target_is_worked_out_once_and_says_the_default_port_only_where_asked() -> None:
    async with client() as http:
        assert http.target("https://api.example.com/v1", {}) == Target(
            "api.example.com", 443, True, b"POST /v1 HTTP/1.1\r\nhost: api.example.com\r\n"
        )
        assert http.target("http://[::1]:8000", {}).head == b"POST / HTTP/1.1\r\nhost: [::1]:8000\r\n"


async def test_a_kept_connection_that_the_server_has_just_closed_costs_nobody_an_answer() -> None:
    async def serve(call: Call) -> None:
        if call.connection == 1 and len(server.calls) == 2:
            call.writer.close()
        else:
            await call.send(HEAD + b"content-length: 2\r\n\r\nok")

    async with serving(serve) as (server, url), client() as http:
        assert [await ask(http, url), await ask(http, url)] == [b"ok", b"ok"]
        assert [call.connection for call in server.calls] == [1, 1, 2]


@pytest.mark.parametrize("answered_first", [True, False], ids=["half an answer", "a fresh connection"])
async def test_nothing_is_sent_twice_once_something_came_back_or_on_a_fresh_connection(answered_first: bool) -> None:
    async def serve(call: Call) -> None:
        if answered_first and len(server.calls) == 1:
            await call.send(HEAD + b"content-length: 2\r\n\r\nok")
            return
        if answered_first:
            await call.send(b"HTTP/1.1 2")
        call.writer.close()

    async with serving(serve) as (server, url), client() as http:
        if answered_first:
            assert await ask(http, url) == b"ok"
        with pytest.raises(BrokenOff):
            await ask(http, url)
        assert len(server.calls) == (2 if answered_first else 1)


async def test_the_caller_of_post_learns_when_the_request_is_written_and_not_before() -> None:
    said: list[str] = []
    async with serving(sending(HEAD + b"content-length: 2\r\n\r\nok")) as (_, url), client() as http:
        target = http.target(url, {})
        await (await http.post(target, b"", "", connect_seconds=2, sending=lambda: said.append("sent"))).read_whole(10)
        assert said == ["sent"]
    nobody = UpstreamHttp(AddressPolicy())
    with pytest.raises(AddressForbidden):
        await nobody.post(target, b"", "", connect_seconds=2, sending=lambda: said.append("again"))
    assert said == ["sent"]


@pytest.mark.case("S1")
async def test_a_target_shows_no_key_to_who_prints_it() -> None:
    async with client() as http:
        target = http.target("https://api.example.org/v1", {"authorization": "Bearer sk-canary-0123456789"})
        assert b"sk-canary" in target.head
        assert "sk-canary" not in repr(target)
