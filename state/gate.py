"""The gate in front of every event: what has no permission of its own does not run, whoever wrote it.

`state.guard` is asked by each handler of ours; this is the belt for what it cannot reach: the handlers that Reflex itself puts on every
state, and one of ours that somebody forgot to guard.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import structlog
from reflex.middleware.middleware import Middleware
from reflex.state import BaseState, OnLoadInternalState, State, StateUpdate
from reflex.utils.format import format_event_handler
from reflex_base.event import Event
from reflex_base.registry import RegistrationContext

from state.guard import STORE, permission_of, store_is_public

log = structlog.get_logger(__name__)

REFLEX_OWN: dict[tuple[type[BaseState], str], str] = {
    (State, "hydrate_and_load"): "sends a page its own state on connecting; what is personal in it is emptied first",
    (OnLoadInternalState, "on_load_internal"): "queues the page's on_load handlers, each of which has its guard",
    (OnLoadInternalState, "set_is_hydrated"): "says that loading has ended; changes one flag of the caller's own page",
}
"""The handlers of Reflex that a page cannot live without, and why anybody may call them."""

_LEAKY_LOGGERS = (
    "reflex.app",
    "reflex_base.event.processor.base_state_processor",
    "reflex_base.event.processor.event_processor",
)


@dataclass
class Gate(Middleware):
    """Give it to the app with `app.add_middleware(Gate())`. Each handler that was refused is logged once, however often it is tried."""

    _told: set[str] = field(default_factory=set)

    async def preprocess(self, app: Any, state: BaseState, event: Event) -> StateUpdate | None:  # noqa: ARG002
        """None lets the event through; an empty update is its end, and changes nothing."""
        registered = RegistrationContext.get().event_handlers.get(event.name)
        if registered is not None and permission_of(registered.handler.fn) is not None:
            return None
        if event.name not in _own_names():
            if event.name not in self._told:
                self._told.add(event.name)
                log.warning("event.refused", handler=event.name, reason="the handler names no permission")
            return StateUpdate()
        if event.name == _name(State, "hydrate_and_load"):
            await _empty_what_is_personal(state)
        return None


async def _empty_what_is_personal(state: BaseState) -> None:
    store_is_personal = not store_is_public()
    for kind in list(RegistrationContext.get().base_states.values()):
        if getattr(kind, "_personal", False) or (store_is_personal and _shows_the_store(kind)):
            (await state.get_state(kind)).reset()


def _shows_the_store(kind: type[BaseState]) -> bool:
    return any(permission_of(handler.fn) is STORE for handler in kind.event_handlers.values())


def _own_names() -> frozenset[str]:
    return frozenset(_name(kind, handler) for kind, handler in REFLEX_OWN)


def _name(kind: type[BaseState], handler: str) -> str:
    return str(format_event_handler(kind.event_handlers[handler]))


class _WithoutValues(logging.Filter):
    """Reflex logs the arguments of an event that it cannot convert or find; they may be what somebody typed."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            text = record.getMessage()
            for start in ("Error transforming event payload", "Error processing event queue entry", "Received event"):
                if text.startswith(start):
                    record.msg, record.args = f"{start} (its content is not logged)", ()
                    record.exc_info = record.exc_text = None
        return True


def keep_arguments_out_of_logs() -> None:
    """Call once when the app is put together."""
    for name in _LEAKY_LOGGERS:
        logging.getLogger(name).addFilter(_WithoutValues())
