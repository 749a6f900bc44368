"""In-process events: a fact that has happened, told to whoever asked, off the critical path.

A subscriber is called in the publisher's loop and must return at once; work of any length belongs to a task or queue of its own. A
subscriber that raises is logged and counted, and never disturbs the publisher or its neighbours.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


E = TypeVar("E", bound=Event)


class EventBus:
    def __init__(self) -> None:
        self._subscribers: dict[type[Event], list[Callable[[Any], None]]] = defaultdict(list)
        self.failures = 0

    def subscribe(self, kind: type[E], handler: Callable[[E], None]) -> Callable[[], None]:
        """Call `handler` with every event of exactly this kind; returns the function that ends it."""
        handlers = self._subscribers[kind]
        handlers.append(handler)
        return lambda: handlers.remove(handler)

    def publish(self, event: Event) -> None:
        for handler in tuple(self._subscribers[type(event)]):
            try:
                handler(event)
            except Exception:
                self.failures += 1
                log.exception("event.subscriber_failed", kind=type(event).__name__)
