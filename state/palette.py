"""The ⌘K palette's questions to the catalog."""

import reflex as rx

from backend import runtime
from state.guard import STORE, handler
from state.views import Hit, hit

_LINES = 8


class PaletteState(rx.State):
    """`hits` answer the text in `hits_for`; the dialog itself lives in the browser."""

    hits: list[Hit] = []
    hits_for: str = ""

    @handler(STORE)
    def ask(self, text: str) -> None:
        wanted = text.strip()[:200]
        self.hits = [hit(found) for found in runtime.current().catalog.palette(wanted, _LINES)] if wanted else []
        self.hits_for = wanted
