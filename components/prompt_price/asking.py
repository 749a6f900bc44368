"""The prompt and how it is priced. `page` is the page's state class."""

from collections.abc import Mapping, Sequence
from typing import Any

import reflex as rx

from components.ui.field import SEARCH, checkbox, search_field
from components.ui.text import note

_SELECT = "h-8 w-full rounded border border-line-strong bg-surface px-2"


class PromptField(rx.Component):
    """A text that is sent when the person pauses, at most `most` signs. `given` is written into it whenever `filled` grows; `held` says
    whether the server has a text, `answered` counts its answers."""

    library = "$/public/js/prompt.jsx"
    tag = "PromptField"

    given: rx.Var[str]
    filled: rx.Var[int]
    held: rx.Var[bool]
    answered: rx.Var[int]
    most: rx.Var[int]
    on_settle: rx.EventHandler[rx.event.passthrough_event_spec(str)]


def composer(
    page: Any,
    most: int,
    examples: Mapping[str, str],
    tasks: Mapping[Any, str],
    needs: Mapping[str, str],
    tiers: Mapping[Any, str],
) -> rx.Component:
    """`examples`, `tasks`, `needs` and `tiers` are what can be chosen, each with its words."""
    return rx.el.div(
        rx.el.div(
            PromptField.create(
                given=page.given, filled=page.filled, held=page.held, answered=page.answered, most=most, on_settle=page.price
            ),
            _examples(page, examples),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.el.div(
                rx.el.label("It asks for", html_for="task", class_name="mb-1 block text-[13px] font-medium"),
                _select(page, "task", list(tasks.items()), page.task, id="task"),
                class_name="grid content-end",
            ),
            rx.el.div(
                rx.el.p("Tokens of the answer", class_name="mb-1 text-[13px] font-medium"),
                search_field(
                    value=page.output,
                    label="Tokens of the answer",
                    placeholder=rx.cond(page.taken_for != "", "taken for " + page.taken_for, "as the task says"),
                    delay=500,
                    on_settle=page.choose("output"),
                    class_name=SEARCH + " tabular-nums",
                    custom_attrs={"inputMode": "numeric", "data-testid": "output"},
                ),
                class_name="grid content-end",
            ),
            rx.el.fieldset(
                rx.el.legend("Models that", class_name="mb-0.5 text-[13px] font-medium"),
                rx.el.div(
                    *[_tick(page, "needs", need, words, page.needs[need]) for need, words in needs.items()],
                    class_name="grid gap-x-4 sm:grid-cols-2 lg:grid-cols-1",
                ),
                class_name="col-span-2",
            ),
            rx.el.fieldset(
                rx.el.legend("Tiers", class_name="sr-only"),
                *[_tick(page, "tiers", tier, words, page.tiers[tier]) for tier, words in tiers.items()],
                note("Later answers, for less.", class_name="mt-0.5"),
                class_name="col-span-2",
            ),
            class_name="grid grid-cols-2 content-start gap-3",
        ),
        class_name="mt-4 grid grid-cols-1 gap-x-6 gap-y-4 lg:grid-cols-[minmax(0,1fr)_280px]",
    )


def order(page: Any, rows: Sequence[int]) -> rx.Component:
    """Order, number of rows, and for how many calls."""

    def per(calls: str, label: str) -> rx.Component:
        here = page.calls == calls
        return rx.el.button(
            label,
            type="button",
            on_click=page.choose("calls", calls),
            class_name=rx.cond(here, "bg-sunken font-medium text-ink", "text-ink-2 hover:text-ink") + " h-[30px] px-2.5 text-[13px]",
            custom_attrs={"aria-pressed": rx.cond(here, "true", "false"), "data-testid": f"calls-{calls}"},
        )

    return rx.el.div(
        rx.el.div(
            per("1", "One call"),
            per("1000", "1,000 calls"),
            class_name="flex overflow-hidden rounded border border-line-strong",
            role="group",
            custom_attrs={"aria-label": "Costs of"},
        ),
        _select(page, "sort", [("total", "Cheapest first"), ("value", "Quality per dollar")], page.sort, aria_label="Order"),
        _select(page, "rows", [(str(count), f"{count} models") for count in rows], page.rows_shown, aria_label="How many models"),
        class_name="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap sm:items-center sm:[&_select]:w-auto",
    )


def _examples(page: Any, examples: Mapping[str, str]) -> rx.Component:
    return rx.el.div(
        rx.el.span("For example", class_name="text-[12.5px] text-ink-3"),
        *[
            rx.el.button(
                label,
                type="button",
                on_click=page.take_example(name),
                class_name="text-[13px] text-ink-2 underline decoration-line-strong underline-offset-2 hover:text-ink",
                custom_attrs={"data-testid": f"example-{name}"},
            )
            for name, label in examples.items()
        ],
        class_name="mt-2.5 flex flex-wrap items-baseline gap-x-3.5 gap-y-1",
    )


def _select(page: Any, what: str, options: Sequence[tuple[str, str]], value: Any, aria_label: str = "", **props: Any) -> rx.Component:
    named = {"aria-label": aria_label} if aria_label else {}
    return rx.el.select(
        *[rx.el.option(words, value=option) for option, words in options],
        value=value,
        on_change=page.choose(what),
        class_name=_SELECT,
        custom_attrs={"data-testid": what, **named},
        **props,
    )


def _tick(page: Any, what: str, value: str, label: str, on: Any) -> rx.Component:
    return checkbox(label, checked=on, on_change=page.tick(what, value), custom_attrs={"data-testid": f"{what}-{value}"})
