"""The answer of matching: ranked models with reasons, what is missing, who was ruled out by what, and a route out of it."""

from typing import Any

import reflex as rx

from components.charts.interval import interval_bar
from components.ui.button import button, button_link, page_link
from components.ui.card import card
from components.ui.copy import copy_address, copy_button
from components.ui.field import SEARCH
from components.ui.icon import icon
from components.ui.table import cell, column, row, scroller, table
from components.ui.text import heading, note

_TERM = "text-[12px] text-ink-3"


def tools(match: Any) -> rx.Component:
    return rx.el.div(
        rx.cond(match.compare_address != "", button_link("Compare the first four", to=match.compare_address, kind="primary")),
        rx.cond(match.playground_address != "", button_link("Try the first four", to=match.playground_address)),
        copy_address(),
        class_name="mt-4 flex flex-wrap gap-2",
    )


def ranking(match: Any) -> rx.Component:
    return rx.el.ol(
        rx.foreach(match.results, _answer),
        class_name="mt-4 border-t border-line-strong",
        custom_attrs={"data-testid": "ranking"},
    )


def _answer(one: Any) -> rx.Component:
    """Who, why, for how much, how good and how sure, and what the score is made of."""
    return rx.el.li(
        rx.el.span(one.rank, class_name="num text-ink-3", custom_attrs={"aria-hidden": "true"}),
        rx.el.div(
            page_link(one.name, to="/models/" + one.id, class_name="mr-2 text-[15px] font-semibold hover:underline underline-offset-2"),
            rx.el.span(one.maker, class_name="text-[13px] text-ink-3"),
            rx.el.p(one.why, class_name="mt-0.5 text-ink-2", custom_attrs={"data-testid": "why"}),
            class_name="min-w-0",
        ),
        rx.el.dl(
            _figure("A call", one.cost, one.month),
            rx.el.div(
                rx.el.dt("Quality for this", class_name=_TERM),
                rx.el.dd(
                    rx.cond(
                        one.measured,
                        rx.fragment(
                            rx.el.span(one.quality, _quiet(" (", one.low, "–", one.high, ")"), class_name="num font-medium"),
                            interval_bar(one.quality, one.low, one.high, one.quality_said, "mt-1.5"),
                        ),
                        rx.el.span("not measured", class_name="text-ink-3"),
                    )
                ),
            ),
            rx.el.div(
                rx.el.dt("Score", class_name=_TERM),
                rx.el.dd(
                    rx.el.span(one.score, _quiet(" of 100"), class_name="num font-medium"),
                    rx.el.div(
                        rx.foreach(one.parts, _segment),
                        role="img",
                        class_name="mt-1.5 flex h-1.5 gap-px overflow-hidden bg-sunken",
                        custom_attrs={"aria-label": one.made_of, "title": one.made_of},
                    ),
                ),
                class_name="col-span-2 sm:col-span-1",
            ),
            class_name="col-span-2 mt-2 grid grid-cols-2 gap-x-6 gap-y-2 pl-7 sm:grid-cols-3 lg:col-span-1 lg:mt-0 lg:pl-0",
        ),
        rx.el.details(
            rx.el.summary(
                icon("right", 14, "transition-transform group-open:rotate-90"),
                "How it was ranked, and what is not known",
                class_name="inline-flex items-center gap-1 text-[12.5px] text-ink-3 hover:text-ink",
            ),
            rx.el.div(
                _evidence("Made of", rx.el.ul(rx.foreach(one.parts, _part), class_name="grid gap-1")),
                _evidence("Sold by", one.provider, rx.el.span(one.offer, class_name="num block text-[12.5px] text-ink-3 wrap-anywhere")),
                rx.cond(
                    one.missing.length() > 0,
                    _evidence(
                        "Not known", rx.el.ul(rx.foreach(one.missing, lambda line: rx.el.li(line, key=line)), class_name="grid gap-1")
                    ),
                ),
                rx.cond(one.emissions != "", _evidence("Emissions, estimated", one.emissions)),
                rx.cond(one.variants != "", _evidence("Stands for its variants, too", one.variants)),
                class_name="mt-2 grid gap-x-8 gap-y-3 pb-2 text-[13px] text-ink-2 sm:grid-cols-3",
            ),
            class_name="group col-span-2 pl-7 lg:col-start-2 lg:pl-0",
        ),
        key=one.id,
        class_name="grid grid-cols-[20px_minmax(0,1fr)] gap-x-2 gap-y-1 border-b border-line py-3 "
        "lg:grid-cols-[20px_minmax(0,1fr)_470px] lg:gap-x-4",
        custom_attrs={"data-testid": "answer"},
    )


def _quiet(*words: Any) -> rx.Component:
    return rx.el.span(*words, class_name="font-normal text-ink-3")


def _figure(label: str, value: Any, hint: Any) -> rx.Component:
    return rx.el.div(
        rx.el.dt(label, class_name=_TERM),
        rx.el.dd(
            rx.el.span(value, class_name="num font-medium"),
            rx.el.span(hint, class_name="block text-[12px] text-ink-3"),
        ),
    )


def _segment(part: Any) -> rx.Component:
    """As wide in the score's bar as it has points."""
    return rx.el.div(
        key=part.label, style={"width": part.width.to_string() + "%", "opacity": part.shade.to_string()}, class_name="shrink-0 bg-accent"
    )


def _part(part: Any) -> rx.Component:
    return rx.el.li(
        rx.el.span(class_name="size-2.5 shrink-0 self-center bg-accent", style={"opacity": part.shade.to_string()}),
        part.label,
        rx.el.span(part.value, _quiet(" × ", part.weight, " % = "), part.points, class_name="num ml-auto"),
        key=part.label,
        class_name="flex items-baseline gap-2 max-w-[240px]",
    )


def _evidence(label: str, *children: Any) -> rx.Component:
    return rx.el.div(rx.el.p(label, class_name=_TERM + " mb-1"), *children, class_name="min-w-0 wrap-anywhere")


def _line(text: Any) -> rx.Component:
    return rx.el.li(text, key=text)


def ruled_out(match: Any) -> rx.Component:
    return rx.cond(
        match.ruled_out.length() > 0,
        card(
            heading("Who was ruled out, and by what"),
            scroller(
                table(
                    [column("Because"), column("Models", numeric=True), column("For example")],
                    rx.foreach(
                        match.ruled_out,
                        lambda one: row(
                            cell(one.label),
                            cell(one.count, numeric=True),
                            cell(one.examples, class_name="num text-[12.5px] text-ink-2"),
                            key=one.label,
                        ),
                    ),
                    label="Models that were ruled out",
                    class_name="mt-2 text-[13px]",
                ),
                label="Who was ruled out",
            ),
            custom_attrs={"data-testid": "ruled-out"},
        ),
    )


def route(match: Any) -> rx.Component:
    """A route from the answer: to copy for everybody, to make at once for super admins."""
    return card(
        heading("A route from this"),
        rx.cond(match.created != "", _created(match), rx.cond(match.draft != "", _draft(match), _nobody_here(match))),
        custom_attrs={"data-testid": "route"},
    )


def _draft(match: Any) -> rx.Component:
    return rx.fragment(
        note("The best that providers configured here sell, one after another. For the configuration file:", class_name="mt-1"),
        rx.el.pre(
            match.draft,
            class_name="mt-2 overflow-x-auto rounded bg-sunken p-3 font-mono text-[12.5px]",
            tab_index=0,
            role="region",
            custom_attrs={"aria-label": "The route as text"},
        ),
        rx.el.div(copy_button(match.draft, "the route"), class_name="mt-2"),
        rx.cond(match.may_create, _create(match)),
    )


def _create(match: Any) -> rx.Component:
    return rx.el.form(
        rx.el.label("Its name", html_for="alias", class_name="text-[13px]"),
        rx.el.input(
            id="alias",
            name="alias",
            default_value=match.alias,
            key=match.alias,
            auto_complete="off",
            required=True,
            class_name=SEARCH + " max-w-[240px] min-w-0 grow",
        ),
        button("Create this route", type="submit", custom_attrs={"data-testid": "create-route"}),
        on_submit=match.create_route,
        class_name="mt-3 flex flex-wrap items-center gap-2",
    )


def _created(match: Any) -> rx.Component:
    return rx.el.div(
        rx.el.p("The route ", rx.el.b(match.created, class_name="num"), " is there: calls that name it as their model take it now."),
        button_link("Try it in the playground", to="/playground?models=" + match.created, class_name="mt-3"),
        role="status",
        class_name="mt-2",
        custom_attrs={"data-testid": "created"},
    )


def _nobody_here(match: Any) -> rx.Component:
    return rx.el.div(
        rx.el.p("No provider that is configured here sells any of these.", class_name="text-ink-2"),
        rx.cond(
            match.here_address != "",
            button_link("Rank only what is sold here", to=match.here_address, class_name="mt-3", custom_attrs={"data-testid": "only-here"}),
        ),
        class_name="mt-2",
    )
