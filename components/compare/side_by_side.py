"""The parts of the comparison. `compare` is the page's state class."""

from typing import Any

import reflex as rx

from components.charts.interval import interval_bar
from components.charts.scatter import scatter_chart
from components.ui.button import button, page_link
from components.ui.card import card
from components.ui.copy import copy_address
from components.ui.field import SEARCH, checkbox
from components.ui.icon import icon
from components.ui.picker import picker
from components.ui.table import scroller


class Fold(rx.Component):
    """Rows of a table behind a button that says how many and, while they are folded, `hint`."""

    library = "$/public/js/fold.jsx"
    tag = "Fold"

    label: rx.Var[str]
    hint: rx.Var[str]
    span: rx.Var[int]


_LABEL = (
    "sticky left-0 z-10 bg-paper border-b border-line text-left align-top py-[9px] pr-2.5 "
    "w-[104px] min-w-[104px] sm:w-[190px] sm:min-w-[190px] "
)


def choosing(compare: Any) -> rx.Component:
    return picker(
        hits=compare.hits,
        hits_for=compare.hits_for,
        label="Add a model to the comparison",
        placeholder=rx.cond(compare.full, "Six models are as many as fit", "Add a model"),
        disabled=compare.full,
        on_ask=compare.ask,
        on_pick=compare.add,
        class_name=SEARCH,
    )


def tools(compare: Any) -> rx.Component:
    """What is shown, and the ways to hand it on."""
    return rx.el.div(
        checkbox(
            "Differences only",
            checked=compare.differences,
            on_change=compare.show_differences,
            custom_attrs={"data-testid": "differences"},
        ),
        rx.cond(compare.hidden_rows > 0, rx.el.span(compare.hidden_rows, " rows are the same", class_name="text-[12.5px] text-ink-3")),
        rx.el.div(
            copy_address(),
            button("CSV", on_click=compare.export("csv"), custom_attrs={"data-testid": "csv"}),
            button("Markdown", on_click=compare.export("markdown"), custom_attrs={"data-testid": "markdown"}),
            class_name="flex gap-2 sm:ml-auto",
        ),
        class_name="mt-4 mb-1 flex flex-wrap items-center gap-x-4 gap-y-2",
    )


def _head(compare: Any) -> rx.Component:
    def one(model: Any) -> rx.Component:
        return rx.el.th(
            rx.el.div(
                page_link(model.name, to=model.href, class_name="font-semibold wrap-anywhere hover:underline underline-offset-2"),
                rx.el.button(
                    icon("cross", 12),
                    type="button",
                    on_click=compare.remove(model.id),
                    class_name="shrink-0 rounded p-1 text-ink-3 hover:bg-sunken hover:text-ink",
                    custom_attrs={"aria-label": "Take " + model.name + " away"},
                ),
                class_name="flex items-start justify-between gap-1",
            ),
            rx.el.span(model.maker, class_name="block text-[12px] font-normal text-ink-3"),
            key=model.id,
            scope="col",
            class_name="border-b border-line-strong px-2.5 py-2 text-left align-bottom",
            custom_attrs={"data-column": model.id},
        )

    return rx.el.thead(
        rx.el.tr(
            rx.el.td(class_name=_LABEL + "border-b-line-strong"),
            rx.foreach(compare.columns, one),
        )
    )


def _cell(value: Any) -> rx.Component:
    tone = rx.match(value.tone, ("good", "text-good font-medium"), ("quiet", "text-ink-3"), "")
    return rx.el.td(
        rx.el.span(value.text, class_name=tone),
        rx.cond(value.note != "", rx.el.span(value.note, class_name="block text-[12px] text-ink-3")),
        rx.cond(value.bar, interval_bar(value.score, value.low, value.high, value.text + ", " + value.note, "mt-1 max-w-[140px]")),
        class_name="border-b border-line px-2.5 py-[9px] align-top tabular-nums wrap-anywhere",
    )


def _section(section: Any, span: Any) -> rx.Component:
    def line(row: Any) -> rx.Component:
        return rx.el.tr(
            rx.el.th(
                row.label,
                rx.cond(row.hint != "", rx.el.span(row.hint, class_name="block text-[12px] text-ink-3")),
                scope="row",
                class_name=_LABEL + "font-normal text-ink-2",
            ),
            rx.foreach(row.cells, _cell),
            key=row.label,
            custom_attrs={"data-row": row.label},
        )

    head = rx.el.tr(
        rx.el.th(
            rx.el.span(section.title, class_name="sticky left-0"),
            rx.cond(
                section.about != "",
                rx.el.span(section.about, class_name="sticky left-0 block max-w-[calc(100vw-40px)] text-[12.5px] font-normal text-ink-3"),
            ),
            col_span=span,
            scope="rowgroup",
            class_name="border-b border-line-strong pt-6 pb-1.5 text-left text-[13px] font-semibold",
        )
    )
    return rx.fragment(
        rx.el.tbody(head, rx.foreach(section.rows, line)),
        rx.cond(
            section.folded.length() > 0,
            Fold.create(rx.foreach(section.folded, line), label=section.fold_label, hint=section.fold_hint, span=span),
        ),
        key=section.title,
    )


def side_by_side(compare: Any) -> rx.Component:
    """One column per model; the names of the rows stay where they are when the rest is scrolled."""
    # Columns as wide as each other; on a phone so wide that a third one shows that there is more.
    span = compare.columns.length() + 1
    return scroller(
        rx.el.table(
            rx.el.caption(compare.headline, class_name="sr-only"),
            _head(compare),
            rx.foreach(compare.costs, lambda section: _section(section, span)),
            rx.foreach(compare.sections, lambda section: _section(section, span)),
            class_name="w-full min-w-[calc(104px+var(--models)*116px)] table-fixed border-separate border-spacing-0 text-[13px] "
            "sm:min-w-[calc(190px+var(--models)*132px)] sm:text-[14px]",
            style={"--models": compare.columns.length()},
            custom_attrs={"data-testid": "comparison"},
        ),
        label="The comparison",
    )


def price_quality(compare: Any) -> rx.Component:
    """The plot, and what stands on its upright axis."""
    measures = rx.el.label(
        "Quality is ",
        rx.el.select(
            rx.foreach(compare.skills, lambda one: rx.el.option(one["label"], value=one["value"], key=one["value"])),
            value=compare.skill,
            on_change=compare.measure_by,
            class_name="h-8 rounded border border-line-strong bg-surface px-2 font-medium",
            custom_attrs={"data-testid": "measure"},
        ),
        class_name="mb-2 flex items-center justify-end gap-2 text-[13px] text-ink-2",
    )
    chart = scatter_chart(
        compare.plot,
        about=compare.plot_about,
        x_label="a call of this work, logarithmic",
        y_label=compare.measure + ", 0 to 100",
    )
    return rx.cond(compare.skills.length() > 0, card(measures, rx.cond(compare.plot.dots.length() > 0, chart), class_name="mt-8"))
