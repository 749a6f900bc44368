"""What a model's page says beyond its offers. `evidence` is the state class, `here` whether it is about the model that is shown; every part
is empty where there is nothing to say."""

from typing import Any, ClassVar

import reflex as rx

from components.charts.interval import interval_bar
from components.charts.steps import step_chart
from components.ui.badge import badge
from components.ui.button import page_link
from components.ui.card import card
from components.ui.feedback import skeleton
from components.ui.table import cell, column, row, scroller, table
from components.ui.text import heading, note
from components.ui.workload import workload


class _Elsewhere(rx.Component):
    """A link to another site. Reflex's own becomes a router link."""

    tag = "a"
    _is_tag_in_global_scope: ClassVar[bool] = True

    href: rx.Var[str]
    rel: rx.Var[str]


def _once_there(here: Any, there_is_some: Any, height: str, part: rx.Component) -> rx.Component:
    """The part, or nothing where there is nothing to say; until that is known, a place that is about as high."""
    shown = part if there_is_some is True else rx.cond(there_is_some, part, rx.fragment())
    return rx.cond(here, shown, skeleton("rounded-lg opacity-40 w-full " + height))


def price_history(evidence: Any, here: Any) -> rx.Component:
    """Prices over time, one line per offer."""

    def component(value: str, label: str) -> rx.Component:
        drawn = evidence.component == value
        return rx.el.button(
            label,
            type="button",
            on_click=evidence.draw(value),
            class_name=rx.cond(drawn, "bg-sunken text-ink font-medium", "text-ink-2 hover:text-ink") + " h-7 px-2.5 text-[12.5px]",
            custom_attrs={"aria-pressed": rx.cond(drawn, "true", "false"), "data-testid": f"draw-{value}"},
        )

    return _once_there(
        here,
        (evidence.history.lines.length() > 0) | (evidence.component != "input"),
        "h-[322px]",
        card(
            rx.el.div(
                component("input", "Input"),
                component("output", "Output"),
                role="group",
                class_name="float-right ml-3 flex overflow-hidden rounded border border-line-strong",
                custom_attrs={"aria-label": "Prices of"},
            ),
            rx.cond(
                evidence.history.lines.length() > 0,
                step_chart(evidence.history, about=evidence.history_about, label="Days on which a price changed"),
                note("Nobody told of such a price over time."),
            ),
        ),
    )


def quality(evidence: Any, here: Any) -> rx.Component:
    """Skills with their intervals, and every result with its source."""

    def skill(one: Any) -> rx.Component:
        value = one.cells[0]
        return rx.el.div(
            rx.el.dt(one.label, class_name="min-w-0 text-[13px]"),
            rx.el.dd(
                interval_bar(value.score, value.low, value.high, value.text + ", " + value.note, "mt-1"),
                rx.el.span(value.note, class_name="text-[12px] text-ink-3"),
            ),
            rx.el.dd(value.text, class_name="num text-right"),
            key=one.label,
            class_name="grid grid-cols-[112px_minmax(0,1fr)_28px] items-start gap-x-3 py-1.5",
            custom_attrs={"data-skill": one.label},
        )

    return _once_there(
        here,
        (evidence.skills.length() > 0) | (evidence.results.length() > 0),
        "h-[320px]",
        card(
            heading(evidence.quality_title),
            note("0 to 100, 50 is the middle of all models measured; the marks are what the evidence allows."),
            rx.el.dl(rx.foreach(evidence.skills, skill), class_name="mt-2"),
            _results(evidence),
            custom_attrs={"data-testid": "quality"},
        ),
    )


def _results(evidence: Any) -> rx.Component:
    def one(result: Any) -> rx.Component:
        return row(
            cell(result.name, rx.el.span(result.hint, class_name="block text-[12px] text-ink-3"), class_name="wrap-anywhere"),
            cell(result.text, numeric=True),
            cell(
                rx.cond(
                    result.href != "",
                    _Elsewhere.create(
                        result.by,
                        href=result.href,
                        rel="noopener noreferrer",
                        class_name="underline decoration-line-strong underline-offset-2",
                    ),
                    result.by,
                ),
                rx.el.span(result.day, class_name="block text-[12px] text-ink-3"),
                rx.cond(result.used, badge("counts", "good"), rx.fragment()),
                class_name="wrap-anywhere",
            ),
            key=result.id,
        )

    return rx.el.details(
        rx.el.summary("Every result and its source", class_name="mt-2 inline-block text-[12.5px] text-ink-3 hover:text-ink"),
        scroller(
            table(
                [column("Benchmark"), column("Result", numeric=True), column("Measured by")],
                rx.foreach(evidence.results, one),
                label="Results of this model with their sources",
                class_name="text-[13px]",
            ),
            label="Results",
        ),
        rx.cond(
            evidence.more_results > 0, note(evidence.more_results, " older ones that no score rests on are left out.", class_name="mt-2")
        ),
        custom_attrs={"data-testid": "results"},
    )


def calculator(evidence: Any, here: Any) -> rx.Component:
    """What the person's own work costs at each seller, and what it emits."""

    def one(line: Any) -> rx.Component:
        tone = rx.cond(line.best, "text-good font-medium", "")
        return row(
            cell(line.seller),
            cell(rx.el.span(line.call, class_name=tone), numeric=True),
            cell(rx.el.span(line.month, class_name=tone), numeric=True),
            key=line.id,
        )

    return _once_there(
        here,
        True,
        "h-[446px]",
        card(
            heading(evidence.work_title, custom_attrs={"aria-live": "polite", "data-testid": "work-title"}),
            workload(evidence, "mt-3 sm:grid-cols-4 xl:grid-cols-2"),
            rx.cond(
                evidence.work_lines.length() > 0,
                rx.el.div(
                    table(
                        [column("Sold by"), column("A call", numeric=True), column("A month", numeric=True)],
                        rx.foreach(evidence.work_lines, one),
                        label="What this work costs at each seller",
                        class_name="text-[13px]",
                    ),
                    class_name="mt-3",
                ),
            ),
            note(evidence.carbon, class_name="mt-3", custom_attrs={"data-testid": "carbon"}),
            custom_attrs={"data-testid": "calculator"},
        ),
    )


def instead(evidence: Any, here: Any) -> rx.Component:
    """What could be taken for the same work: cheaper, better, or from somebody else."""

    def line(one: Any) -> rx.Component:
        return rx.el.li(
            rx.el.div(
                rx.cond(
                    one.href != "",
                    page_link(one.name, to=one.href, class_name="font-medium hover:underline underline-offset-2"),
                    rx.el.span(one.name, class_name="font-medium"),
                ),
                rx.el.span(one.change, class_name=rx.cond(one.cheaper, "text-good", "text-ink-2") + " num ml-auto shrink-0"),
                class_name="flex items-baseline gap-3",
            ),
            rx.el.span(one.why, class_name="block text-[12.5px] text-ink-3"),
            key=one.id,
            class_name="border-b border-line py-1.5 text-[13px]",
        )

    def group(one: Any) -> rx.Component:
        return rx.el.div(
            rx.el.h3(one.title, class_name="mt-3 text-[12px] font-semibold text-ink-2"),
            rx.cond(
                one.lines.length() > 0,
                rx.el.ul(rx.foreach(one.lines, line)),
                rx.el.p(one.reason, class_name="py-1 text-[12.5px] text-ink-3"),
            ),
            key=one.title,
        )

    return _once_there(
        here,
        evidence.instead.length() > 0,
        "h-[380px]",
        card(heading(evidence.instead_title), rx.foreach(evidence.instead, group), custom_attrs={"data-testid": "instead"}),
    )


def measured(evidence: Any, here: Any) -> rx.Component:
    """How the model did for the person's own tenant."""

    def one(line: Any) -> rx.Component:
        return row(
            cell(line.provider, rx.el.span(line.calls, " calls", class_name="block text-[12px] text-ink-3")),
            cell(line.first, numeric=True),
            cell(line.whole, numeric=True),
            cell(line.speed, numeric=True),
            cell(line.answered, numeric=True),
            key=line.provider,
        )

    return rx.cond(
        here & (evidence.measured.length() > 0),
        card(
            heading(evidence.measured_title),
            note("From the ledger of this gateway: half of the calls and 95 % of them were at least so quick."),
            scroller(
                table(
                    [
                        column("Provider"),
                        column("First token", numeric=True),
                        column("Whole answer", numeric=True),
                        column("Tokens a second", numeric=True),
                        column("Answered", numeric=True),
                    ],
                    rx.foreach(evidence.measured, one),
                    label="How fast and how surely this model answered",
                    class_name="text-[13px]",
                ),
                label="Measured here",
            ),
            custom_attrs={"data-testid": "measured"},
        ),
    )
