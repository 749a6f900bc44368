"""One HTTP/1.1 connection to a provider, and one answer read from it.

Written for one thing: POST a body that lies ready, read the answer as it comes, in as little CPU as Python allows (a general client takes
more for a call than everything else that the gateway does). httptools parses; nothing here follows redirects, keeps cookies or retries.
"""

import asyncio
import zlib
from collections.abc import Callable
from typing import cast

import httptools

MAX_HEADER_BYTES = 64 * 1024
QUEUE_BYTES = 32 * 1024
"""How much of an answer may wait for its reader before the socket is left unread."""
READ_BYTES = 64 * 1024
"""The most that is taken from a socket at once. A caller who does not read leaves no more than the two with us, and as much again and
the server's 64 KiB on the way out: 256 KiB."""
_PIECE_BYTES = 1024 * 1024
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class BrokenOff(OSError):
    """The connection ended before the answer did."""


class NotHttp(Exception):
    """What came is not an HTTP answer that we understand; the text says what it is instead."""


class TooLarge(Exception):
    """The answer is longer than the reader wants."""


class HttpAnswer:
    """Status, headers and a body that is read while it arrives."""

    __slots__ = ("_connection", "_decoder", "_error", "_headers", "_queue", "_queued", "_waiter", "done", "heard", "status")

    def __init__(self, connection: "Connection") -> None:
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self.heard = False
        """At least one byte has come."""
        self.done = False
        """The whole body has arrived (some of it may still be unread)."""
        self._connection: Connection | None = connection
        self._queue: list[bytes] = []
        self._queued = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._decoder: zlib._Decompress | None = None

    def header(self, name: bytes) -> str | None:
        """The value of a header, its name in lower case; repeated ones are joined by commas. Of two dozen that a provider sends, two are
        looked at, so only those are decoded."""
        found = [value for key, value in self._headers if key == name]
        return b", ".join(found).decode("latin-1") if found else None

    @property
    def content_type(self) -> str:
        """In lower case and without parameters; "" if the provider did not say."""
        return (self.header(b"content-type") or "").partition(";")[0].strip().lower()

    async def begun(self) -> None:
        """Wait for status and headers.

        Raises:
            BrokenOff, NotHttp: they never came.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            await self._wait()
        encoding = (self.header(b"content-encoding") or "").strip().lower()
        if encoding in _WINDOW_BITS:
            self._decoder = zlib.decompressobj(_WINDOW_BITS[encoding])
        elif encoding not in ("", "identity"):
            raise NotHttp("an encoding that was not asked for")

    async def read(self) -> bytes:
        """What has arrived since the last read, or the next that arrives; b"" at the end.

        Raises:
            BrokenOff: the connection ended too early; everything before it was read.
            NotHttp: the framing or the compression is damaged.
        """
        while True:
            if self._queue:
                data = self._queue[0] if len(self._queue) == 1 else b"".join(self._queue)
                self._queue.clear()
                self._queued = 0
                if self._decoder is not None:
                    data = self._decode(data)
                if self._connection is not None:
                    self._connection.go_on()
                if data:
                    return data
            elif self._error is not None:
                raise self._error
            elif self.done:
                return b""
            else:
                await self._wait()

    async def read_whole(self, at_most: int) -> bytes:
        """The rest of the body. The connection is given up unless the end was reached.

        Raises:
            TooLarge: it is longer than `at_most` bytes.
            BrokenOff, NotHttp: as `read`.
        """
        first, more, size = b"", [], 0
        try:
            while data := await self.read():
                size += len(data)
                if size > at_most:
                    raise TooLarge
                if first:
                    more.append(data)
                else:
                    first = data
        finally:
            self.close()
        return b"".join((first, *more)) if more else first

    def close(self) -> None:
        """Lose interest: an unfinished answer's connection is dropped, and the provider notices. May be called twice; never blocks."""
        if self._connection is not None:
            self._connection.drop()

    def _decode(self, data: bytes) -> bytes:
        """At most 1 MiB at a time: a small answer must not be able to fill our memory."""
        decoder = self._decoder
        assert decoder is not None
        try:
            plain = decoder.decompress(data, _PIECE_BYTES)
        except zlib.error:
            raise NotHttp("damaged compression") from None
        if decoder.unconsumed_tail:
            self._queue.insert(0, decoder.unconsumed_tail)
            self._queued += len(decoder.unconsumed_tail)
        return plain

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the connection tells.

    def got_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Names in lower case."""
        self._headers = headers
        self.status = status
        self._wake()

    def got_body(self, data: bytes) -> bool:
        """True if the reader is too far behind."""
        self._queue.append(data)
        self._queued += len(data)
        self._wake()
        return self._queued > QUEUE_BYTES

    def got_end(self, error: Exception | None = None) -> None:
        """Nothing more will come. The connection is not this answer's any more."""
        self._connection = None
        self._error = error
        self.done = error is None
        self._wake()


class Connection(asyncio.BufferedProtocol):
    """One socket; one exchange at a time.

    Args:
        room: `READ_BYTES` to read into, shared by all connections of a loop: what was read is used before anybody else reads.
        free: called with this connection when it may be used again.
        lost: called once when it is gone.
    """

    __slots__ = (
        "_answer", "_complete", "_framed", "_free", "_header_bytes", "_headers", "_informational", "_keep", "_lost", "_parser", "_paused",
        "_room", "_status", "_transport", "closed", "idle_since",
    )  # fmt: skip

    def __init__(self, room: memoryview, free: Callable[["Connection"], None], lost: Callable[["Connection"], None]) -> None:
        self._room = room
        self._free = free
        self._lost = lost
        self._parser = httptools.HttpResponseParser(self)
        self._answer: HttpAnswer | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_bytes = 0
        self._status = 0
        self._informational = self._framed = self._complete = self._keep = self._paused = False
        self._transport: asyncio.Transport
        self.closed = False
        self.idle_since = 0.0

    def send(self, request: bytes) -> HttpAnswer:
        """Send one complete request; its answer begins when the provider says so."""
        self._answer = answer = HttpAnswer(self)
        self._complete = False
        self._transport.write(request)
        return answer

    def drop(self) -> None:
        """Hang up now."""
        if not self.closed:
            self.closed = True
            self._transport.abort()

    def go_on(self) -> None:
        """The reader has caught up."""
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class, same methods

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        answer, self._answer = self._answer, None
        if answer is not None:
            # A body without a length ends with the connection; any other is cut short.
            whole = exc is None and answer.status and not self._framed
            answer.got_end(None if whole else BrokenOff("the connection was lost"))
        self._lost(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's own idea of how much it reads
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        answer = self._answer
        if answer is None:
            self.drop()  # nothing was asked: what comes now could be taken for the next answer
            return
        try:
            self._parser.feed_data(self._room[:nbytes])
        except httptools.HttpParserUpgrade:
            self._fail("an upgrade to another protocol")
            return
        except httptools.HttpParserError:
            self._fail("what is not HTTP")
            return
        if self._complete:
            self._answer = None
            # An answer before the request was taken in whole: the rest of the request would be read as a new one.
            reusable = self._keep and not self._transport.get_write_buffer_size()
            answer.got_end()
            if reusable and not self.closed:
                self.go_on()
                self._free(self)
            else:
                self.drop()

    def _fail(self, reason: str) -> None:
        answer, self._answer = self._answer, None
        self.drop()
        if answer is not None:
            answer.got_end(NotHttp(reason))

    # httptools' side; what is raised here ends the parsing as HttpParserCallbackError, an HttpParserError

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than was asked for")
        if self._answer is not None:
            self._answer.heard = True
        self._headers = []
        self._header_bytes = 0
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")
        key = name.lower()
        self._headers.append((key, value))
        if key == b"content-length" or key == b"transfer-encoding":
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._informational = status < 200
        if self._informational:
            return
        if status in (204, 304):
            self._framed = True
        answer = self._answer
        if answer is not None:
            answer.got_head(status, self._headers)

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is not None and answer.got_body(data) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._informational:
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()
