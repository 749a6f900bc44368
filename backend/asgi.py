"""The front door: one ASGI app that looks at the path and hands the request to the gateway, the REST surface or the pages.

It also does what every surface needs in the same way: request ids, trace context, one log line per request, metrics, security headers,
CORS, and the one answer to an exception that nobody foresaw. `gateway` is the same door without pages, for scaling `/v1` on its own:

    uvicorn backend.asgi:gateway
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus

from backend.kernel.left_out import COLOURS, left_out

with left_out(*COLOURS):
    import structlog

from backend.configuration import load_settings
from backend.draining import drained
from backend.gateway.messages.errors import as_anthropic, speaks_anthropic
from backend.gateway.pipeline import LAST_WORD_SECONDS
from backend.identity.cookies import session_cookie, sign_in_address
from backend.identity.first_run import announce_setup
from backend.kernel.db import CALLERS_PATIENCE, EDITORS_PATIENCE, patience
from backend.kernel.errors import (
    BourseError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Restarting,
    Unavailable,
    as_openai,
    as_rest,
    response_headers,
)
from backend.kernel.header_lines import EXTENSION, lines_of, pairs_of
from backend.kernel.json import dump_json
from backend.kernel.request import App, Message, Receive, RequestContext, Scope, Send, header, open_context
from backend.observability.health import health_report, liveness, readiness
from backend.observability.logging import configure_logging
from backend.observability.request_log import RequestLog
from backend.pages import Pages, StaticPages, needs_reader
from backend.runtime import Runtime, open_runtime
from backend.settings import Settings

log = structlog.get_logger(__name__)

GATEWAY = frozenset({"v1", "router"})
REST = frozenset({"auth", "carbon", "catalog", "pricing", "benchmarks", "suggestions", "taxonomy", "api", "admin", "openapi.json"})
PROBES = frozenset({"livez", "readyz", "healthz", "metrics"})

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_SECURITY_LINES = lines_of(SECURITY_HEADERS)
SLOW_START_RETRY_SECONDS = 2
_CLOSING = ((b"connection", b"close"),)
_EXPOSED = b", ".join(
    (
        b"x-request-id, request-id, age, etag, location, retry-after, x-should-retry, openai-processing-ms",
        b"x-bourse-model, x-bourse-provider, x-bourse-cost-usd, x-bourse-cache, x-bourse-attempts, x-bourse-fallback, x-bourse-dropped",
        b"x-bourse-overhead-ms, x-bourse-limits, x-bourse-quota-exceeded, x-bourse-downgraded, x-bourse-max-output-lowered, "
        b"x-bourse-replay-of, x-bourse-token-count, idempotency-replayed",
        b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests",
        b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens",
        b"x-budget-scope, x-budget-limit, x-budget-used, x-budget-remaining, x-budget-warning, x-budget-exceeded, x-budget-resets-at",
    )
)
"""What a browser lets a page of another origin read of an answer."""

_ALLOWED = (
    b"authorization, content-type, cache-control, if-match, if-none-match, idempotency-key, x-api-key, x-bourse-task, "
    b"x-request-id, traceparent, anthropic-version, anthropic-beta, anthropic-dangerous-direct-browser-access"
)
"""What such a page may send."""


class FrontDoor:
    """Routes by the path's first whole segment: `/router/x` is the gateway, `/routers` is a page.

    `pages` is None for the gateway alone. Until `open` has a runtime, everything but the probes answers 503.
    `for_good`: the process is there for nothing else.
    """

    def __init__(self, settings: Settings, pages: App | None = None, *, for_good: bool = False) -> None:
        self.settings = settings
        self._for_good = for_good
        self.runtime: Runtime | None = None
        self._rest: App | None = None
        self._log = RequestLog()
        self._pages = Pages(pages, StaticPages.found(), settings) if pages is not None else None
        self._origins = frozenset(settings.server.cors_origins)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Runtime]:
        """The lifespan: the runtime exists inside of it."""
        async with AsyncExitStack() as stack:
            # Last of all: calls that the end of the runtime cuts have their lines, too.
            stack.callback(self._log.gather_no_more)
            runtime = await stack.enter_async_context(open_runtime(self.settings, when_ready=self._announce))
            if self._pages is not None:
                from backend.rest import build_rest  # FastAPI is not loaded for the gateway alone

                self._rest = build_rest(runtime)
                await stack.enter_async_context(runtime.schedule.running())
            self.runtime = runtime
            stack.enter_context(drained(self.settings.server.drain_delay.total_seconds(), runtime.drain))
            try:
                yield runtime
            finally:
                self.runtime = None

    async def _announce(self, runtime: Runtime) -> None:
        """Tell the operator's console where to make the first account; the gateway alone has no page for it."""
        if self._for_good:
            # The catalog and all modules stay. Looking through them for garbage takes 80 ms, again and again, in which nobody is served.
            gc.collect()
            gc.freeze()
            # What calls leave behind is freed by counting references; looking for circles at every 700 objects cost a tenth of a call.
            gc.set_threshold(20_000, 20, 20)
            # Again, over next to nothing: the collector waits until a quarter of what it last found alive has come anew.
            gc.collect()
        if self._pages is not None:
            here = self.settings.server.public_url or f"http://localhost:{os.environ.get('PORT', '3000')}"
            await announce_setup(runtime.identity, here, sys.stdout)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            if self._pages is None:
                await send({"type": "websocket.close", "code": 1000})
            else:
                await self._pages.websocket(scope, receive, send)
        elif self._pages is not None:
            await self._pages.app(scope, receive, send)
        else:
            await self._lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        context = open_context(scope, started=started, trusted_proxy_hops=self.settings.server.trusted_proxy_hops)
        scope["bourse"] = context
        segment = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        own = [_SECURITY_LINES, (b"x-request-id: %b\r\n" % context.request_id.encode("latin-1"), 1)]
        origin = header(scope, b"origin") if self._origins else None
        cors = _cors_headers(origin) if origin in self._origins else ()
        status = 0

        takes_lines = EXTENSION in scope.get("extensions", ())

        def send_with_headers(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ending = _CLOSING if self.runtime is not None and self.runtime.readiness.draining else ()
                lines = [*message.get(EXTENSION, ()), *own]
                if takes_lines:
                    message[EXTENSION] = lines
                    message["headers"] = [*message.get("headers", ()), *cors, *ending]
                else:
                    message.pop(EXTENSION, None)
                    pairs = (pair for block in lines for pair in pairs_of(block))
                    message["headers"] = [*message.get("headers", ()), *cors, *ending, *pairs]
            return send(message)

        try:
            if cors and scope["method"] == "OPTIONS":
                await _respond(send_with_headers, 204, b"", content_type=None)
            else:
                await self._route(segment, scope, receive, send_with_headers)
        except BourseError as error:
            if not status:
                await answer_error(send_with_headers, error, segment, scope)
        except asyncio.CancelledError:
            # The server's patience with running calls is over.
            if not status:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await answer_error(send_with_headers, Restarting(retry_after=1), segment, scope)
            raise
        except Exception:
            log.exception("request.failed", requestId=context.request_id, path=scope["path"][:200])
            if self.runtime is not None:
                self.runtime.metrics.unhandled.inc()
            if not status:
                ours = InternalError(f"Something went wrong on our side. Quote request {context.request_id}.")
                await answer_error(send_with_headers, ours, segment, scope)
        finally:
            self._account(context, scope, segment, status, time.monotonic() - started)

    async def _route(self, segment: str, scope: Scope, receive: Receive, send: Send) -> None:
        if segment in GATEWAY:
            await self._started().gateway(scope, receive, send)
        elif segment in PROBES:
            await self._probe(segment, scope, send)
        elif self._pages is None:
            raise NotFound("This is the gateway alone: /v1, /router, /healthz, /livez, /readyz and /metrics.")
        elif segment in REST or (segment == "match" and scope["method"] not in ("GET", "HEAD")):
            self._started()
            if self._rest is None:
                raise Unavailable("Bourse is still starting.", retry_after=SLOW_START_RETRY_SECONDS)
            patience.set(CALLERS_PATIENCE if scope["method"] in ("GET", "HEAD") else EDITORS_PATIENCE)
            await self._rest(scope, receive, send)
        else:
            if not self.settings.store.public and needs_reader(scope["path"]) and not await self._may_read(scope):
                elsewhere = sign_in_address(scope["path"], scope["query_string"].decode("latin-1")).encode("latin-1")
                await _respond(send, 303, b"", content_type=None, extra=((b"location", elsewhere), (b"cache-control", b"no-store")))
                return
            await self._pages.http(scope, receive, send)

    async def _may_read(self, scope: Scope) -> bool:
        """Whether somebody is signed in."""
        runtime, context = self._started(), scope["bourse"]
        cookie = session_cookie(header(scope, b"cookie") or "", self.settings)
        view = await runtime.identity.session(cookie, address=context.address, request_id=context.request_id)
        return view.signed_in

    def _started(self) -> Runtime:
        runtime = self.runtime
        missing = "starting" if runtime is None else runtime.missing
        if runtime is None or missing is not None:
            raise Unavailable(f"Not ready: {missing}.", code="storage_unavailable", retry_after=SLOW_START_RETRY_SECONDS)
        return runtime

    async def _probe(self, segment: str, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(headers={"allow": "GET, HEAD"})
        scope["bourse"].quiet = True
        if segment == "metrics":
            if self.runtime is None or not self.settings.observability.enable_metrics:
                raise NotFound("Metrics are switched off.")
            await _respond(send, 200, self.runtime.metrics.render(), content_type=b"text/plain; version=0.0.4; charset=utf-8")
            return
        report = await {"livez": liveness, "readyz": readiness, "healthz": health_report}[segment](self.runtime)
        await _respond(send, report.status, dump_json(report.body), extra=((b"cache-control", b"no-store"),))

    def _account(self, context: RequestContext, scope: Scope, segment: str, status: int, seconds: float) -> None:
        route = context.route or (f"/{segment}" if segment in GATEWAY or segment in REST or segment in PROBES else "page")
        if self.runtime is not None:
            self.runtime.metrics.observe_request(route, scope["method"], status, seconds)
        if not context.quiet:
            self._log.write(context, scope, route=route, status=status, seconds=seconds)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.open())
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def answer_error(send: Send, error: BourseError, segment: str, scope: Scope) -> None:
    """The one place where an error becomes an HTTP answer outside of the gateway's own pipeline; who asks decides in which shape."""
    extra = [(key.lower().encode("latin-1"), value.encode("latin-1", "replace")) for key, value in response_headers(error).items()]
    if segment in GATEWAY:
        body = as_openai(error)
        if speaks_anthropic(scope["path"]):
            request_id: str = scope["bourse"].request_id
            body = as_anthropic(body, request_id)
            extra.append((b"request-id", request_id.encode("latin-1")))
    else:
        body = as_rest(error)
    await _respond(send, error.status, dump_json(body), extra=tuple(extra))


async def _respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes | None = b"application/json",
    extra: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *extra]
    if content_type is not None:
        headers.append((b"content-type", content_type))
    await send({"type": "http.response.start", "status": HTTPStatus(status).value, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _cors_headers(origin: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """For an origin that the operator named; credentials are never allowed across origins, keys travel in headers."""
    return (
        (b"access-control-allow-origin", (origin or "").encode("latin-1")),
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", _ALLOWED),
        (b"access-control-expose-headers", _EXPOSED),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin"),
    )


class _Gateway:
    """The gateway alone: reads the configuration when the server starts it, not when it is imported."""

    def __init__(self) -> None:
        self._door: FrontDoor | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._door is None:
            configure_logging()
            self._door = FrontDoor(load_settings(), for_good=True)
        await self._door(scope, receive, send)


class _WholeApp:
    """The two ends that Reflex takes: a wrapper around its own app, and a lifespan."""

    def __init__(self) -> None:
        self._door: FrontDoor | None = None

    def wrap(self, pages: App) -> FrontDoor:
        """Called once per serving process, with Reflex's ASGI app."""
        configure_logging()
        self._door = FrontDoor(load_settings(), pages, for_good=True)
        return self._door

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        if self._door is None:
            raise RuntimeError("the lifespan began before the front door was put in place")
        async with self._door.open():
            yield


gateway = _Gateway()
_whole_app = _WholeApp()
front_door = _whole_app.wrap
lifespan = _whole_app.lifespan
