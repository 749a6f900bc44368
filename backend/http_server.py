"""uvicorn's HTTP/1.1 protocol with the way of an ordinary request made cheaper: by a quarter, around an app that does nothing.

    uvicorn --http backend.http_server:Http …

- An answer's head leaves in one packet with the first of its body, and is checked once as a whole instead of twice for each header.
- A connection has one timer for falling idle, not one for each answer.
- Who takes nothing of what was sent for a minute is cut off, so that it does not stay in memory.
- A body that came together with its head is in `scope["bourse.body"]`, so that nobody has to wait for it; `receive` gives it all the same.
- Told to end, it gives silent connections a moment, where uvicorn would reset who has just connected.
- A head has a bound and a time, and its Host must be one (`backend/http_head.py`).
- Answers may bring whole header lines that are ready to be sent (`backend/kernel/header_lines.py`); the scope's extensions say so.

The promise about headers is uvicorn's: nothing that a caller or a provider wrote can end a header line. Parsing and WebSockets are its
own, and so is everything for whoever wants its access log.
"""

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from backend.http_head import BoundedHead
from backend.kernel.header_lines import EXTENSION
from backend.kernel.request import GONE

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveEvent,
        ASGISendEvent,
        HTTPResponseBodyEvent,
        HTTPResponseStartEvent,
        HTTPScope,
    )

LINGER_SECONDS = 0.3
UNREAD_SECONDS = 60.0
"""How long what is sent may lie here without any of it being taken."""
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MAX_KNOWN = 500
_names: dict[bytes, bytes] = {}
_paths: dict[bytes, str] = {}
_EXTENSIONS: dict[str, dict[object, object]] = {EXTENSION: {}}
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Http(BoundedHead):
    _lean = False
    _unanswered = 0
    _running: RequestResponseCycle | None = None
    _idle_since = 0.0
    _idle_look: asyncio.TimerHandle | None = None
    _unsent = 0
    _unsent_since = 0.0
    _unsent_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        logged = self.access_log and logging.getLogger("uvicorn.access").isEnabledFor(logging.INFO)
        self._lean = not logged and self.limit_concurrency is None and not self.config.reset_contextvars

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells the newest request alone, which may still wait for the one that runs.
        for cycle in (self._running, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)
        if self._idle_look is not None:
            self._idle_look.cancel()
            self._idle_look = None
        if self._unsent_look is not None:
            self._unsent_look.cancel()
            self._unsent_look = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_at_unsent()

    def shutdown(self) -> None:
        """The server is ending. Where nothing is asked at the moment, a request may be on its way: who has just connected, or goes on with
        a connection, still gets an answer."""
        if self._unanswered:
            super().shutdown()
        else:
            self.loop.call_later(LINGER_SECONDS, super().shutdown)

    def on_message_begin(self) -> None:
        self._unanswered += 1
        self.head_begins()
        if not self._lean:
            super().on_message_begin()
            return
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self.scope = {  # type: ignore[typeddict-item]
            "type": "http",
            "asgi": _ASGI,  # type: ignore[typeddict-item]
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,  # type: ignore[typeddict-item]
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": _EXTENSIONS,
        }

    def on_headers_complete(self) -> None:
        parser = self.parser
        version = parser.get_http_version()
        self.head_is_complete(version)
        if not self._lean or parser.should_upgrade():
            self.scope.pop("extensions", None)  # uvicorn answers, which does not know them
            super().on_headers_complete()
            return
        scope, url = self.scope, self.url
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        path = _paths.get(url)
        if path is None:
            path, url, query = _split(url)
        else:
            query = b""
        scope["path"] = self.root_path + path
        scope["raw_path"] = self.root_path.encode("ascii") + url
        scope["query_string"] = query
        scope[GONE] = self.transport.is_closing  # type: ignore[literal-required]
        before = self.cycle
        self.cycle = cycle = Cycle(self, scope, keep_alive=version != "1.0" and parser.should_keep_alive())
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if type(cycle) is not Cycle:
            super().on_body(body)
        elif cycle.response_complete:
            self._idle_since = self.loop.time()  # refused before it was read: whoever still sends is not idle
        else:
            cycle.pieces.append(body)
            cycle.waiting += len(body)
            if cycle.waiting > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        cycle = self.cycle
        if type(cycle) is not Cycle:
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
            if not cycle.asked:
                pieces = cycle.pieces
                cycle.scope["bourse.body"] = pieces[0] if len(pieces) == 1 else b"".join(pieces)  # type: ignore[typeddict-unknown-key]

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._unanswered -= 1
        if self._unsent_look is None and self.transport.get_write_buffer_size():
            self._look_at_unsent()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            if self._idle_look is None:
                self._idle_look = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        """Close the connection if it is idle for long enough. While a request is under way there is nothing to look after."""
        self._idle_look = None
        if self._unanswered:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0.001:
            self._idle_look = self.loop.call_later(left, self._look)
        else:
            self.timeout_keep_alive_handler()

    def _look_at_unsent(self) -> None:
        """Closing a connection waits until everything is taken, and so would whoever sends. Size alone tells: nothing is added to what is
        too much already."""
        if self._unsent_look is not None:
            self._unsent_look.cancel()
            self._unsent_look = None
        unsent, now = self.transport.get_write_buffer_size(), self.loop.time()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        if not unsent:
            return
        if now - self._unsent_since >= UNREAD_SECONDS:
            self.transport.abort()
        else:
            self._unsent_look = self.loop.call_later(UNREAD_SECONDS / 4, self._look_at_unsent)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._running = cycle
        if type(cycle) is not Cycle:
            super()._start_asgi_task(cycle, app)
            return
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    def __init__(self, protocol: Http, scope: "HTTPScope", *, keep_alive: bool) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.server_state = protocol.server_state
        self.on_response = protocol.on_response_complete
        self.message_event = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.pieces: list[bytes] = []
        """Of the request's body, not yet received."""
        self.waiting = 0
        self.asked = False
        self.more_body = True
        self.head = b""
        """Of the answer, not yet sent."""
        self.response_started = self.response_complete = False
        self.chunked_encoding: bool | None = None
        self.expected_content_length = 0

    async def run_asgi(self, app: "ASGI3Application") -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.logger.error("Exception in ASGI application\n", exc_info=error)
            if self.response_started:
                self.transport.close()
            else:
                await self.send_500_response()
        else:
            if not self.response_complete and self.flow.write_paused:
                # The app has given the caller up because it takes nothing: closing would wait for it to take what is left.
                self.transport.abort()
            elif not self.response_complete and not self.disconnected:
                self.logger.error("ASGI callable returned without completing its response.")
                if self.response_started:
                    self.transport.close()
                else:
                    await self.send_500_response()
        finally:
            if self.task is not None:
                self.server_state.tasks.discard(self.task)
                self.task = None
            self.on_response = _nothing

    async def receive(self) -> "ASGIReceiveEvent":
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        self.asked = True
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        pieces, self.pieces, self.waiting = self.pieces, [], 0
        return {"type": "http.request", "body": pieces[0] if len(pieces) == 1 else b"".join(pieces), "more_body": self.more_body}

    async def send(self, message: "ASGISendEvent") -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started and message["type"] == "http.response.start":
            self._begin(message)
        elif self.response_started and not self.response_complete and message["type"] == "http.response.body":
            self._go_on(message)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}'.")

    def _begin(self, message: "HTTPResponseStartEvent") -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        parts = [STATUS_LINE[status]]
        lines = 1
        closing = False
        for name, value in (*self.server_state.default_headers, *message.get("headers", ())):
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
        ready: Any = message
        for block, count in ready.get(EXTENSION, ()):
            parts.append(block)
            lines += count
        if not self.keep_alive and not closing:
            parts.append(b"connection: close\r\n")
            lines += 1
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        head = b"".join(parts)
        if head.count(b"\n") != lines or head.count(b"\r") != lines or 0 in head:
            raise RuntimeError("Invalid HTTP header value.")
        self.head = head + b"\r\n"

    def _go_on(self, message: "HTTPResponseBodyEvent") -> None:
        head, self.head = self.head, b""
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = head
        elif self.chunked_encoding:
            data = b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
            if not more:
                data += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("Response content longer than Content-Length")
            data = head + body if head else body
        if data:
            self.transport.write(data)
        if not more:
            if self.expected_content_length:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def _nothing() -> None:
    """In the place of what would keep a connection in memory."""


def _split(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, raw path and query of a request's target; a path that comes as it is written is remembered, for the same few come again."""
    parsed = httptools.parse_url(url)
    raw, query = parsed.path, parsed.query or b""
    path = raw.decode("ascii")
    if "%" in path:
        path = unquote(path)
    elif raw == url and len(url) <= 100 and len(_paths) < _MAX_KNOWN:
        _paths[url] = path
    return path, raw, query


def _checked(name: bytes) -> bytes:
    """A header's name in lower case, if it is one; remembered, because the same few come again and again."""
    if not _TOKEN.fullmatch(name):
        raise RuntimeError("Invalid HTTP header name.")
    if len(_names) < _MAX_KNOWN:
        _names[name] = name.lower()
    return name.lower()
