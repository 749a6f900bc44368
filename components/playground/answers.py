"""The answers side by side: a column for each model, one after the other to swipe on a phone."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.button import SMALL_BUTTON, page_link
from components.ui.icon import icon

_SWIPED = "mt-3 flex snap-x snap-mandatory gap-4 overflow-x-auto pb-2 sm:grid sm:overflow-visible "
_WIDE = {1: "", 2: "sm:grid-cols-2", 3: "sm:grid-cols-2 lg:grid-cols-3", 4: "sm:grid-cols-2 xl:grid-cols-4"}


class Streamed(rx.Component):
    """The text of column `number`: `pieces` of that `round` put together."""

    library = "$/public/js/streamed.jsx"
    tag = "Streamed"

    number: rx.Var[int]
    round: rx.Var[int]
    pieces: rx.Var[list[Any]]
    label: rx.Var[str]


def answers(trial: Any) -> rx.Component:
    """`trial` is the page's state class."""
    wide = [(count, _SWIPED + classes) for count, classes in _WIDE.items() if count > 1]
    return rx.el.ul(
        rx.foreach(trial.columns, lambda one: _column(trial, one)),
        class_name=rx.match(trial.columns.length(), *wide, _SWIPED + _WIDE[1]),
        custom_attrs={"aria-label": "Answers", "data-testid": "columns"},
    )


def _column(trial: Any, one: Any) -> rx.Component:
    busy = (one.stage == "asked") | (one.stage == "answering")
    return rx.el.li(
        rx.el.div(
            rx.el.h2(one.model, class_name="min-w-0 grow truncate font-mono text-[13.5px] font-medium", title=one.model),
            rx.cond(
                trial.running,
                rx.cond(
                    busy,
                    rx.el.button(
                        "Stop",
                        type="button",
                        on_click=trial.stop(one.number),
                        class_name=SMALL_BUTTON,
                        custom_attrs={"aria-label": "Stop " + one.model, "data-testid": "stop"},
                    ),
                ),
                rx.el.button(
                    icon("cross", 13),
                    type="button",
                    on_click=trial.drop(one.number),
                    class_name="grid size-6 shrink-0 place-items-center rounded text-ink-3 hover:bg-sunken hover:text-ink",
                    custom_attrs={"aria-label": "Take " + one.model + " away", "data-testid": "drop"},
                ),
            ),
            class_name="flex min-h-7 items-center gap-2",
        ),
        rx.el.p(
            rx.cond(one.word != "", badge(one.word, one.tone, custom_attrs={"data-testid": "stage"})),
            rx.cond(one.provider != "", rx.el.span("by ", one.provider, class_name="text-[12.5px] text-ink-2")),
            rx.cond(one.simulated & (one.stage != "ready"), badge("simulated", "info")),
            class_name="mt-1 flex min-h-[22px] flex-wrap items-center gap-2",
        ),
        rx.el.dl(
            _figure("First token", one.first_token, "first-token"),
            _figure("Tokens / s", one.speed, "speed"),
            _figure("Tokens in / out", one.tokens, "tokens"),
            _figure("Cost", one.cost, "cost"),
            class_name="mt-2 grid grid-cols-2 gap-x-4 gap-y-1.5 border-y border-line py-2",
        ),
        rx.cond(one.error != "", _failure(trial, one)),
        Streamed.create(
            number=one.number,
            round=trial.round,
            pieces=trial.pieces,
            label="Answer of " + one.model,
            class_name="mt-2 max-h-[52vh] min-h-[120px] overflow-y-auto",
        ),
        rx.cond(one.note != "", rx.el.p(one.note, class_name="mt-2 text-[12.5px] text-ink-3", custom_attrs={"data-testid": "note"})),
        key=one.number.to_string() + one.model,
        class_name="w-[86%] min-w-0 shrink-0 snap-start rounded-lg border border-line bg-surface px-4 py-3.5 sm:w-auto",
        custom_attrs={"data-testid": "column"},
    )


def _figure(label: str, value: Any, name: str) -> rx.Component:
    return rx.el.div(
        rx.el.dt(label, class_name="text-[12px] text-ink-3"),
        rx.el.dd(value, class_name="num truncate font-medium", custom_attrs={"data-testid": name}),
        class_name="min-w-0",
    )


def _failure(trial: Any, one: Any) -> rx.Component:
    return rx.el.div(
        rx.el.p(one.error, class_name="wrap-anywhere"),
        rx.el.p(one.advice, class_name="text-ink-2"),
        rx.cond(trial.is_visitor, rx.el.p(page_link("Sign in", to="/sign-in?next=/playground", class_name="underline"), " to ask others.")),
        rx.el.p(one.request_id, class_name="font-mono text-[11.5px] wrap-anywhere text-ink-2"),
        role="status",
        class_name="mt-2.5 grid gap-1 rounded border-l-4 border-l-bad bg-bad-soft px-3 py-2 text-[13px]",
        custom_attrs={"data-testid": "failure"},
    )
