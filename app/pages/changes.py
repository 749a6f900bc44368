"""`/changes`: prices, arrivals and ends of a period, and what is still to come."""

import reflex as rx

from components.catalog.controls import Address, paging
from components.changes.news import coming_list, news_list
from components.ui.button import button
from components.ui.card import card
from components.ui.feedback import empty_state, error_card, skeleton
from components.ui.field import SEARCH, search_field
from components.ui.text import heading, headline, note, subline
from state.changes import ChangesState
from state.changes_address import PERIODS
from state.news import period_text


def _kind(one: rx.Var) -> rx.Component:
    return rx.el.button(
        one.label,
        rx.el.span(one.count, class_name="num"),
        type="button",
        on_click=ChangesState.toggle(one.value),
        key=one.value,
        class_name=rx.cond(one.selected, "bg-accent-soft text-ink", "border border-line text-ink-2 hover:text-ink")
        + " inline-flex h-[26px] items-center gap-1.5 rounded-full px-[10px] text-[12.5px]",
        custom_attrs={"aria-pressed": rx.cond(one.selected, "true", "false"), "data-kind": one.value},
    )


def _controls() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.foreach(ChangesState.kinds, _kind), role="group", custom_attrs={"aria-label": "Kinds"}, class_name="flex flex-wrap gap-2"
        ),
        rx.el.div(
            search_field(
                value=ChangesState.search,
                label="Find in changes",
                placeholder="Model or provider",
                shortcut="/",
                on_settle=ChangesState.find,
                class_name=SEARCH + " min-w-0 sm:w-[200px]",
                custom_attrs={"data-testid": "search"},
            ),
            rx.el.select(
                *[rx.el.option(period_text(days).capitalize(), value=str(days)) for days in PERIODS],
                value=ChangesState.period,
                on_change=ChangesState.look_back,
                class_name="h-8 rounded border border-line-strong bg-surface px-2 font-medium",
                custom_attrs={"aria-label": "Period", "data-testid": "period"},
            ),
            class_name="flex gap-2 sm:ml-auto",
        ),
        class_name="mt-4 flex flex-wrap items-center gap-2",
    )


def _feed() -> rx.Component:
    return rx.el.p(
        rx.el.a(
            "Atom feed",
            href=ChangesState.feed,
            rel="alternate",
            type="application/atom+xml",
            class_name="underline underline-offset-2",
            custom_attrs={"data-testid": "feed"},
        ),
        " of these, for any reader; the same as JSON at ",
        rx.el.code("/pricing/changes", class_name="num"),
        ".",
        class_name="mt-5 text-[12.5px] text-ink-2",
    )


def _waiting() -> rx.Component:
    line = rx.el.div(
        skeleton("h-4 w-20"), skeleton("h-4 w-48"), skeleton("ml-auto h-4 w-32"), class_name="flex gap-6 border-b border-line py-3"
    )
    # An element of another kind than what replaces it: React would else move this one about, and the page would jump.
    return rx.el.section(*[line for _ in range(12)], class_name="mt-16")


def _list() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.cond(
                ChangesState.rows.length() > 0,
                rx.fragment(news_list(ChangesState.rows), paging(ChangesState)),
                empty_state("Nothing of this kind in this time.", rx.el.p("Look further back, or take a filter away.")),
            ),
            class_name="min-w-0",
        ),
        rx.el.div(
            rx.cond(
                ChangesState.coming_title != "",
                card(
                    heading(ChangesState.coming_title),
                    note("Announced is not in force: prices count from their day."),
                    rx.el.div(coming_list(ChangesState.coming), class_name="mt-2"),
                    rx.cond(
                        ChangesState.coming_left > 0,
                        button(
                            f"{ChangesState.coming_left} later ones",
                            on_click=ChangesState.show_more_coming,
                            class_name="mt-2",
                            custom_attrs={"data-testid": "coming-more"},
                        ),
                    ),
                ),
            ),
            _feed(),
            class_name="min-w-0 pt-6",
        ),
        class_name="grid grid-cols-1 gap-x-10 lg:grid-cols-[minmax(0,1fr)_320px]",
    )


def content() -> rx.Component:
    return rx.el.main(
        Address.create(query=ChangesState.address, answered=ChangesState.answered),
        # The browser moves it into the head, where readers look for it.
        rx.el.link(rel="alternate", type="application/atom+xml", title="What changed · Bourse", href=ChangesState.feed),
        headline(ChangesState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
        rx.match(
            ChangesState.stage,
            (
                "open",
                rx.fragment(
                    subline(
                        "Dollars per million tokens, unless a line names another unit. "
                        "What only a public map shows is dated by when it was seen."
                    ),
                    _controls(),
                    _list(),
                ),
            ),
            ("failed", error_card(ChangesState.failure, ChangesState.failure_id, ChangesState.retry)),
            _waiting(),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
