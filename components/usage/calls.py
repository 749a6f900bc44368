"""The list of a tenant's last calls."""

from typing import Any

import reflex as rx

from components.ui.badge import badge
from components.ui.table import cell, column, row, scroller, table


def calls(rows: Any) -> rx.Component:
    """`rows` are `CallRow`s, the newest first."""
    head = [
        column("Time", class_name="hidden sm:table-cell"),
        column("Model"),
        column("Key", class_name="hidden md:table-cell"),
        column("Outcome"),
        column("Used (tokens in / out)", numeric=True, class_name="hidden sm:table-cell"),
        column("First token", numeric=True, class_name="hidden sm:table-cell"),
        column("Cost", numeric=True),
    ]
    return scroller(
        table(head, rx.foreach(rows, _row), label="The last calls, newest first", custom_attrs={"data-testid": "calls"}),
        label="The last calls",
    )


def _row(call: Any) -> rx.Component:
    return row(
        cell(call.time, class_name="num hidden whitespace-nowrap sm:table-cell"),
        cell(
            rx.el.span(call.model, class_name="mr-1 font-medium"),
            rx.cond(call.simulated, badge("simulated", "info"), rx.fragment()),
            rx.el.span(
                rx.el.span(call.time, class_name="mr-2"),
                rx.el.span(call.used, class_name="inline-block whitespace-nowrap"),
                class_name="num block text-ink-3 sm:hidden",
            ),
        ),
        cell(call.key, class_name="hidden md:table-cell"),
        cell(badge(call.outcome, call.tone)),
        cell(call.used, numeric=True, class_name="hidden sm:table-cell"),
        cell(call.first_token, numeric=True, class_name="hidden sm:table-cell"),
        cell(call.cost, numeric=True),
        key=call.id,
    )
