"""What every page's state stands on: whose socket an event came through, and how a failure reaches the person.

There is no base class: states are flat subclasses of `rx.State`, and a public method on a base would be one more remote procedure on
each. A state that shows what only its person may see says `_personal: ClassVar[bool] = True`; `state.gate` empties it whenever a page
connects, because a browser's tab keeps its state across signing out and in, and the name under which it is kept is the browser's choice.
Where the store is not public, all that show it are personal.
"""

import traceback
from contextvars import ContextVar
from typing import Any

import structlog
from reflex.istate.proxy import StateProxy
from reflex_base.registry import RegistrationContext

from backend import runtime
from backend.identity.cookies import session_cookie
from backend.identity.principal import Principal
from backend.identity.schemas import SIGNED_OUT, SessionView
from backend.kernel.errors import BourseError, InternalError, as_toast
from backend.kernel.request import open_context

log = structlog.get_logger(__name__)


class _Admitted:
    """The session that the guard of the running handler has checked."""

    def __init__(self) -> None:
        self._current: ContextVar[SessionView | None] = ContextVar("admitted", default=None)

    def set(self, session: SessionView | None) -> None:
        self._current.set(session)

    def __call__(self) -> SessionView:
        """SIGNED_OUT in a handler that anybody may call; such a handler asks `session_of` if it wants to know."""
        return self._current.get() or SIGNED_OUT


admitted = _Admitted()


async def session_of(state: Any, *, request_id: str = "") -> SessionView:
    """Whose session the event's socket was opened with, as it stands in the database now. Handlers that run for long ask again.

    Raises:
        StorageUnavailable: the process is starting or the database is away.
    """
    now = runtime.current()
    headers = state.router.headers.raw_headers
    cookie = session_cookie(headers.get("cookie", ""), now.settings)
    return await now.identity.session(cookie, address=address_of(state), request_id=request_id)


async def still_speaks_for(state: Any, who: Principal) -> bool:
    """Whether the event's socket speaks for the same person with the same rights as when its handler began. What runs in the background
    asks before it shows more: the person may have signed out, and the tab may be another's by now."""
    now = (await session_of(state)).principal
    return (now.id, now.tenant_id, now.role, now.is_super_admin) == (who.id, who.tenant_id, who.role, who.is_super_admin)


def address_of(state: Any) -> str:
    """The address that the event's socket was opened from, as for a request: behind proxies that the operator trusts, what they say."""
    sent = state.router.headers.raw_headers
    lines = [(b"x-forwarded-for", sent["x-forwarded-for"].encode("latin-1", "replace"))] if "x-forwarded-for" in sent else []
    scope = {"headers": lines, "client": (sent.get("asgi-scope-client") or state.router.session.client_ip, 0)}
    hops = runtime.current().settings.server.trusted_proxy_hops
    return open_context(scope, started=0, trusted_proxy_hops=hops).address


def is_connected(socket: str) -> bool:
    """Whether that socket (`router.session.session_id` of an event) is still open. What runs in the background ends when it is not:
    Reflex itself only ends what a page's loading has begun."""
    namespace = RegistrationContext.get().app.event_namespace
    return namespace is not None and socket in namespace.sid_to_token


def explain(error: Exception, request_id: str, where: str) -> dict[str, str]:
    """What to tell a person about an error: title, message, request_id. What we did not foresee is logged, without anybody's input."""
    if not isinstance(error, BourseError):
        frames = "".join(traceback.format_tb(error.__traceback__))
        # Neither the message nor the arguments: both may hold what somebody typed.
        log.error("event.failed", requestId=request_id, handler=where, error=type(error).__name__, frames=frames)
        error = InternalError()
    elif error.status >= 500:
        log.warning("event.failed", requestId=request_id, handler=where, error=type(error).__name__)
    return as_toast(error, request_id)


async def report(state: Any, error: Exception, request_id: str, where: str) -> None:
    """Tell the person in a toast what went wrong, with the request id to quote."""
    toast = explain(error, request_id, where)
    await notify(state, title=toast["title"], message=toast["message"], request_id=request_id, tone="bad")


async def notify(state: Any, *, title: str, message: str, request_id: str, tone: str = "info") -> None:
    """Show a toast on the page that the event came from."""
    from state.shell import ShellState

    notice = {"id": request_id, "title": title, "message": message, "request_id": request_id, "tone": tone}
    if isinstance(state, StateProxy):
        async with state:
            (await state.get_state(ShellState)).notice = notice
    else:
        (await state.get_state(ShellState)).notice = notice
