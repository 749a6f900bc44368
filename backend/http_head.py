"""What may stand before a request's body, and how long it may take to come.

uvicorn bounds neither: a head without end filled the memory, and one that never ended kept its connection for ever. A Host that is no
host is refused here, before anybody can build an address from it.
"""

import asyncio
import re

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from backend.kernel.errors import BadRequest, BourseError, RequestTimeout, as_openai
from backend.kernel.ids import new_id
from backend.kernel.json import dump_json

HEAD_SECONDS = 15.0
"""From its first packet to its last; and from the connection to the first packet."""
MOST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 200
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_MAX_KNOWN = 500
_hosts: set[bytes] = set()


class HeadRefused(Exception):
    """Raised in the parser's callback, which ends the parsing."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol with bounds for heads. Who derives from it calls `head_begins` and `head_is_complete` from the parser's
    callbacks; a packet that holds a whole head pays for one look at its headers."""

    _head_is_open = False
    _head_bytes = 0
    _head_since = 0.0
    _head_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_look = self.loop.call_later(HEAD_SECONDS, self._look_at_head)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._head_look is not None:
            self._head_look.cancel()
            self._head_look = None

    def head_begins(self) -> None:
        self._head_is_open = True
        self._head_bytes = 0
        self._head_since = 0.0

    def head_is_complete(self, version: str) -> None:
        """Raises:
        HeadRefused: nobody is to see this request.
        """
        self._head_is_open = False
        headers = self.headers
        hosts = 0
        for name, value in headers:
            if name == b"host":
                hosts += 1
                if value not in _hosts:
                    _remember(value)
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                # The parser says so too, but after the request has begun.
                raise HeadRefused
        if hosts != 1 and (hosts or version != "1.0"):
            raise HeadRefused
        if len(headers) > MOST_HEADERS or (version != "1.1" and version != "1.0"):
            raise HeadRefused

    def data_received(self, data: bytes) -> None:
        if len(data) > MOST_HEAD_BYTES and self._awaits_head and data.find(b"\r\n\r\n", 0, MOST_HEAD_BYTES) < 0:
            self.send_400_response("")
            return
        super().data_received(data)
        if self._head_is_open:
            self._is_in_pieces(len(data))

    @property
    def _awaits_head(self) -> bool:
        cycle = self.cycle
        return self._head_is_open or cycle is None or (cycle.response_complete and not cycle.more_body)

    def _is_in_pieces(self, size: int) -> None:
        self._head_bytes += size
        if self.transport.is_closing():
            return
        if self._head_bytes > MOST_HEAD_BYTES:
            self.send_400_response("")
            return
        now = self.loop.time()
        self._head_since = self._head_since or now
        if self._head_look is None:
            self._head_look = self.loop.call_at(self._head_since + HEAD_SECONDS, self._look_at_head)

    def _look_at_head(self) -> None:
        self._head_look = None
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        if self._head_is_open:
            due = self._head_since + HEAD_SECONDS
            if self.loop.time() < due - 0.001:
                self._head_look = self.loop.call_at(due, self._look_at_head)
            else:
                self._refuse(RequestTimeout("The request's head did not come in time."))
        elif self.cycle is None:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence is for its log
        self._refuse(BadRequest("This is no HTTP request, or its head is larger than 64 KiB or 200 headers, or its Host is none."))

    def _refuse(self, error: BourseError) -> None:
        """Answer what never became a request, unless an answer is on its way, and hang up."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = dump_json(as_openai(error))
            head = b"%bcontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (STATUS_LINE[error.status], len(body), new_id("request").encode()) + body)
        self.transport.close()


def _remember(host: bytes) -> None:
    if not _HOST.fullmatch(host):
        raise HeadRefused
    if len(_hosts) < _MAX_KNOWN:
        _hosts.add(host)
