"""The work that somebody has, in four numbers."""

from typing import Any

import reflex as rx

from components.ui.field import SEARCH, amount_field

_NUMBER = SEARCH + " num text-right aria-invalid:border-bad"


def workload(page: Any, class_name: str = "") -> rx.Component:
    """One call, how often, how much of the prompt is cached. `page` has the four numbers and a handler `work(what, amount)`."""
    fields = [
        ("input", "Tokens in", page.input_tokens, "", 10_000_000),
        ("output", "Tokens out", page.output_tokens, "", 10_000_000),
        ("calls", "Calls a day", page.calls_per_day, "", 1_000_000_000),
        ("cache", "From the cache", page.cache_percent, "%", 100),
    ]
    return rx.el.div(
        *[
            amount_field(
                value=value,
                label=label,
                unit=unit,
                most=most,
                on_settle=page.work(what),
                class_name=_NUMBER,
                custom_attrs={"data-testid": f"work-{what}"},
            )
            for what, label, value, unit, most in fields
        ],
        role="group",
        class_name="grid grid-cols-2 gap-2 " + class_name,
        custom_attrs={"aria-label": "The work to price"},
    )
