"""Toasts, the shortcuts sheet and the banner of a lost connection: what floats over every page."""

from typing import Any

import reflex as rx
from reflex_components_core.core.banner import has_connection_errors

SHORTCUTS = [
    ["⌘K / Ctrl K", "Find a model or page"],
    ["/", "Search"],
    ["?", "Show this sheet"],
    ["↑ ↓ Enter", "Choose in the palette"],
    ["Esc", "Close, or empty the search"],
]


class Toasts(rx.Component):
    """Shows each new `notice` ({id, title, message, request_id, tone}) once."""

    library = "$/public/js/toasts.jsx"
    tag = "Toasts"

    notice: rx.Var[dict[str, str]]


class Live(rx.Component):
    """Marks the document as live once the server has answered the page's first questions."""

    library = "$/public/js/live.js"
    tag = "Live"

    arrivals: rx.Var[int]


class Shortcuts(rx.Component):
    """The sheet behind `?`."""

    library = "$/public/js/shortcuts.jsx"
    tag = "Shortcuts"

    lines: rx.Var[list[list[str]]]


def shortcuts() -> rx.Component:
    return Shortcuts.create(lines=SHORTCUTS)


def connection_banner() -> rx.Component:
    """Shown while the websocket is lost; what is on the page stays, but is no longer live."""
    return rx.cond(
        has_connection_errors,
        rx.el.div(
            "The connection to the server was lost. Trying again; what you see may be out of date.",
            role="alert",
            class_name="bg-warn-soft text-warn px-6 py-2 text-[13px]",
            custom_attrs={"data-testid": "connection-lost"},
        ),
    )


def toasts(notice: Any) -> rx.Component:
    return Toasts.create(notice=notice)
