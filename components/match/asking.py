"""What is asked of matching, in steps: the task, then what must hold and what counts. `match` is the page's state class."""

from collections.abc import Mapping, Sequence
from typing import Any

import reflex as rx

from components.ui.button import button, page_link
from components.ui.card import card
from components.ui.field import SEARCH
from components.ui.text import heading, note

_EXAMPLES = (
    "Summarise long legal contracts in German",
    "Fix bugs in a large Python code base with tools, as cheap as possible",
    "Read invoices from photos and answer as JSON",
    "A fast chatbot that answers customers in Spanish",
)
_PATTERNS = {"decimal": r"\s*\$?\s*\d+(\.\d+)?\s*", "numeric": r"\s*\d[\d ,]*[kKmM]?\s*"}
"""What number fields take, by the keyboard that a phone shows for them; the browser says so where something else was typed."""
_CHIP = "rounded-full bg-accent-soft px-[9px] py-[3px] text-[12.5px]"
_STEPS = (("task", "1", "Your task"), ("needs", "2", "What must hold"), ("answer", "3", "The answer"))


def steps(match: Any) -> rx.Component:
    """Where one is; each step is an address, which a task opens."""

    def one(step: str, number: str, label: str) -> rx.Component:
        here = match.step == step
        words = (rx.el.span(number, class_name="num text-ink-3"), label)
        look = "inline-flex h-8 items-center gap-1.5 rounded px-2 text-[13px] sm:gap-2 sm:px-2.5 sm:text-[14px] "
        return rx.el.li(
            rx.cond(
                match.text == "",
                rx.el.span(
                    *words,
                    class_name=look + ("bg-sunken font-medium" if step == "task" else "text-ink-3"),
                    custom_attrs={"aria-current": "step"} if step == "task" else {},
                ),
                page_link(
                    *words,
                    to=match.steps[step],
                    class_name=look + rx.cond(here, "bg-sunken font-medium text-ink", "text-ink-2 hover:text-ink"),
                    custom_attrs={"aria-current": rx.cond(here, "step", "false"), "data-testid": f"step-{step}"},
                ),
            )
        )

    return rx.el.ol(*[one(*step) for step in _STEPS], class_name="mt-3 flex flex-wrap gap-1", custom_attrs={"aria-label": "Steps"})


def task(match: Any) -> rx.Component:
    return rx.el.form(
        rx.el.label("What should the model do? Say it in your own words.", html_for="task", class_name="mb-1 block font-medium"),
        rx.el.textarea(
            id="task",
            name="task",
            rows="4",
            max_length=4000,
            required=True,
            default_value=match.text,
            key=match.loaded,
            placeholder=_EXAMPLES[0],
            class_name="w-full resize-y rounded border border-line-strong bg-surface px-2.5 py-2 text-ink",
            custom_attrs={"aria-describedby": "task-note", "data-testid": "task"},
        ),
        note(
            "Languages, “cheap”, “fast”, “open source”, “with tools” and the like are understood. It is part of this page's address, "
            "so keep names and secrets out of it.",
            id="task-note",
            class_name="mt-1",
        ),
        # Who is quicker than the scripts sends the form as browsers do, and arrives at the same address.
        rx.el.input(type="hidden", name="step", default_value="needs"),
        button("Next", type="submit", kind="primary", class_name="mt-3", custom_attrs={"data-testid": "next"}),
        rx.el.div(
            rx.el.p("For example", class_name="text-[13px] font-medium"),
            rx.el.ul(
                *[
                    rx.el.li(
                        rx.el.button(
                            text,
                            type="button",
                            on_click=match.describe({"task": text}),
                            class_name="text-left text-ink-2 underline decoration-line-strong underline-offset-2 hover:text-ink",
                        )
                    )
                    for text in _EXAMPLES
                ],
                class_name="mt-1 grid gap-1.5",
            ),
            class_name="mt-7",
        ),
        on_submit=match.describe,
        class_name="mt-4 max-w-[720px]",
    )


def understood(match: Any) -> rx.Component:
    """How the text was read."""
    return rx.cond(
        match.read.length() > 0,
        rx.el.div(
            rx.el.span("Understood as", class_name="text-ink-3"),
            rx.el.ul(
                rx.foreach(
                    match.read,
                    lambda line: rx.el.li(line, key=line, class_name=_CHIP),
                ),
                class_name="flex flex-wrap gap-2",
            ),
            class_name="mt-3 flex flex-wrap items-center gap-2 text-[13px]",
            custom_attrs={"data-testid": "understood"},
        ),
    )


def needs(match: Any, wants: Mapping[str, str], firsts: Sequence[tuple[str, str]]) -> rx.Component:
    """`wants` are what can be ticked, `firsts` what can count first; each a value and its words."""
    return rx.el.form(
        understood(match),
        rx.el.div(
            card(
                heading("What must hold"),
                rx.el.div(
                    _number("price", "At most, $ per 1M tokens", match.price, "any price", "decimal"),
                    _number("context", "Context, tokens at least", match.context, "any", "numeric"),
                    class_name="mt-3 grid grid-cols-2 gap-3",
                ),
                rx.el.fieldset(
                    rx.el.legend("It", class_name="sr-only"),
                    *[_tick(need, label, match.needs[need]) for need, label in wants.items()],
                    _tick("here", "Sold by a provider that is configured here", match.here),
                    class_name="mt-3 grid gap-x-6 sm:grid-cols-2",
                ),
                _select("open", "Weights", [("", "open or closed"), ("yes", "open"), ("no", "closed")], match.open_weights, "mt-3"),
            ),
            card(
                heading("What counts, and for how much work"),
                _select("first", "What counts first", firsts, match.first, "mt-3"),
                rx.el.div(
                    _number("input", "Tokens in", match.work["input"], match.usual["input"], "numeric"),
                    _number("output", "Tokens out", match.work["output"], match.usual["output"], "numeric"),
                    _number("calls", "Calls a day", match.work["calls"], match.usual["calls"], "numeric"),
                    class_name="mt-3 grid grid-cols-3 gap-3",
                ),
                note(
                    "Of one call; what is left empty is as usual for such work. Prices are those in force now, at the cheapest offer.",
                    class_name="mt-2",
                ),
            ),
            class_name="mt-4 grid items-start gap-4 lg:grid-cols-2",
        ),
        button("Show the models", type="submit", kind="primary", class_name="mt-4", custom_attrs={"data-testid": "show"}),
        on_submit=match.narrow,
        key=match.loaded,
    )


def _number(name: str, label: str, value: Any, placeholder: Any, keyboard: str) -> rx.Component:
    return rx.el.div(
        rx.el.label(label, html_for=f"need-{name}", class_name="mb-1 block text-[13px]"),
        rx.el.input(
            id=f"need-{name}",
            name=name,
            default_value=value,
            placeholder=placeholder,
            auto_complete="off",
            pattern=_PATTERNS[keyboard],
            title="A number, such as " + ("2.50" if keyboard == "decimal" else "128000 or 128k"),
            class_name=SEARCH + " num text-right",
            custom_attrs={"inputMode": keyboard},
        ),
        class_name="grid content-end",
    )


def _tick(name: str, label: str, on: Any) -> rx.Component:
    return rx.el.label(
        rx.el.input(type="checkbox", name=name, default_checked=on, class_name="box"),
        rx.el.span(label),
        class_name="flex items-center gap-2 py-1 text-ink-2 hover:text-ink",
    )


def _select(name: str, label: str, options: Sequence[tuple[str, str]], value: Any, class_name: str) -> rx.Component:
    return rx.el.div(
        rx.el.label(label, html_for=f"need-{name}", class_name="mb-1 block text-[13px]"),
        rx.el.select(
            *[rx.el.option(words, value=option) for option, words in options],
            id=f"need-{name}",
            name=name,
            default_value=value,
            class_name="h-8 w-full rounded border border-line-strong bg-surface px-2",
        ),
        class_name=class_name,
    )
