"""The foot of every page: how much the store holds and how old its numbers are."""

from typing import Any

import reflex as rx


def footer(freshness: Any) -> rx.Component:
    """`freshness` is the sentence about offers, models, providers and sources."""
    return rx.el.footer(
        rx.el.p(freshness, custom_attrs={"data-testid": "freshness"}, class_name="min-h-[1.4em]"),
        rx.el.p("Press ", rx.el.kbd("?", class_name="font-mono"), " for shortcuts", class_name="hidden sm:ml-auto sm:block sm:shrink-0"),
        class_name="flex flex-col gap-x-8 gap-y-1 border-t border-line px-4 py-4 text-[12.5px] text-ink-3 sm:flex-row sm:px-6",
    )
