"""The bar at the top of every page: where one is, where one can go, who one is."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from components.shell.palette import palette_button
from components.ui.button import page_link
from components.ui.icon import icon


class ThemeButton(rx.Component):
    """System, light, dark, in turn."""

    library = "$/public/js/theme.jsx"
    tag = "ThemeButton"


def _entry(label: str, to: str, here: bool) -> rx.Component:
    return page_link(
        label,
        to=to,
        class_name="rounded px-[9px] py-1.5 whitespace-nowrap " + ("bg-sunken text-ink" if here else "text-ink-2 hover:text-ink"),
        custom_attrs={"aria-current": "page"} if here else {},
    )


def top_bar(nav: Sequence[tuple[str, str]], current: str, account: Any = None) -> rx.Component:
    """`nav` lists (label, route) of pages that exist; `current` is the route being shown; `account` stands at the right end."""
    return rx.el.header(
        page_link(
            icon("mark", class_name="text-accent"),
            rx.el.span("Bourse", class_name="sr-only sm:not-sr-only"),
            to="/",
            class_name="flex items-center gap-[9px] text-[15px] leading-none font-semibold tracking-[-.01em]",
        ),
        rx.el.nav(
            *[_entry(label, to, to == current) for label, to in nav],
            class_name="flex min-w-0 gap-0.5 overflow-x-auto",
            custom_attrs={"aria-label": "Pages"},
        ),
        palette_button(),
        ThemeButton.create(class_name="grid size-8 shrink-0 place-items-center rounded text-ink-2 hover:bg-sunken hover:text-ink"),
        account if account is not None else rx.fragment(),
        class_name="flex h-[52px] items-center gap-2 border-b border-line bg-paper px-4 whitespace-nowrap sm:gap-[18px] sm:px-6",
    )
