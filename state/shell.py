"""What every page shares: the footer's freshness and the notice that the toasts show."""

import reflex as rx

from backend import runtime
from state.guard import PUBLIC, handler
from state.storefront import first_paint
from state.views import freshness_text

_front = first_paint()


class ShellState(rx.State):
    """`notice` is {id, title, message, request_id, tone}; a new id makes a new toast."""

    freshness: str = _front.freshness
    notice: dict[str, str] = {}
    arrivals: int = 0

    @handler(PUBLIC)
    def arrive(self) -> None:
        """The last thing that every page loads: how old the numbers are, and that the page has its answers."""
        now = runtime.current()
        self.freshness = freshness_text(now.catalog.freshness(), now.clock.now())
        self.arrivals += 1
