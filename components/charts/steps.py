"""Prices over time, drawn as steps with the labels at the lines' ends."""

from typing import Any

import reflex as rx

from components.charts.figure import figure


class Steps(rx.Component):
    """Draws a StepChart; the pointer and the arrow keys read out what stood at each step."""

    library = "$/public/js/steps.jsx"
    tag = "Steps"

    chart: rx.Var[Any]
    label: rx.Var[str]


def step_chart(chart: Any, *, about: Any, label: str) -> rx.Component:
    """`chart` is a StepChart with something to draw; `label` names what the arrow keys go through."""
    return figure(
        chart.sentence,
        Steps.create(chart=chart, label=label),
        about=about,
        columns=[("Day", False), ("Sold by", False), ("Before, $", True), ("From then on, $", True)],
        rows=chart.rows,
        custom_attrs={"data-testid": "price-history"},
    )
