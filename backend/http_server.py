"""uvicorn's HTTP/1.1 protocol with an answer's start made cheaper: the head leaves in one packet with the first of the body, and headers
are checked once for the whole head instead of twice for each.

    uvicorn --http backend.http_server:Http …

ASGI wants the first (a server sends nothing before the first body message), and the second keeps the same promise: nothing that a caller
or a provider wrote can end a header line. Parsing, pipelining, back-pressure and shutting down are uvicorn's own.
"""

import logging
import re
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseBodyEvent, HTTPResponseStartEvent

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = bytes(sign for sign in range(256) if (sign < 32 and sign != 9) or sign == 127)
_MAX_NAMES = 500
_names: dict[bytes, bytes] = {}


class Http(HttpToolsProtocol):
    def on_headers_complete(self) -> None:
        before = self.cycle
        super().on_headers_complete()
        cycle = self.cycle
        # Whoever wants uvicorn's access log gets uvicorn's own way. Ours has the logger and drops its lines by level.
        if cycle is not before and not (cycle.access_log and cycle.access_logger.isEnabledFor(logging.INFO)):
            cycle.__class__ = Cycle  # its task has not run yet


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    head = b""

    async def send(self, message: "ASGISendEvent") -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started and message["type"] == "http.response.start":
            self._begin(message)
        elif self.head and message["type"] == "http.response.body":
            self._first(message)
        else:
            await super().send(message)

    def _begin(self, message: "HTTPResponseStartEvent") -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        parts = [STATUS_LINE[status]]
        lines = 1
        closing = False
        for name, value in (*self.default_headers, *message.get("headers", ())):
            name = _names.get(name) or _checked(name)
            if name == b"content-length":
                if self.chunked_encoding is None:
                    self.expected_content_length = int(value)
                    self.chunked_encoding = False
            elif name == b"transfer-encoding":
                if value.lower() == b"chunked":
                    self.expected_content_length = 0
                    self.chunked_encoding = True
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                closing = True
            parts += (name, b": ", value, b"\r\n")
            lines += 1
        if not self.keep_alive and not closing:
            parts.append(b"connection: close\r\n")
            lines += 1
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        head = b"".join(parts)
        if len(head.translate(None, _CONTROLS)) != len(head) - 2 * lines:
            raise RuntimeError("Invalid HTTP header value.")
        self.head = head + b"\r\n"

    def _first(self, message: "HTTPResponseBodyEvent") -> None:
        head, self.head = self.head, b""
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = head
        elif self.chunked_encoding:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            data = head + chunk if more else head + chunk + b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("Response content longer than Content-Length")
            data = head + body
        self.transport.write(data)
        if not more:
            if self.expected_content_length:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def _checked(name: bytes) -> bytes:
    """A header's name in lower case, if it is one; remembered, because the same few come again and again."""
    if not _TOKEN.fullmatch(name):
        raise RuntimeError("Invalid HTTP header name.")
    if len(_names) < _MAX_NAMES:
        _names[name] = name.lower()
    return name.lower()
