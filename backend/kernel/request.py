"""What is known about one HTTP request beyond its bytes: set once by the front door, read everywhere as `scope["bourse"]`."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from backend.kernel.ids import new_id, random_bytes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""ASGI's own words; `Scope` and `Message` are its dictionaries."""

GONE = "bourse.gone"
"""In the scope where the server knows: a callable that says whether the caller has left. Costs nothing, unlike `receive`."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{7,127}")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@dataclass(slots=True)
class RequestContext:
    """`user_id`, `tenant_id` and `route` are filled in by whoever learns them and end up in the request's log line."""

    request_id: str
    address: str
    trace_id: str
    parent_span_id: str | None
    trace_flags: str
    started: float
    user_id: str | None = None
    tenant_id: str | None = None
    route: str | None = None
    call: dict[str, Any] | None = None
    """Of a gateway call that has ended: what its line says beyond that of any request."""
    quiet: bool = False
    """Assets and probes: counted, not logged."""

    def outgoing_traceparent(self) -> str:
        """The W3C header for a call that we make on behalf of this request: same trace, a span of our own."""
        return f"00-{self.trace_id}-{random_bytes(8).hex()}-{self.trace_flags}"


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name, decoded as Latin-1, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def open_context(scope: Scope, *, started: float, trusted_proxy_hops: int) -> RequestContext:
    """The context of a new request. A caller's own request id and trace are kept if well formed, else made anew."""
    given = trace = forwarded = None
    for key, value in scope["headers"]:
        if key == b"x-request-id":
            given = value.decode("latin-1")
        elif key == b"traceparent":
            trace = _TRACEPARENT.fullmatch(value.decode("latin-1"))
        elif key == b"x-forwarded-for" and trusted_proxy_hops:
            forwarded = f"{forwarded},{value.decode('latin-1')}" if forwarded else value.decode("latin-1")
    address = scope["client"][0] if scope.get("client") else ""
    if forwarded:
        chain = [part.strip() for part in forwarded.split(",")]
        # Each trusted proxy appended the address it saw: ours is that many from the right; whatever stands left of it is hearsay.
        address = chain[-min(trusted_proxy_hops, len(chain))]
    if trace is not None and trace[1] != "0" * 32 and trace[2] != "0" * 16:
        trace_id, parent, flags = trace[1], trace[2], trace[3]
    else:
        trace_id, parent, flags = random_bytes(16).hex(), None, "00"
    return RequestContext(
        request_id=given if given is not None and _REQUEST_ID.fullmatch(given) else new_id("request"),
        address=address,
        trace_id=trace_id,
        parent_span_id=parent,
        trace_flags=flags,
        started=started,
    )
