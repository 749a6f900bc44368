"""The parts of a model's page. `model` is the page's state class; prices are USD per 1M tokens unless the row says otherwise."""

from typing import Any

import reflex as rx

from components.charts.sparkline import sparkline
from components.compare.tray import compare_button
from components.ui.badge import badge, tag
from components.ui.button import button, button_link, page_link
from components.ui.card import card
from components.ui.copy import code_tabs, copy_button
from components.ui.feedback import skeleton
from components.ui.icon import icon
from components.ui.table import cell, column, row, scroller, table
from components.ui.text import fact, facts, heading, note


def title_block(model: Any) -> rx.Component:
    return rx.el.div(
        note(page_link("Store", to="/", class_name="hover:underline"), rx.cond(model.creator != "", " / " + model.creator, "")),
        rx.el.div(
            rx.el.h1(
                model.name, class_name="text-[26px] leading-[1.2] tracking-[-.018em] font-semibold", custom_attrs={"data-testid": "name"}
            ),
            badge(model.status, model.tone),
            rx.el.span(model.slug, class_name="num text-[12.5px] text-ink-3"),
            copy_button(model.slug, "the model's id"),
            rx.el.span(compare_button(model.slug, model.name), class_name="sm:ml-auto"),
            class_name="mt-1.5 flex flex-wrap items-center gap-x-3.5 gap-y-1.5",
        ),
        rx.cond(model.description != "", rx.el.p(model.description, class_name="mt-2 max-w-[80ch] text-ink-2")),
        facts(rx.foreach(model.key_facts, lambda one: rx.fragment(fact(one.label, one.value), key=one.label))),
    )


def _amount(text: Any, otherwise: Any = "—") -> rx.Component:
    return rx.cond(text != "", text, rx.el.span(otherwise, class_name="text-ink-3"))


def _offer(model: Any, one: Any, sparks: Any) -> rx.Component:
    open_ = model.opened == one.id
    return rx.fragment(
        row(
            cell(
                rx.el.button(
                    rx.cond(open_, icon("down", 13), icon("right", 13)),
                    rx.el.span(one.provider, class_name="font-medium"),
                    type="button",
                    on_click=model.open_offer(one.id),
                    class_name="flex items-center gap-1.5 text-left hover:underline underline-offset-2",
                    custom_attrs={"aria-expanded": rx.cond(open_, "true", "false"), "data-testid": "offer"},
                ),
                rx.el.span(one.detail, class_name="block pl-[19px] text-[12.5px] text-ink-3 wrap-anywhere"),
                rx.el.span(badge(one.evidence, one.tone), class_name="mt-1 block pl-[19px] md:hidden"),
            ),
            cell(
                _amount(one.input, one.price_note),
                rx.cond(
                    sparks.contains(one.id), rx.el.span(sparkline(sparks[one.id][0], sparks[one.id][1]), class_name="mt-1 flex justify-end")
                ),
                numeric=True,
            ),
            cell(_amount(one.output, one.price_note), numeric=True),
            cell(_amount(one.cached), numeric=True, class_name="hidden sm:table-cell"),
            cell(_amount(one.batch), numeric=True, class_name="hidden sm:table-cell"),
            cell(badge(one.evidence, one.tone), class_name="hidden md:table-cell"),
            custom_attrs={"data-offer": one.id},
        ),
        # max-w-0: a wide price list scrolls inside its row instead of widening the table around it.
        rx.cond(
            open_, rx.el.tr(rx.el.td(_price_list(model), col_span=6, class_name="max-w-0 border-b border-line bg-sunken px-2.5 pt-1 pb-3"))
        ),
        key=one.id,
    )


def _price_list(model: Any) -> rx.Component:
    """Everything that the sources say about one offer's prices."""
    return rx.cond(
        model.prices.length() > 0,
        scroller(
            table(
                [column("Price"), column("$", numeric=True), column("Unit"), column("Source"), column("Since"), column("State")],
                rx.foreach(
                    model.prices,
                    lambda one: row(
                        cell(one.label, rx.cond(one.tier != "", rx.el.span(one.tier, class_name="block text-[12px] text-ink-3"))),
                        cell(one.amount, numeric=True),
                        cell(one.unit, class_name="text-ink-2"),
                        cell(one.sources, class_name="text-ink-2"),
                        cell(one.since, class_name="text-ink-2 whitespace-nowrap"),
                        cell(
                            badge(one.status, one.tone),
                            rx.cond(one.reason != "", rx.el.span(one.reason, class_name="mt-1 block max-w-[180px] text-[12px] text-ink-2")),
                        ),
                        key=one.key,
                    ),
                ),
                label="All prices of this offer",
                class_name="text-[13px]",
            ),
            label="All prices of this offer",
        ),
        note("No source states a price for this offer, so it is unpriced.", class_name="py-2"),
    )


def offers(model: Any, sparks: Any) -> rx.Component:
    """`sparks`: by offer id, the path of its input price over time and the same in words."""
    return card(
        heading(model.offers_title),
        note("Dollars per million tokens. Open an offer for every price, its conditions and its source."),
        scroller(
            table(
                [
                    column("Sold by"),
                    column("In", numeric=True),
                    column("Out", numeric=True),
                    column("Cached", numeric=True, class_name="hidden sm:table-cell"),
                    column("Batch in", numeric=True, class_name="hidden sm:table-cell"),
                    column("Evidence", class_name="hidden md:table-cell"),
                ],
                rx.foreach(model.offers, lambda one: _offer(model, one, sparks)),
                label="Offers of this model, prices in US dollars per million tokens",
            ),
            label="Offers",
        ),
        rx.cond(
            model.more_offers > 0,
            button("Show ", model.more_offers, " more", on_click=model.show_all_offers, class_name="mt-3"),
        ),
        custom_attrs={"data-testid": "offers"},
    )


def code(model: Any) -> rx.Component:
    """Only for models that the gateway can be asked for."""
    return rx.cond(
        model.samples.length() > 0,
        card(
            rx.el.div(heading("Use it through Bourse"), class_name="mb-2"),
            code_tabs(model.samples),
            rx.cond(
                model.sample_note != "",
                note(model.sample_note, class_name="mt-2"),
                page_link(
                    "Try it in the playground", to="/playground?models=" + model.slug, class_name="mt-2 inline-block text-[13px] underline"
                ),
            ),
        ),
    )


def abilities(model: Any) -> rx.Component:
    """Three-valued on purpose: that nobody states a thing is not a no."""

    def one(ability: Any) -> rx.Component:
        return rx.el.div(
            rx.el.dt(ability.label, class_name="min-w-0"),
            rx.el.dd(
                rx.match(
                    ability.supported,
                    ("yes", rx.el.span(icon("yes", 14), "yes", class_name="inline-flex items-center gap-1 text-good")),
                    ("no", rx.el.span(icon("no", 12), "no", class_name="inline-flex items-center gap-1 text-ink-2")),
                    rx.el.span(ability.supported, class_name="text-ink-3"),
                ),
                class_name="ml-auto shrink-0",
            ),
            key=ability.label,
            class_name="flex gap-3 border-b border-line py-1.5 text-[13px]",
        )

    return card(
        heading("What it can do"),
        rx.el.dl(rx.foreach(model.abilities, one), class_name="mt-2 grid grid-cols-1 gap-x-6 sm:grid-cols-2 xl:grid-cols-1"),
        custom_attrs={"data-testid": "abilities"},
    )


def details(model: Any) -> rx.Component:
    """Every stated property with the source that states it, and the model's other names."""

    def one(line: Any) -> rx.Component:
        return rx.el.div(
            rx.el.dt(line.label, class_name="w-[38%] shrink-0 text-ink-3"),
            rx.el.dd(line.value, rx.el.span(line.source, class_name="ml-2 text-[12px] text-ink-3"), class_name="min-w-0 wrap-anywhere"),
            key=line.label,
            class_name="flex gap-3 border-b border-line py-1.5 text-[13px]",
        )

    return card(
        heading("Facts and where they come from"),
        rx.el.dl(rx.foreach(model.details, one), class_name="mt-2"),
        rx.cond(
            model.aliases.length() > 0,
            rx.el.div(
                note("Also answers to", class_name="mt-4 mb-1.5"),
                rx.foreach(model.aliases, lambda alias: rx.el.span(tag(alias), key=alias, class_name="break-all")),
            ),
        ),
    )


def missing(model: Any) -> rx.Component:
    return rx.el.div(
        rx.el.h1("No model or offer is called ", rx.el.q(model.asked), class_name="text-[22px] leading-[1.25] font-semibold wrap-anywhere"),
        rx.cond(
            model.near.length() > 0,
            rx.el.div(
                rx.el.p("These names are near:", class_name="mb-2 text-ink-2"),
                rx.el.ul(
                    rx.foreach(
                        model.near,
                        lambda one: rx.el.li(
                            page_link(one.label, to=one.href, class_name="font-medium underline decoration-line-strong underline-offset-2"),
                            rx.el.span(one.hint, class_name="ml-3 text-[12.5px] text-ink-3"),
                            key=one.href,
                        ),
                    ),
                    class_name="grid gap-1.5",
                ),
            ),
            rx.el.p("Nothing is near that name either.", class_name="text-ink-2"),
        ),
        rx.el.p(button_link("Search the store", to="/", kind="primary")),
        class_name="grid content-start gap-4 py-10",
        custom_attrs={"data-testid": "no-model"},
    )


def waiting() -> rx.Component:
    return rx.el.div(
        skeleton("h-3 w-28"),
        skeleton("h-8 w-72"),
        skeleton("h-10 w-full"),
        skeleton("h-64 w-full"),
        class_name="grid min-h-screen content-start gap-4",
        custom_attrs={"aria-busy": "true", "aria-label": "Loading the model"},
        role="status",
    )
