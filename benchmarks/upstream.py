"""The scripted upstream: chats on loopback, as cheap as Python makes it, counting what it serves.

`python -m benchmarks.upstream PORT` serves until it is ended. The path says in which of the `dialects` it answers: OpenAI's
`/v1/chat/completions` and those of other protocols. Besides it knows `GET /witness` (counts so far) and `POST /pace`
(`{"pieces": N, "gap_ms": N}`: how the next streams are paced).
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from typing import cast

import httptools
import uvloop

from benchmarks import dialects
from benchmarks.dialects import Dialect
from benchmarks.wire import STREAM_PIECES, http_chunk


def _response(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"
_STREAMING = re.compile(rb":streamGenerateContent|-stream$")
"""Of paths; other protocols say it in the body."""


class Voice:
    """A dialect in HTTP's framing."""

    def __init__(self, dialect: Dialect) -> None:
        self.whole = _response(dialect.whole)
        self.piece = http_chunk(dialect.piece)
        opening = http_chunk(dialect.opening) if dialect.opening else b""
        self.head = _STREAM_HEAD % dialect.stream_type + opening + self.piece
        """Status line, first events and first piece of content, which real servers send in one breath."""
        self._closing = dialect.closing

    def tail(self, pieces: int) -> bytes:
        """The last events, and the end of the stream."""
        return http_chunk(self._closing(pieces)) + _END


class Script:
    """Pace of streams, prepared bytes and the counts: shared by all connections of one upstream."""

    def __init__(self) -> None:
        self.whole = self.streams = self.chunks = self.hung_up = 0
        self.pieces, self.gap = STREAM_PIECES, 0.005
        self._openai = {wanted: Voice(dialects.openai(with_usage=wanted)) for wanted in (False, True)}
        azure, gemini = Voice(dialects.azure()), Voice(dialects.gemini())
        claude, converse = Voice(dialects.bedrock_claude()), Voice(dialects.bedrock_converse())
        self._others = [
            (re.compile(rb"/openai/deployments/"), azure),
            (re.compile(rb"/api/v1/chat/completions"), Voice(dialects.openrouter())),
            (re.compile(rb"/v1/messages$"), Voice(dialects.anthropic())),
            (re.compile(rb"/v1beta/models/.*:(?:g|streamG)enerateContent"), gemini),
            (re.compile(rb"/model/.*/invoke"), claude),
            (re.compile(rb"/model/.*/converse"), converse),
        ]

    def asked(self, path: bytes, body: bytes) -> tuple[Voice, bool] | None:
        """Who answers a request, and whether in a stream; None where nobody does."""
        if path == b"/v1/chat/completions":
            return self._openai[b"include_usage" in body], b'"stream":true' in body or b'"stream": true' in body
        for known, voice in self._others:
            if known.match(path):
                return voice, _STREAMING.search(path) is not None or b'"stream":true' in body
        return None

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
        asked = script.asked(self._path, self._body)
        if asked is not None:
            voice, streams = asked
            if streams:
                script.streams += 1
                self._transport.write(voice.head)
                script.chunks += 1
                self._next(voice, script.pieces, iter(range(script.pieces - 1)))
            else:
                script.whole += 1
                self._transport.write(voice.whole)
        elif self._path == b"/witness":
            self._transport.write(_response(json.dumps(script.witness()).encode()))
        elif self._path == b"/pace":
            pace = json.loads(self._body)
            script.pieces, script.gap = int(pace["pieces"]), float(pace["gap_ms"]) / 1000
            self._transport.write(_response(b"{}"))
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _next(self, voice: Voice, pieces: int, left: Iterator[int]) -> None:
        """Send the remaining pieces, each in a write of its own; without a gap the streams take turns, piece by piece."""
        loop, gap = asyncio.get_running_loop(), self._script.gap

        def send() -> None:
            if next(left, None) is None:
                self._timer = None
                self._transport.write(voice.tail(pieces))
                return
            self._script.chunks += 1
            self._transport.write(voice.piece)
            self._timer = loop.call_later(gap, send) if gap else loop.call_soon(send)

        self._timer = loop.call_later(gap, send) if gap else loop.call_soon(send)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until cancelled."""
    script = Script()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(script), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
