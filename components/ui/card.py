"""A box for things that stand alone; lists and tables carry none."""

from typing import Any

import reflex as rx

_ORDER = ("order-first", "order-1", "order-2", "order-3", "order-4", "order-5", "order-6", "order-7", "order-8", "order-9", "order-10")


def card(*children: Any, class_name: str = "", **props: Any) -> rx.Component:
    """A section on its own surface."""
    return rx.el.section(*children, class_name="rounded-lg border border-line bg-surface px-5 py-[18px] min-w-0 " + class_name, **props)


def columns(left: list[rx.Component], right: list[rx.Component], narrow_order: list[int]) -> rx.Component:
    """Two columns of cards on a wide screen. On a narrow one a single column in `narrow_order`: positions of left, then right."""
    cards = iter(narrow_order)

    def column(children: list[rx.Component]) -> rx.Component:
        placed = [rx.el.div(child, class_name=f"min-w-0 empty:hidden {_ORDER[next(cards)]} xl:order-none") for child in children]
        return rx.el.div(*placed, class_name="contents min-w-0 content-start gap-5 xl:grid")

    return rx.el.div(column(left), column(right), class_name="mt-5 grid grid-cols-1 gap-5 xl:grid-cols-[1.55fr_1fr]")
