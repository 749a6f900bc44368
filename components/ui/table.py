"""Tables without boxes: hairlines, breathing rows, figures right and tabular with their unit in the header."""

from typing import Any

import reflex as rx

_HEAD = "px-2.5 py-2 border-b border-line-strong text-[12px] font-medium text-ink-3 whitespace-nowrap "
_CELL = "px-2.5 py-[9px] border-b border-line align-middle "


def table(head: list[rx.Component], *body: Any, label: Any, class_name: str = "", **props: Any) -> rx.Component:
    """A table with a caption for screen readers. `body` holds rows or one `rx.foreach`."""
    return rx.el.table(
        rx.el.caption(label, class_name="sr-only"),
        rx.el.thead(rx.el.tr(*head)),
        rx.el.tbody(*body),
        class_name="w-full border-collapse " + class_name,
        **props,
    )


def column(text: Any, numeric: bool = False, class_name: str = "", **props: Any) -> rx.Component:
    """A header cell; numeric ones are right-aligned like their figures."""
    return rx.el.th(text, scope="col", class_name=_HEAD + ("text-right " if numeric else "text-left ") + class_name, **props)


def row(*cells: Any, **props: Any) -> rx.Component:
    """A body row, lit under the pointer."""
    return rx.el.tr(*cells, class_name="hover:bg-surface", **props)


def cell(*children: Any, numeric: bool = False, class_name: str = "", **props: Any) -> rx.Component:
    """A body cell; numeric ones are tabular mono, right-aligned and never broken."""
    return rx.el.td(*children, class_name=_CELL + ("num text-right whitespace-nowrap " if numeric else "") + class_name, **props)


def scroller(*children: Any, label: str) -> rx.Component:
    """What a wide table scrolls in on a small screen; focusable, so that the keyboard can scroll it too."""
    return rx.el.div(*children, class_name="overflow-x-auto", tab_index=0, role="region", custom_attrs={"aria-label": label})
