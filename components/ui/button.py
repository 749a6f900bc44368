"""Buttons and links. One primary button per page; a destructive one names its object."""

from typing import Any

import reflex as rx
from reflex_components_core.react_router import link

_BASE = "inline-flex items-center justify-center gap-2 h-8 px-3 rounded border font-medium whitespace-nowrap "
_KINDS = {
    "plain": _BASE + "border-line-strong bg-surface hover:bg-sunken",
    "primary": _BASE + "border-accent bg-accent text-on-accent hover:opacity-90",
    "danger": _BASE + "border-bad bg-surface text-bad hover:bg-bad-soft",
    "quiet": "inline-flex items-center gap-2 h-8 px-2 rounded text-ink-2 hover:bg-sunken hover:text-ink",
}
SMALL_BUTTON = "rounded border border-line-strong bg-surface px-2 py-0.5 text-[12.5px] text-ink-2 hover:bg-sunken hover:text-ink"


def button_look(kind: str) -> str:
    """The classes of a button, for those that a component of the browser draws."""
    return _KINDS[kind]


def button(*children: Any, kind: str = "plain", class_name: str = "", **props: Any) -> rx.Component:
    """A real button; `kind` is plain, primary, danger or quiet. `type` is "button" unless given."""
    props.setdefault("type", "button")
    return rx.el.button(*children, class_name=f"{_KINDS[kind]} {class_name}", **props)


def button_link(*children: Any, to: Any, kind: str = "plain", class_name: str = "", **props: Any) -> rx.Component:
    """A link that looks like a button; navigates without reloading the page."""
    return link(*children, to=to, class_name=f"{_KINDS[kind]} {class_name}", **props)


def page_link(*children: Any, to: Any, class_name: str = "", **props: Any) -> rx.Component:
    """A link inside the app: no reload, ordinary `<a>` for the browser and the screen reader."""
    return link(*children, to=to, class_name=class_name, **props)
