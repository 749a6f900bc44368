"""The scripted upstream: OpenAI's chat completions on loopback, as cheap as Python makes it, counting what it serves.

`python -m benchmarks.upstream PORT` serves until it is ended. Besides `/v1/chat/completions` it knows
`GET /witness` (counts so far) and `POST /pace` (`{"pieces": N, "gap_ms": N}`: how the next streams are paced).
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import cast

import httptools
import uvloop

from benchmarks.wire import STREAM_PIECES, WITNESS, event, http_chunk, whole_answer


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


_WHOLE = _response(whole_answer())
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
_DONE = http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Script:
    """Pace of streams, prepared bytes and the counts: shared by all connections of one upstream."""

    def __init__(self) -> None:
        self.whole = self.streams = self.chunks = self.hung_up = 0
        self.pieces, self.gap = STREAM_PIECES, 0.005
        self._role = {wanted: http_chunk(event({"role": "assistant", "content": ""}, with_usage=wanted)) for wanted in (False, True)}
        piece: dict[str, object] = {"content": WITNESS.decode() + " "}
        self.piece = {wanted: http_chunk(event(piece, with_usage=wanted)) for wanted in (False, True)}
        self._finish = {wanted: http_chunk(event({}, finish="stop", with_usage=wanted)) for wanted in (False, True)}

    def head(self, with_usage: bool) -> bytes:
        """Status line, role event and first piece of content, which real servers send in one breath."""
        return _STREAM_HEAD + self._role[with_usage] + self.piece[with_usage]

    def tail(self, with_usage: bool, pieces: int) -> bytes:
        """Finish event, usage if it was asked for, and the end of the stream."""
        counted = http_chunk(event(None, tokens=pieces, with_usage=True)) if with_usage else b""
        return self._finish[with_usage] + counted + _DONE

    def witness(self) -> dict[str, int]:
        """What was served so far."""
        return {"whole": self.whole, "streams": self.streams, "chunks": self.chunks, "hung_up": self.hung_up}


class Connection(asyncio.Protocol):
    """One keep-alive connection: answers calls one after another."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body = b""
        self._timer: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, same methods

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._timer is not None:
            self._timer.cancel()
            self._script.hung_up += 1

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._path = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        script = self._script
        if self._path.endswith(b"/chat/completions"):
            if b'"stream":true' in self._body or b'"stream": true' in self._body:
                script.streams += 1
                with_usage = b"include_usage" in self._body
                self._transport.write(script.head(with_usage))
                script.chunks += 1
                self._next(with_usage, script.pieces, iter(range(script.pieces - 1)))
            else:
                script.whole += 1
                self._transport.write(_WHOLE)
        elif self._path == b"/witness":
            self._transport.write(_response(json.dumps(script.witness()).encode()))
        elif self._path == b"/pace":
            pace = json.loads(self._body)
            script.pieces, script.gap = int(pace["pieces"]), float(pace["gap_ms"]) / 1000
            self._transport.write(_response(b"{}"))
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _next(self, with_usage: bool, pieces: int, left: Iterator[int]) -> None:
        """Send the remaining pieces, each in a write of its own; without a gap the streams take turns, piece by piece."""
        loop, gap = asyncio.get_running_loop(), self._script.gap

        def send() -> None:
            if next(left, None) is None:
                self._timer = None
                self._transport.write(self._script.tail(with_usage, pieces))
                return
            self._script.chunks += 1
            self._transport.write(self._script.piece[with_usage])
            self._timer = loop.call_later(gap, send) if gap else loop.call_soon(send)

        self._timer = loop.call_later(gap, send) if gap else loop.call_soon(send)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until cancelled."""
    script = Script()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(script), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
