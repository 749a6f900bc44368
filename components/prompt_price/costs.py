"""What the prompt costs, and the tokens that it is made of. `page` is the page's state class."""

from typing import Any

import reflex as rx

from components.charts.interval import interval_bar
from components.charts.spread import spread_bar
from components.ui.badge import badge
from components.ui.button import page_link
from components.ui.table import cell, column, row, scroller, table
from components.ui.text import heading, note

_WIDE = "hidden md:table-cell"
_SMALL = "block text-[12px] text-ink-3"


class LitText(rx.Component):
    """The pieces of a text, each in another tint than its neighbours."""

    library = "$/public/js/prompt.jsx"
    tag = "LitText"

    pieces: rx.Var[list[str]]
    label: rx.Var[str]


def tokens(page: Any) -> rx.Component:
    """The text lit up as one model reads it, and what others make of it."""
    return rx.el.section(
        heading(page.read_as, custom_attrs={"data-testid": "read-as"}),
        rx.el.ul(
            rx.foreach(page.cuts, lambda one: _cut(page, one)),
            class_name="mt-2.5 flex gap-1.5 overflow-x-auto pb-1 sm:flex-wrap sm:overflow-visible sm:pb-0",
            custom_attrs={"aria-label": "As which model reads it"},
        ),
        rx.el.div(LitText.create(pieces=page.pieces, label="The prompt in tokens"), class_name="mt-2.5"),
        rx.cond(page.more_pieces != "", note(page.more_pieces, class_name="mt-1.5")),
        class_name="mt-6",
    )


def _cut(page: Any, one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.button(
            rx.el.span(one.label),
            rx.el.span(one.count, class_name="num text-ink-2"),
            rx.el.span(one.method, class_name="text-[11.5px] text-ink-2"),
            type="button",
            on_click=page.choose("cut", one.id),
            class_name=rx.cond(one.chosen, "border-accent bg-accent-soft", "border-line bg-surface hover:bg-sunken")
            + " inline-flex items-baseline gap-1.5 rounded-full border px-2.5 py-[3px] text-[12.5px] whitespace-nowrap",
            custom_attrs={"aria-pressed": rx.cond(one.chosen, "true", "false"), "data-testid": "cut"},
        ),
        key=one.id,
    )


def costs(page: Any) -> rx.Component:
    return scroller(
        table(
            [
                column("Model, sold by"),
                column("Tokens", numeric=True),
                column("Prompt", numeric=True, class_name=_WIDE),
                column("Answer", numeric=True, class_name=_WIDE),
                column("Together", numeric=True),
                column("Fits", class_name=_WIDE),
                column("Quality", class_name=_WIDE),
            ],
            rx.foreach(page.rows, lambda one: _row(page, one)),
            label="What the prompt costs on each model",
            class_name="mt-2 text-[13.5px]",
            custom_attrs={"data-testid": "costs"},
        ),
        label="Costs",
    )


def _row(page: Any, one: Any) -> rx.Component:
    return row(
        cell(
            page_link(one.name, to="/models/" + one.id, class_name="font-medium wrap-anywhere hover:underline"),
            rx.el.span(
                one.seller,
                rx.cond(one.tier != "", rx.el.span(badge(one.tier, "info"), class_name="ml-1.5")),
                class_name="block text-[12.5px] text-ink-3 wrap-anywhere",
                title=one.offer,
            ),
            rx.cond(one.too_long, rx.el.span(badge("too long for it", "warn"), class_name="mt-0.5 block md:hidden")),
        ),
        cell(
            rx.el.button(
                one.tokens,
                type="button",
                on_click=page.choose("cut", one.id),
                class_name="num underline decoration-line-strong underline-offset-2 hover:text-accent",
                title="Light up as this model reads it",
                custom_attrs={"aria-label": one.tokens + " tokens: light up as " + one.name + " reads it", "data-testid": "light"},
            ),
            rx.el.span(rx.cond(one.tokens_range != "", one.tokens_range, one.method), class_name=_SMALL),
            numeric=True,
        ),
        cell(one.input, numeric=True, class_name=_WIDE),
        cell(one.output, numeric=True, class_name=_WIDE),
        cell(
            rx.el.span(one.total, class_name="font-semibold", custom_attrs={"data-testid": "total"}),
            rx.el.span(one.total_range, class_name="hidden text-[12px] text-ink-3 sm:block empty:hidden"),
            spread_bar(one.left, one.at, one.right, one.said, "mt-1 ml-auto max-w-[140px] min-w-[72px]"),
            numeric=True,
        ),
        cell(rx.cond(one.too_long, badge(one.fits, "warn"), rx.el.span(one.fits, class_name="text-ink-2")), class_name=_WIDE),
        cell(
            rx.cond(
                one.measured,
                rx.fragment(
                    rx.el.span(one.quality, rx.el.span(" (", one.low, "–", one.high, ")", class_name="text-ink-3"), class_name="num"),
                    interval_bar(one.quality, one.low, one.high, one.quality_said, "mt-0.5"),
                ),
                rx.el.span("not measured", class_name="text-ink-3"),
            ),
            class_name=_WIDE + " min-w-[130px]",
        ),
        key=one.id,
        custom_attrs={"data-testid": "cost"},
    )
