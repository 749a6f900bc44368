"""`/ingestion`: how old prices are, where they come from, and what every reading changed. For super admins."""

import reflex as rx

from components.ingestion.access import for_super_admins
from components.ingestion.hand_in import hand_in
from components.ingestion.runs import runs
from components.ingestion.sources import progress, sources
from components.ui.button import button, page_link
from components.ui.card import card
from components.ui.feedback import empty_state, skeleton
from components.ui.field import checkbox
from components.ui.text import heading, note, subline
from state.ingestion import IngestionState

_WHAT = "see where prices come from, read them anew and hand in lists"


def _runs() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            heading("What every reading changed"),
            rx.el.div(
                checkbox(
                    "Only those that changed something",
                    checked=IngestionState.only_changed,
                    on_change=IngestionState.show_changed,
                    custom_attrs={"data-testid": "only-changed"},
                ),
                class_name="sm:ml-auto",
            ),
            class_name="mb-2 flex flex-wrap items-center gap-x-4 gap-y-1",
        ),
        rx.cond(
            IngestionState.runs.length() > 0,
            runs(IngestionState),
            empty_state(
                rx.cond(IngestionState.only_changed, "No run changed anything yet.", "Nothing was read yet."),
                rx.el.p("What is known ships with Bourse. Read a source above, or hand in a list of your own."),
                custom_attrs={"data-testid": "no-runs"},
            ),
        ),
        rx.el.div(
            rx.cond(IngestionState.is_first_page, rx.fragment(), button("Newest", on_click=IngestionState.turn(False))),
            rx.cond(IngestionState.older != "", button("Older", on_click=IngestionState.turn(True)), rx.fragment()),
            class_name="mt-4 flex justify-center gap-3",
        ),
        class_name="mt-10",
    )


def _open() -> rx.Component:
    return rx.fragment(
        subline(IngestionState.mode),
        rx.cond(
            IngestionState.held != "",
            rx.el.p(
                page_link(IngestionState.held, to="/quarantine", class_name="font-medium underline underline-offset-2"),
                ": they look wrong, and nothing is priced with them.",
                class_name="mt-2",
                custom_attrs={"data-testid": "held"},
            ),
        ),
        sources(IngestionState),
        progress(IngestionState),
        rx.el.div(
            card(
                heading("Hand in a list"),
                note(
                    "provider, model and prices per million tokens; docs/ingestion.md names every field. "
                    "Prices in another currency count at the day's ECB rate."
                ),
                rx.el.div(hand_in(IngestionState), class_name="mt-3"),
            ),
            class_name="mt-6",
        ),
        _runs(),
    )


def _waiting() -> rx.Component:
    line = rx.el.div(skeleton("h-4 w-40"), skeleton("h-4 w-28"), skeleton("h-4 w-56"), class_name="flex gap-8 border-b border-line py-5")
    return rx.el.section(*[line for _ in range(6)], class_name="mt-12")


def content() -> rx.Component:
    return for_super_admins(IngestionState, _WHAT, "/ingestion", opened=_open(), waiting=_waiting())
