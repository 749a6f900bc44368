"""Price against quality, with the line of those that nobody beats."""

from typing import Any

import reflex as rx

from components.charts.figure import figure


class Plot(rx.Component):
    """Draws a Scatter; each dot is reached by the keyboard and reads out what it stands for."""

    library = "$/public/js/scatter.jsx"
    tag = "Plot"

    chart: rx.Var[Any]
    x_label: rx.Var[str]
    y_label: rx.Var[str]
    to: rx.Var[str]
    height: rx.Var[int]


def scatter_chart(
    chart: Any, *, about: Any, x_label: Any, y_label: Any, price: str = "A call", to: str = "", height: int = 268
) -> rx.Component:
    """`chart` is a Scatter with something to draw. `price` heads its column in the table; dots lead to the address that `to` begins."""
    return figure(
        chart.sentence,
        Plot.create(chart=chart, x_label=x_label, y_label=y_label, to=to, height=height),
        about=about,
        columns=[("Model", False), (price, True), ("Score", True), ("Between", True), ("Unbeaten", False)],
        rows=chart.rows,
        custom_attrs={"data-testid": "price-quality"},
    )
