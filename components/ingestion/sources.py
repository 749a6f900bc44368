"""Sources of models and prices: how old, how the last look went, and reading one now. `page` is the page's state class."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.button import SMALL_BUTTON
from components.ui.text import note


def sources(page: Any) -> rx.Component:
    """One line for each."""
    return rx.el.ul(
        rx.foreach(page.sources, lambda one: _source(page, one)),
        custom_attrs={"aria-label": "Sources", "data-testid": "sources"},
        class_name="mt-3 border-t border-line",
    )


def _source(page: Any, one: Any) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            rx.el.p(rx.el.span(one.label, class_name="font-medium"), " ", rx.el.span(one.origin, class_name="text-[12.5px] text-ink-3")),
            note(one.host, rx.cond(one.host != "", " · ", ""), one.licence, class_name="wrap-anywhere"),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.el.p(
                rx.el.span(one.describes, class_name="num"), rx.cond(one.age != "", rx.el.span(", ", one.age, class_name="text-ink-2"))
            ),
            note(one.offers),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.cond(one.state != "", rx.el.p(badge(one.state, one.tone), " ", rx.el.span(one.said, class_name="text-[13px] text-ink-2"))),
            rx.cond(one.advice != "", rx.el.p(one.advice, class_name="mt-1 text-[13px]")),
            rx.cond(one.next != "", note("next look ", one.next)),
            rx.cond(one.tag != "", note("version ", rx.el.span(one.tag, class_name="num"), class_name="wrap-anywhere")),
            class_name="min-w-0 wrap-anywhere",
        ),
        rx.el.div(
            rx.cond(
                one.fetchable,
                rx.el.button(
                    rx.cond(page.busy == one.name, "Reading …", "Read now"),
                    type="button",
                    on_click=page.read_now(one.name, False),
                    disabled=page.busy != "",
                    class_name=SMALL_BUTTON,
                    custom_attrs={"aria-label": "Read " + one.label + " now", "data-testid": "read-" + one.name},
                ),
            ),
            rx.cond(
                one.can_force & one.fetchable,
                rx.el.button(
                    "Read anyway",
                    type="button",
                    on_click=page.read_now(one.name, True),
                    disabled=page.busy != "",
                    class_name=SMALL_BUTTON,
                    custom_attrs={"aria-label": "Read " + one.label + " although it is suspicious"},
                ),
            ),
            rx.cond(
                one.removable,
                rx.el.details(
                    rx.el.summary("Forget", class_name=SMALL_BUTTON + " inline-block"),
                    rx.el.p(
                        "What it said goes; what ships with Bourse counts again. ",
                        rx.el.button(
                            "Forget ",
                            one.label,
                            type="button",
                            on_click=page.forget(one.name),
                            disabled=page.busy != "",
                            class_name="text-bad underline underline-offset-2",
                            custom_attrs={"data-testid": "forget-" + one.name},
                        ),
                        class_name="mt-1 text-[12.5px] text-ink-2",
                    ),
                ),
            ),
            class_name="flex flex-wrap items-start gap-2 lg:justify-end",
        ),
        key=one.name,
        class_name="grid gap-x-6 gap-y-1.5 border-b border-line py-3 lg:grid-cols-[minmax(0,1.1fr)_minmax(0,.8fr)_minmax(0,2fr)_200px]",
        custom_attrs={"data-testid": "source-" + one.name},
    )


def progress(page: Any) -> rx.Component:
    """How far the reading is that this page began; keeps its place free, so nothing moves."""
    bar = rx.el.div(
        rx.el.div(style={"width": page.done_percent.to_string() + "%"}, class_name="h-full rounded-sm bg-accent"),
        role="progressbar",
        class_name="mt-1 h-1.5 overflow-hidden rounded-sm bg-line",
        custom_attrs={
            "aria-label": "Reading a source",
            "aria-valuemin": "0",
            "aria-valuemax": "100",
            "aria-valuenow": page.done_percent.to_string(),
        },
    )
    return rx.el.div(
        rx.cond(
            page.busy != "",
            rx.fragment(rx.el.p(rx.el.span(page.busy, class_name="font-medium"), ": ", page.doing), bar),
            rx.cond(page.under_way != "", rx.el.p(page.under_way), rx.fragment()),
        ),
        class_name="min-h-[34px] max-w-[520px] pt-2 text-[13px] text-ink-2",
        custom_attrs={"aria-live": "polite", "data-testid": "progress"},
    )
