"""Form fields: always with a visible label, an error in words beside the field it is about."""

from typing import Any

import reflex as rx

INPUT = "h-9 w-full rounded border border-line-strong bg-surface px-2.5 text-ink"
SEARCH = "h-8 w-full rounded border border-line-strong bg-surface px-2.5 text-[13px] text-ink"


class SearchField(rx.Component):
    """A text field that sends its text when the person pauses; `shortcut` is the key that focuses it."""

    library = "$/public/js/field.jsx"
    tag = "Field"

    value: rx.Var[str]
    label: rx.Var[str]
    placeholder: rx.Var[str]
    delay: rx.Var[int]
    shortcut: rx.Var[str]
    on_settle: rx.EventHandler[rx.event.passthrough_event_spec(str)]


class Range(rx.Component):
    """Two ends on a scale of named steps; sends (low, high), null for any, when the person pauses."""

    library = "$/public/js/range.jsx"
    tag = "Range"

    label: rx.Var[str]
    steps: rx.Var[list[dict[str, Any]]]
    low: rx.Var[float | None]
    high: rx.Var[float | None]
    any_low: rx.Var[str]
    any_high: rx.Var[str]
    single: rx.Var[bool]
    on_pick: rx.EventHandler[rx.event.passthrough_event_spec(float | None, float | None)]


class Amount(rx.Component):
    """A number between `least` and `most`, sent when the person pauses; `unit` stands behind it. What is none is marked and not sent."""

    library = "$/public/js/amount.jsx"
    tag = "Amount"

    value: rx.Var[int | float]
    label: rx.Var[str]
    unit: rx.Var[str]
    least: rx.Var[int | float]
    most: rx.Var[int | float]
    whole: rx.Var[bool]
    on_settle: rx.EventHandler[rx.event.passthrough_event_spec(float)]


search_field = SearchField.create
amount_field = Amount.create
range_field = Range.create


def field(label: str, *, name: str, error: Any = "", hint: str = "", **props: Any) -> rx.Component:
    """A labelled input of a form that posts over HTTP; `error` is shown below and announced."""
    described = f"{name}-hint" if hint else f"{name}-error"
    return rx.el.div(
        rx.el.label(label, html_for=name, class_name="mb-1 block text-[13px] font-medium"),
        rx.el.input(id=name, name=name, class_name=INPUT, custom_attrs={"aria-describedby": described}, **props),
        rx.el.p(hint, id=f"{name}-hint", class_name="mt-1 text-[12.5px] text-ink-3") if hint else rx.fragment(),
        rx.el.p(error, id=f"{name}-error", role="alert", class_name="mt-1 text-[12.5px] text-bad empty:hidden"),
    )


def checkbox(label: Any, *, count: Any = "", **props: Any) -> rx.Component:
    """A real checkbox in our square, with a count at the line's end where one is known."""
    return rx.el.label(
        rx.el.input(type="checkbox", class_name="box", **props),
        rx.el.span(label, class_name="min-w-0 wrap-anywhere"),
        rx.el.span(count, class_name="ml-auto shrink-0 font-mono text-[12px] text-ink-3"),
        class_name="flex items-center gap-2 py-[3px] text-ink-2 hover:text-ink",
    )
