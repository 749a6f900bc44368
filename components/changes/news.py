"""The list of what changed. Rows are `NewsRow`s; prices are USD per 1M tokens unless a row names another unit."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.button import page_link
from components.ui.text import note


def news_list(rows: Any) -> rx.Component:
    """The newest first, each day under its heading."""
    return rx.el.ul(rx.foreach(rows, _line), custom_attrs={"aria-label": "Changes, the newest first", "data-testid": "news"})


def _line(one: Any) -> rx.Component:
    return rx.el.li(
        rx.cond(one.heading != "", rx.el.h2(one.heading, class_name="mt-6 mb-1 text-[13px] font-semibold text-ink-2")),
        rx.el.div(
            rx.el.span(badge(one.word, one.tone), class_name="sm:w-[132px] sm:shrink-0"),
            rx.el.p(model_name(one), " ", rx.el.span(one.where, class_name="text-ink-2"), class_name="min-w-0 grow wrap-anywhere"),
            rx.el.div(
                rx.cond(one.amounts != "", rx.el.p(one.amounts, class_name="num")),
                rx.cond(one.evidence != "", note(one.evidence)),
                class_name="w-full min-w-0 sm:w-auto sm:max-w-[52%] sm:text-right",
            ),
            class_name="flex flex-wrap items-baseline gap-x-3 gap-y-1 border-b border-line py-[9px] sm:flex-nowrap",
        ),
        key=one.id,
    )


def coming_list(rows: Any) -> rx.Component:
    """What is announced, the nearest first, with its day."""
    return rx.el.ul(
        rx.foreach(
            rows,
            lambda one: rx.el.li(
                rx.el.p(rx.el.span(one.day, class_name="num mr-2 text-ink-2"), badge(one.word, one.tone)),
                rx.el.p(model_name(one), " ", rx.el.span(one.where, class_name="text-ink-2"), class_name="wrap-anywhere"),
                rx.cond(one.amounts != "", rx.el.p(one.amounts, class_name="num text-ink-2")),
                key=one.id,
                class_name="grid gap-0.5 border-b border-line py-2 last:border-0",
            ),
        ),
        custom_attrs={"data-testid": "coming"},
    )


def model_name(one: Any) -> rx.Component:
    return page_link(one.model, to=one.href, class_name="font-medium underline-offset-2 hover:underline")
