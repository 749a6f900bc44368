"""Prices in quarantine, each with what is doubted, what others say, and the decision. `page` is the page's state class."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.button import page_link
from components.ui.text import note


class Verdict(rx.Component):
    """A reason and two buttons; `kin` others of the same source and offer can be decided about with it."""

    library = "$/public/js/verdict.jsx"
    tag = "Verdict"

    price: rx.Var[str]
    about: rx.Var[str]
    source: rx.Var[str]
    kin: rx.Var[int]
    verdict: rx.Var[str]
    on_judge: rx.EventHandler[rx.event.passthrough_event_spec(str, str, str, bool)]


def doubts(page: Any) -> rx.Component:
    """One after the other, the dearest first."""
    return rx.el.ul(
        rx.foreach(page.rows, lambda one: _doubt(page, one)),
        id="doubted",
        tab_index=-1,
        class_name="mt-4 border-t border-line outline-none",
        custom_attrs={"aria-label": "Prices", "data-testid": "doubted"},
    )


def _doubt(page: Any, one: Any) -> rx.Component:
    name = rx.cond(
        one.href != "",
        page_link(one.offer, to=one.href, class_name="font-medium underline-offset-2 hover:underline"),
        rx.el.span(one.offer, class_name="font-medium"),
    )
    return rx.el.li(
        rx.el.div(
            rx.el.p(name, " ", rx.el.span(one.what, class_name="text-ink-2"), class_name="wrap-anywhere"),
            rx.el.p(
                rx.el.span(one.price, class_name="num text-[15px] font-medium"),
                " says ",
                rx.cond(
                    one.source_url != "",
                    rx.el.a(one.source, href=one.source_url, rel="noreferrer", target="_blank", class_name="underline underline-offset-2"),
                    one.source,
                ),
                rx.el.span(", ", one.seen, class_name="text-ink-3"),
                class_name="mt-1",
            ),
            rx.cond(one.stated != "", note(one.stated)),
            rx.el.p(one.doubt, class_name="mt-1 text-warn wrap-anywhere"),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.cond(
                one.voices.length() > 0,
                rx.el.ul(rx.foreach(one.voices, _voice), custom_attrs={"aria-label": "What else is stated"}),
                note("Nobody else states a price for it."),
            ),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.cond(
                one.decided != "",
                rx.el.p(rx.el.span(one.decided, class_name="font-medium"), rx.cond(one.note != "", ": " + one.note, "")),
            ),
            Verdict.create(
                price=one.id,
                about=one.offer + ", " + one.what,
                source=one.source,
                kin=rx.cond(one.verdict == "", one.kin, 0),
                verdict=one.verdict,
                on_judge=page.judge,
            ),
            class_name="grid min-w-0 content-start gap-2",
        ),
        key=one.id,
        class_name="grid gap-x-8 gap-y-3 border-b border-line py-4 lg:grid-cols-[minmax(0,1.1fr)_minmax(0,1fr)_minmax(0,1.2fr)]",
    )


def _voice(one: Any) -> rx.Component:
    return rx.el.li(
        badge(one.word, one.tone),
        " ",
        rx.el.span(one.price, class_name="num"),
        rx.el.span(" ", one.source, ", ", one.age, class_name="text-ink-2"),
        rx.cond(one.stated != "", note(one.stated)),
        key=one.id,
        class_name="py-0.5 text-[13px]",
    )
