"""The foot of every page: how much the store holds and how old its numbers are."""

from typing import Any

import reflex as rx

from components.ui.button import page_link

_LINK = "text-ink-2 underline underline-offset-2 hover:text-ink"


def footer(freshness: Any, operates: Any = False) -> rx.Component:
    """`freshness` is the sentence about offers, models, providers and sources. `operates`: whoever is there may do something about it."""
    return rx.el.footer(
        rx.el.p(freshness, custom_attrs={"data-testid": "freshness"}, class_name="min-h-[1.4em]"),
        rx.el.div(
            rx.cond(
                operates,
                rx.fragment(
                    page_link("Ingestion", to="/ingestion", class_name=_LINK), page_link("Quarantine", to="/quarantine", class_name=_LINK)
                ),
                rx.fragment(),
            ),
            page_link("API", to="/docs/api", class_name=_LINK),
            class_name="flex gap-4 sm:ml-auto sm:shrink-0",
        ),
        rx.el.p("Press ", rx.el.kbd("?", class_name="font-mono"), " for shortcuts", class_name="hidden sm:block sm:shrink-0"),
        class_name="flex flex-col gap-x-8 gap-y-1 border-t border-line px-4 py-4 text-[12.5px] text-ink-3 sm:flex-row sm:px-6",
    )
