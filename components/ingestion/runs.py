"""Runs of ingestion, and one in full: what it changed, what it held back, and what nobody could read."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.button import SMALL_BUTTON, page_link
from components.ui.table import cell, column, row, scroller, table
from components.ui.text import note

_WIDE = "hidden md:table-cell"


def runs(page: Any) -> rx.Component:
    """The newest first; the open one in full under its line."""
    head = [
        column("Ended (UTC)"),
        column("Sources", class_name=_WIDE),
        column("Outcome"),
        column("New", numeric=True),
        column("Gone", numeric=True, class_name=_WIDE),
        column("Dearer", numeric=True, class_name=_WIDE),
        column("Cheaper", numeric=True, class_name=_WIDE),
        column("Held back", numeric=True, class_name=_WIDE),
        column(rx.el.span("More", class_name="sr-only")),
    ]
    return scroller(
        table(
            head,
            rx.foreach(page.runs, lambda one: rx.fragment(_run(page, one), _open(page, one), key=one.id)),
            label="Runs, the newest first",
            custom_attrs={"data-testid": "runs"},
        ),
        label="Runs of ingestion",
    )


def _run(page: Any, one: Any) -> rx.Component:
    is_open = page.open_run == one.id
    return row(
        cell(
            rx.el.span(one.at, class_name="num block whitespace-nowrap"),
            note(one.by, rx.el.span(" · ", one.sources, class_name="md:hidden")),
        ),
        cell(one.sources, class_name=_WIDE),
        cell(badge(one.outcome, one.tone)),
        cell(one.new, numeric=True),
        cell(one.gone, numeric=True, class_name=_WIDE),
        cell(one.up, numeric=True, class_name=_WIDE),
        cell(one.down, numeric=True, class_name=_WIDE),
        cell(one.held, numeric=True, class_name=_WIDE),
        cell(
            rx.el.button(
                rx.cond(is_open, "Close", "Details"),
                type="button",
                on_click=page.open_one(one.id),
                class_name=SMALL_BUTTON,
                custom_attrs={
                    "aria-expanded": rx.cond(is_open, "true", "false"),
                    "aria-label": rx.cond(is_open, "Close ", "Details of ") + "the run of " + one.at,
                    "data-testid": "details",
                },
            ),
            class_name="text-right",
        ),
    )


def _open(page: Any, one: Any) -> rx.Component:
    return rx.cond(
        page.open_run == one.id,
        rx.el.tr(
            rx.el.td(
                rx.el.div(report(page.detail), class_name="max-w-[calc(100vw-48px)] py-3 md:px-2.5"),
                col_span=9,
                class_name="border-b border-line bg-surface px-2.5",
            ),
            custom_attrs={"data-testid": "run"},
        ),
    )


def report(detail: Any) -> rx.Component:
    """A run in full, or what one would do; `detail` is a `RunDetail`."""
    return rx.el.div(
        rx.el.h3(detail.title, class_name="font-semibold"),
        rx.cond(detail.error != "", rx.el.p(detail.error, class_name="text-bad wrap-anywhere")),
        rx.el.ul(rx.foreach(detail.results, _result), class_name="grid gap-2"),
        rx.cond(detail.is_empty, rx.el.p("Nothing in the store differs.", class_name="text-ink-2")),
        rx.cond(
            detail.groups.length() > 0,
            rx.el.dl(rx.foreach(detail.groups, _group), class_name="grid gap-x-8 gap-y-3 md:grid-cols-2"),
        ),
        rx.cond(
            detail.changes.length() > 0,
            rx.el.div(
                rx.el.h4(detail.changes_title, class_name="text-[13px] font-semibold"),
                note("Dollars per million tokens."),
                rx.el.ul(rx.foreach(detail.changes, _change)),
            ),
        ),
        rx.cond(
            detail.held.length() > 0,
            rx.el.div(
                rx.el.h4(detail.held_title, class_name="text-[13px] font-semibold"),
                rx.el.ul(rx.foreach(detail.held, _held)),
                rx.cond(
                    detail.would,
                    rx.fragment(),
                    page_link("Decide about them", to="/quarantine", class_name="text-[13px] underline underline-offset-2"),
                ),
            ),
        ),
        rx.cond(detail.told != "", note(detail.told)),
        class_name="grid gap-4",
    )


def _result(one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.p(
            rx.el.span(one.source, class_name="mr-2 font-medium"), badge(one.word, one.tone), " ", one.said, class_name="wrap-anywhere"
        ),
        rx.cond(one.advice != "", rx.el.p(one.advice, class_name="text-ink-2")),
        rx.cond(
            one.unread_title != "",
            rx.el.div(
                rx.el.p(one.unread_title, class_name="mt-1 text-[13px] font-medium text-warn"),
                rx.el.ul(
                    rx.foreach(
                        one.unread,
                        lambda line: rx.el.li(
                            rx.el.span(line.place, class_name="num mr-2"), line.why, class_name="text-[13px] wrap-anywhere text-ink-2"
                        ),
                    ),
                    custom_attrs={"data-testid": "unread"},
                ),
            ),
        ),
    )


def _group(one: Any) -> rx.Component:
    return rx.el.div(
        rx.el.dt(one.title, class_name="text-[13px] font-semibold"),
        rx.el.dd(
            rx.el.ul(
                rx.foreach(one.names, lambda name: rx.el.li(name, class_name="text-[13px] wrap-anywhere text-ink-2")),
            ),
            rx.cond(one.more != "", note(one.more)),
        ),
        class_name="min-w-0",
    )


def _change(one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(badge(one.word, one.tone), class_name="mr-2"),
        rx.el.span(one.offer, " ", rx.el.span(one.what, class_name="text-ink-2"), class_name="wrap-anywhere"),
        " ",
        rx.el.span(one.amounts, class_name="num whitespace-nowrap"),
        class_name="border-b border-line py-1 text-[13px] last:border-0",
    )


def _held(one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(one.offer, class_name="wrap-anywhere"),
        " ",
        rx.el.span(one.price, class_name="num"),
        note(one.reason),
        class_name="border-b border-line py-1 text-[13px] last:border-0",
    )
