"""A box for things that stand alone; lists and tables carry none."""

from typing import Any

import reflex as rx


def card(*children: Any, class_name: str = "", **props: Any) -> rx.Component:
    """A section on its own surface."""
    return rx.el.section(*children, class_name="rounded-lg border border-line bg-surface px-5 py-[18px] min-w-0 " + class_name, **props)


def column_of(*children: Any) -> rx.Component:
    """Cards below each other."""
    return rx.el.div(*children, class_name="grid content-start gap-5 min-w-0")
