"""The list of models, as a table and as cards. `one` is a `ModelRow`; prices are USD per 1M tokens.

Its marks may come later than the row: until then their places are empty, and as wide and high as they will be.
"""

from typing import Any

import reflex as rx

from components.charts.sparkline import sparkline
from components.compare.tray import compare_box
from components.ui.badge import badge, tag
from components.ui.button import page_link
from components.ui.feedback import skeleton
from components.ui.icon import icon
from components.ui.table import cell, column, row, table

_WHOSE = "The maker's price where it sells the model itself, else the cheapest seller's; in US dollars per million tokens"
_NUMBERS = (
    ("released", "Released", "hidden 2xl:table-cell", ""),
    ("context", "Context", "hidden sm:table-cell", ""),
    ("input", "In $/1M", "", _WHOSE),
    ("output", "Out $/1M", "", _WHOSE),
)
_SPARK = (80, 16)
_HISTORY, _QUALITY, _FIRST = "hidden md:table-cell", "hidden sm:table-cell", "hidden lg:table-cell"
_BEST_FIRST = "score"
"""The one column that is sorted from the top down unless the list is turned round."""


def _sortable(store: Any, order: str, label: Any, class_name: str, title: Any = "") -> rx.Component:
    here = store.order == order
    falls = ~store.descending if order == _BEST_FIRST else store.descending
    return column(
        rx.el.button(
            label,
            rx.cond(here, icon("down", 12, "ml-0.5 inline"), rx.fragment()),
            type="button",
            on_click=store.order_by(order),
            class_name="font-medium hover:text-ink",
            title=title,
        ),
        numeric=True,
        class_name=class_name,
        custom_attrs={"aria-sort": rx.cond(here, rx.cond(falls, "descending", "ascending"), "none")},
    )


def _price(text: Any, otherwise: Any) -> rx.Component:
    return rx.cond(text != "", text, rx.el.span(otherwise, class_name="text-ink-3"))


def _asked(text: Any, cheapest: Any, otherwise: Any) -> rx.Component:
    """A price, and below it the cheapest seller's where that is less."""
    return rx.fragment(
        _price(text, otherwise),
        rx.cond(cheapest != "", rx.el.span(cheapest, class_name="block text-[11.5px] whitespace-nowrap text-ink-3"), rx.fragment()),
    )


def _name(one: Any) -> rx.Component:
    return rx.fragment(
        page_link(one.name, to=one.href, class_name="font-medium wrap-anywhere hover:underline underline-offset-2"),
        rx.cond(one.status != "", rx.el.span(" ", badge(one.status, one.tone), class_name="ml-1"), rx.fragment()),
        rx.el.span(one.seller, class_name="block text-[12.5px] text-ink-3"),
    )


def _tags(one: Any) -> rx.Component:
    return rx.foreach(one.tags, lambda text: tag(text, key=text))


def _history(store: Any, one: Any) -> rx.Component:
    marks = store.marks[one.slug]
    drawn = rx.cond(
        marks.spark != "",
        sparkline(marks.spark, marks.spark_said, end=marks.spark_end, width=_SPARK[0], height=_SPARK[1]),
        _unknown("no history"),
    )
    return rx.el.span(rx.cond(store.marks.contains(one.slug), drawn), class_name="flex h-[22px] w-[86px] shrink-0 items-center")


def _quality(store: Any, one: Any) -> rx.Component:
    """A number with what it may be off by; in words where that is too much to print one."""
    marks = store.marks[one.slug]
    said = rx.cond(
        marks.quality == "few results",
        rx.el.span(marks.quality, class_name="font-sans text-[12.5px] text-ink-3", title=marks.quality_said),
        rx.cond(marks.quality != "", rx.el.span(marks.quality, title=marks.quality_said), _unknown("not measured")),
    )
    return rx.cond(store.marks.contains(one.slug), said)


def _first_token(store: Any, one: Any) -> rx.Component:
    marks = store.marks[one.slug]
    return rx.cond(marks.first_token != "", marks.first_token, _unknown("not measured"))


def _unknown(words: str) -> rx.Component:
    return rx.el.span("—", rx.el.span(words, class_name="sr-only"), class_name="text-ink-3", title=words)


def _row(store: Any, one: Any) -> rx.Component:
    return row(
        cell(compare_box(one.slug, one.name), class_name="w-[15px] pr-0"),
        cell(
            _name(one),
            rx.el.span(
                "Quality ",
                rx.el.span(_quality(store, one), class_name="num"),
                class_name="block min-h-[19px] text-[12.5px] text-ink-3 sm:hidden",
            ),
        ),
        cell(_tags(one), class_name="hidden xl:table-cell whitespace-nowrap"),
        cell(_price(one.released, "—"), numeric=True, class_name="hidden 2xl:table-cell"),
        cell(_price(one.context, "not stated"), numeric=True, class_name="hidden sm:table-cell"),
        cell(_asked(one.input, one.input_from, one.price_note), numeric=True, custom_attrs={"data-price": "in"}),
        cell(_asked(one.output, one.output_from, one.price_note), numeric=True, custom_attrs={"data-price": "out"}),
        cell(_history(store, one), class_name=_HISTORY),
        cell(
            rx.el.span(_quality(store, one), class_name="inline-block min-w-[68px]"),
            numeric=True,
            class_name=_QUALITY,
            custom_attrs={"data-testid": "quality"},
        ),
        rx.cond(store.times_first_token, cell(_first_token(store, one), numeric=True, class_name=_FIRST)),
        key=one.slug,
        custom_attrs={"data-model": one.slug},
    )


def model_table(store: Any) -> rx.Component:
    """One row per model; headers sort."""
    return table(
        [
            column(rx.el.span("Compare", class_name="sr-only"), class_name="pr-0"),
            column("Model"),
            column("Can do", class_name="hidden xl:table-cell"),
            *[_sortable(store, order, label, class_name, title) for order, label, class_name, title in _NUMBERS],
            column(
                rx.el.span("24 months", title="The input price over the last 24 months, from nothing at the bottom"), class_name=_HISTORY
            ),
            _sortable(
                store,
                _BEST_FIRST,
                rx.cond(store.benchmark != "", "Score", "Quality"),
                _QUALITY,
                rx.cond(
                    store.benchmark != "",
                    "On the benchmark that is chosen, 0 to 100",
                    "0 to 100 over all benchmarks, 50 is the middle; nine times in ten it lies within what stands behind the ±",
                ),
            ),
            rx.cond(
                store.times_first_token,
                column(
                    rx.el.span("First token", title="Until the first token of a streamed answer, as this gateway measured it lately"),
                    numeric=True,
                    class_name=_FIRST,
                ),
            ),
        ],
        rx.foreach(store.rows, lambda one: _row(store, one)),
        label="Models that match, with prices in US dollars per million tokens",
    )


def _card(store: Any, one: Any) -> rx.Component:
    figures = [
        ("Context", _price(one.context, "not stated")),
        ("In $/1M", _asked(one.input, one.input_from, one.price_note)),
        ("Out $/1M", _asked(one.output, one.output_from, one.price_note)),
        (rx.cond(store.benchmark != "", "Score", "Quality"), _quality(store, one)),
    ]
    return rx.el.li(
        rx.el.div(
            rx.el.div(_name(one), class_name="min-w-0 grow"),
            _history(store, one),
            compare_box(one.slug, one.name),
            class_name="flex items-start gap-3",
        ),
        rx.el.div(_tags(one), class_name="mt-2 min-h-[22px]"),
        rx.el.dl(
            *[
                rx.el.div(rx.el.dt(label, class_name="text-[12px] text-ink-3"), rx.el.dd(figure, class_name="num"))
                for label, figure in figures
            ],
            class_name="mt-3 grid grid-cols-[repeat(3,auto)_68px] justify-between gap-1.5 border-t border-line pt-2.5",
        ),
        key=one.slug,
        class_name="rounded-lg border border-line bg-surface px-4 py-3.5",
        custom_attrs={"data-model": one.slug},
    )


def model_cards(store: Any) -> rx.Component:
    """The same rows as cards."""
    return rx.el.ul(
        rx.foreach(store.rows, lambda one: _card(store, one)),
        class_name="grid grid-cols-[repeat(auto-fill,minmax(min(100%,320px),1fr))] gap-3 pt-2",
    )


def waiting_rows(count: int = 10) -> rx.Component:
    """What stands where rows will be, as high as they are."""
    line = rx.el.div(
        rx.el.div(skeleton("h-4 w-44"), skeleton("mt-1.5 h-3 w-28"), class_name="grow"),
        skeleton("h-4 w-14"),
        skeleton("h-4 w-14"),
        class_name="flex items-center gap-8 border-b border-line px-2.5 py-[11px]",
    )
    return rx.el.div(*[line for _ in range(count)], custom_attrs={"aria-hidden": "true"})
