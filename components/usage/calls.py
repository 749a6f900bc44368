"""The list of a tenant's last calls."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.table import cell, column, row, scroller, table


def calls(rows: Any) -> rx.Component:
    """`rows` are `CallRow`s, the newest first."""
    head = [
        column("Time"),
        column("Model"),
        column("Key", class_name="hidden md:table-cell"),
        column("Outcome"),
        column("Tokens in / out", numeric=True),
        column("First token", numeric=True, class_name="hidden sm:table-cell"),
        column("Cost", numeric=True),
    ]
    return scroller(
        table(head, rx.foreach(rows, _row), label="The last calls, newest first", custom_attrs={"data-testid": "calls"}),
        label="The last calls",
    )


def _row(call: Any) -> rx.Component:
    return row(
        cell(call.time, class_name="num whitespace-nowrap"),
        cell(
            rx.el.span(call.model, class_name="font-medium"),
            rx.cond(call.simulated, rx.fragment(" ", badge("simulated", "info")), rx.fragment()),
        ),
        cell(call.key, class_name="hidden md:table-cell"),
        cell(badge(call.outcome, call.tone)),
        cell(call.tokens, numeric=True),
        cell(call.first_token, numeric=True, class_name="hidden sm:table-cell"),
        cell(call.cost, numeric=True),
        key=call.id,
    )
