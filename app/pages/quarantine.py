"""`/quarantine`: prices that look wrong, and the decision about each. For super admins."""

import reflex as rx

from components.ingestion.access import for_super_admins
from components.ingestion.quarantine import doubts
from components.ui.button import button, page_link
from components.ui.feedback import empty_state, skeleton
from components.ui.text import subline
from state.quarantine import QuarantineState

_WHAT = "decide about prices that look wrong"
_STATES = [("waiting", "Waiting"), ("accepted", "Accepted"), ("rejected", "Rejected")]


def _state(value: str, label: str) -> rx.Component:
    here = QuarantineState.shown == value
    return rx.el.button(
        label,
        type="button",
        on_click=QuarantineState.show(value),
        class_name=rx.cond(here, "bg-accent-soft text-ink", "border border-line text-ink-2 hover:text-ink")
        + " inline-flex h-[26px] items-center rounded-full px-[10px] text-[12.5px]",
        custom_attrs={"aria-pressed": rx.cond(here, "true", "false"), "data-state": value},
    )


def _empty() -> rx.Component:
    return rx.match(
        QuarantineState.shown,
        ("accepted", empty_state("No price was accepted yet.", rx.el.p("What was accepted is not asked about again."))),
        (
            "rejected",
            empty_state("No price was rejected yet.", rx.el.p("What was rejected counts nowhere while its source says the same.")),
        ),
        empty_state(
            "Every price passed.",
            rx.el.p("A reading that brings one that cannot be right leaves it here: negative, absurd, or ×10 away from what was known."),
            page_link("Where prices come from", to="/ingestion", class_name="underline underline-offset-2"),
            custom_attrs={"data-testid": "nothing-waits"},
        ),
    )


def _open() -> rx.Component:
    return rx.fragment(
        subline(
            "Nothing is priced with what waits: the price that was known goes on. A decision holds for good, and is written down. ",
            page_link("Where prices come from", to="/ingestion", class_name="underline underline-offset-2"),
        ),
        rx.el.div(
            *[_state(value, label) for value, label in _STATES],
            role="group",
            class_name="mt-4 flex flex-wrap gap-2",
            custom_attrs={"aria-label": "Which prices"},
        ),
        rx.cond(QuarantineState.rows.length() > 0, doubts(QuarantineState), _empty()),
        rx.el.div(
            rx.cond(QuarantineState.here == "", rx.fragment(), button("From the beginning", on_click=QuarantineState.turn(False))),
            rx.cond(QuarantineState.more != "", button("More", on_click=QuarantineState.turn(True)), rx.fragment()),
            class_name="mt-4 flex justify-center gap-3",
        ),
    )


def _waiting() -> rx.Component:
    line = rx.el.div(
        skeleton("h-16 w-1/3"), skeleton("h-16 w-1/4"), skeleton("h-16 w-1/3"), class_name="flex gap-8 border-b border-line py-4"
    )
    return rx.el.section(*[line for _ in range(5)], class_name="mt-12")


def content() -> rx.Component:
    return for_super_admins(QuarantineState, _WHAT, "/quarantine", opened=_open(), waiting=_waiting())
