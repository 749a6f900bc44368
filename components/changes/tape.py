"""The strip under the top bar: what changed lately. It keeps its height while it waits, so nothing moves when it comes."""

from typing import Any

import reflex as rx

from components.ui.button import page_link

_TONES = {"good": "text-good", "bad": "text-bad", "warn": "text-warn"}


_STRIP = "flex h-[33px] items-center gap-[26px] overflow-x-auto border-b border-line bg-sunken px-4 text-[12.5px] whitespace-nowrap sm:px-6"


def tape(news: Any) -> rx.Component:
    """`news` is the state class: a title and entries."""
    return rx.el.nav(
        rx.el.span(news.title, class_name="shrink-0 text-ink-2"),
        rx.foreach(
            news.entries,
            lambda one: page_link(
                rx.el.span(one.model, class_name="font-medium text-ink"),
                " ",
                rx.el.span(one.text, class_name=rx.match(one.tone, *_TONES.items(), "text-ink-2")),
                to=one.href,
                key=one.key,
                class_name="shrink-0 underline-offset-2 hover:underline",
            ),
        ),
        # Not before the entries: they would push it aside.
        rx.cond(
            news.title != "",
            page_link("All changes", to="/changes", class_name="shrink-0 text-ink-2 underline-offset-2 hover:underline"),
        ),
        class_name=_STRIP,
        custom_attrs={"aria-label": "Changed lately", "data-testid": "tape"},
    )
