"""What every page shares: the footer's freshness and the notice that the toasts show."""

import reflex as rx

from backend import runtime
from state.storefront import load_storefront
from state.views import freshness_text

_front = load_storefront()


class ShellState(rx.State):
    """`notice` is {id, title, message, request_id, tone}; a new id makes a new toast."""

    freshness: str = _front.freshness
    notice: dict[str, str] = {}

    @rx.event
    def arrive(self) -> None:
        """On every page: say how old the numbers are."""
        now = runtime.current()
        self.freshness = freshness_text(now.catalog.freshness(), now.clock.now())
