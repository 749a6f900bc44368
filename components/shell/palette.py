"""⌘K: pages are found in the browser, models on the server."""

from typing import Any

import reflex as rx

from components.ui.icon import icon

_FIELD = (
    "flex h-8 items-center gap-2 rounded border border-line-strong bg-surface px-2.5 text-ink-3 hover:border-ink-3 "
    "ml-auto w-9 min-w-9 shrink-0 sm:shrink sm:w-[240px] lg:w-[300px] justify-center sm:justify-start"
)


class Palette(rx.Component):
    """The dialog. `hits` answer `hits_for`; `on_ask` carries the text after a pause."""

    library = "$/public/js/palette.jsx"
    tag = "Palette"

    pages: rx.Var[list[dict[str, str]]]
    hits: rx.Var[list[Any]]
    hits_for: rx.Var[str]
    on_ask: rx.EventHandler[rx.event.passthrough_event_spec(str)]


class PaletteButton(rx.Component):
    """The field-like button of the top bar."""

    library = "$/public/js/palette.jsx"
    tag = "PaletteButton"


def palette_button() -> rx.Component:
    return PaletteButton.create(
        icon("search", 16),
        rx.el.span("Find a model or page", class_name="sr-only sm:not-sr-only sm:overflow-hidden sm:text-ellipsis sm:whitespace-nowrap"),
        class_name=_FIELD,
    )
