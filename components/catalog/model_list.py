"""The list of models, as a table and as cards. `row` is a `ModelRow`; prices are USD per 1M tokens."""

from typing import Any

import reflex as rx

from components.ui.badge import badge, tag
from components.ui.button import page_link
from components.ui.feedback import skeleton
from components.ui.icon import icon
from components.ui.table import cell, column, row, table

_NUMBERS = (
    ("released", "Released", "hidden xl:table-cell"),
    ("context", "Context", "hidden sm:table-cell"),
    ("input", "In $/1M", ""),
    ("output", "Out $/1M", ""),
)


def _sortable(store: Any, order: str, label: str, class_name: str) -> rx.Component:
    here = store.order == order
    return column(
        rx.el.button(
            label,
            rx.cond(here, icon("down", 12, "ml-0.5 inline"), rx.fragment()),
            type="button",
            on_click=store.order_by(order),
            class_name="font-medium hover:text-ink",
        ),
        numeric=True,
        class_name=class_name,
        custom_attrs={"aria-sort": rx.cond(here, rx.cond(store.descending, "descending", "ascending"), "none")},
    )


def _price(text: Any, otherwise: Any) -> rx.Component:
    return rx.cond(text != "", text, rx.el.span(otherwise, class_name="text-ink-3"))


def _asked(text: Any, cheapest: Any, otherwise: Any) -> rx.Component:
    """A price, and below it the cheapest seller's where that is less."""
    return rx.fragment(
        _price(text, otherwise),
        rx.cond(cheapest != "", rx.el.span(cheapest, class_name="block text-[11.5px] text-ink-3"), rx.fragment()),
    )


def _name(one: Any) -> rx.Component:
    return rx.fragment(
        page_link(one.name, to=one.href, class_name="font-medium wrap-anywhere hover:underline underline-offset-2"),
        rx.cond(one.status != "", rx.el.span(" ", badge(one.status, one.tone), class_name="ml-1"), rx.fragment()),
        rx.el.span(one.seller, class_name="block text-[12.5px] text-ink-3"),
    )


def _tags(one: Any) -> rx.Component:
    return rx.foreach(one.tags, lambda text: tag(text, key=text))


def _row(one: Any) -> rx.Component:
    return row(
        cell(_name(one)),
        cell(_tags(one), class_name="hidden md:table-cell whitespace-nowrap"),
        cell(_price(one.released, "—"), numeric=True, class_name="hidden xl:table-cell"),
        cell(_price(one.context, "not stated"), numeric=True, class_name="hidden sm:table-cell"),
        cell(_asked(one.input, one.input_from, one.price_note), numeric=True),
        cell(_asked(one.output, one.output_from, one.price_note), numeric=True),
        key=one.slug,
        custom_attrs={"data-model": one.slug},
    )


def model_table(store: Any) -> rx.Component:
    """One row per model; headers sort."""
    return table(
        [
            column("Model"),
            column("Can do", class_name="hidden md:table-cell"),
            *[_sortable(store, order, label, class_name) for order, label, class_name in _NUMBERS],
        ],
        rx.foreach(store.rows, _row),
        label="Models that match, with prices in US dollars per million tokens",
    )


def _card(one: Any) -> rx.Component:
    figures = [
        ("Context", _price(one.context, "not stated")),
        ("In $/1M", _asked(one.input, one.input_from, one.price_note)),
        ("Out $/1M", _asked(one.output, one.output_from, one.price_note)),
    ]
    return rx.el.li(
        rx.el.div(_name(one)),
        rx.el.div(_tags(one), class_name="mt-2 min-h-[22px]"),
        rx.el.dl(
            *[
                rx.el.div(rx.el.dt(label, class_name="text-[12px] text-ink-3"), rx.el.dd(figure, class_name="num"))
                for label, figure in figures
            ],
            class_name="mt-3 grid grid-cols-3 gap-2 border-t border-line pt-2.5",
        ),
        key=one.slug,
        class_name="rounded-lg border border-line bg-surface px-4 py-3.5",
        custom_attrs={"data-model": one.slug},
    )


def model_cards(store: Any) -> rx.Component:
    """The same rows as cards."""
    return rx.el.ul(rx.foreach(store.rows, _card), class_name="grid gap-3 pt-2 sm:grid-cols-2 xl:grid-cols-3")


def waiting_rows(count: int = 10) -> rx.Component:
    """What stands where rows will be, as high as they are."""
    line = rx.el.div(
        rx.el.div(skeleton("h-4 w-44"), skeleton("mt-1.5 h-3 w-28"), class_name="grow"),
        skeleton("h-4 w-14"),
        skeleton("h-4 w-14"),
        class_name="flex items-center gap-8 border-b border-line px-2.5 py-[11px]",
    )
    return rx.el.div(*[line for _ in range(count)], custom_attrs={"aria-hidden": "true"})
