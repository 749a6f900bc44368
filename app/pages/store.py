"""`/`: every model, filtered and priced."""

import reflex as rx

from components.catalog.controls import Address, Drawer, chips, order_select, paging, search_box, view_switch
from components.catalog.filters import filters
from components.catalog.model_list import model_cards, model_table, waiting_rows
from components.changes.tape import tape
from components.charts.scatter import scatter_chart
from components.ui.button import button
from components.ui.copy import copy_button
from components.ui.feedback import empty_state, error_card, skeleton
from components.ui.text import headline, subline
from state.store import ORDERS, StoreState
from state.tape import TapeState


def _nothing() -> rx.Component:
    """Nothing matches, or there is nothing at all yet; either way the next step."""
    return rx.cond(StoreState.chips.length() > 0, _no_match(), _empty())


def _empty() -> rx.Component:
    return empty_state(
        "There are no models yet.",
        rx.el.p("Load the catalog on the machine that runs Bourse:"),
        rx.el.div(rx.el.code("make seed", class_name="num"), copy_button("make seed", "the command"), class_name="flex items-center gap-3"),
        custom_attrs={"data-testid": "empty"},
    )


def _no_match() -> rx.Component:
    return empty_state(
        "No model holds all of these at once.",
        rx.el.p("Take one filter away, or start again."),
        button("Clear all filters", on_click=StoreState.clear),
        custom_attrs={"data-testid": "nothing"},
    )


def _plot() -> rx.Component:
    """Price against quality, once the results are weighed."""
    drawn = scatter_chart(
        StoreState.plot,
        about=StoreState.plot_about,
        x_label="USD per 1M tokens, three in to one out, logarithmic",
        y_label=rx.cond(StoreState.benchmark != "", "Score, 0 to 100", "Quality, 0 to 100"),
        price="$ per 1M",
        to="/models/",
        height=380,
    )
    nothing = empty_state(
        "Nothing here can be drawn.",
        rx.el.p("None of these models has both a price per token and enough results."),
        custom_attrs={"data-testid": "undrawn"},
    )
    waiting = rx.el.div(
        skeleton("h-4 w-80"), skeleton("mt-6 h-[320px] w-full"), rx.el.p("Reading benchmark results …", class_name="sr-only", role="status")
    )
    shown = rx.match(StoreState.plot_stage, ("drawn", drawn), ("nothing", nothing), waiting)
    return rx.el.div(shown, class_name="pt-4", custom_attrs={"data-testid": "plot"})


def content() -> rx.Component:
    return rx.fragment(
        Address.create(query=StoreState.address, answered=StoreState.answered),
        tape(TapeState),
        rx.el.div(
            rx.el.aside(
                Drawer.create(
                    filters(StoreState),
                    label=rx.cond(StoreState.filters > 0, "Filters (" + StoreState.filters.to_string() + ")", "Filters"),
                    done="Show " + StoreState.total.to_string() + " models",
                ),
                class_name="px-4 pt-4 lg:border-r lg:border-line lg:py-5 lg:pr-[18px] lg:pl-6",
                custom_attrs={"aria-label": "Filters"},
            ),
            rx.el.main(
                rx.el.div(
                    headline(StoreState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
                    subline(StoreState.subline, min_height="1.45em"),
                    custom_attrs={"data-answer": "1"},
                    class_name="min-h-[52px]",
                ),
                rx.el.div(
                    search_box(StoreState),
                    rx.el.div(order_select(StoreState, ORDERS), view_switch(StoreState), class_name="flex gap-2 sm:ml-auto"),
                    class_name="mt-4 mb-2.5 flex flex-wrap items-center gap-2",
                ),
                chips(StoreState),
                rx.cond(StoreState.failure != "", error_card(StoreState.failure, StoreState.failure_id, StoreState.retry)),
                rx.el.div(
                    rx.cond(
                        StoreState.rows.length() > 0,
                        rx.match(StoreState.view, ("cards", model_cards(StoreState)), ("scatter", _plot()), model_table(StoreState)),
                        rx.cond(StoreState.answered > 0, _nothing(), waiting_rows()),
                    ),
                    rx.cond(StoreState.view != "scatter", paging(StoreState)),
                    custom_attrs={"data-answer": "1"},
                    class_name="min-h-[60vh]",
                ),
                id="main",
                tab_index=-1,
                class_name="min-w-0 px-4 pt-5 pb-16 outline-none sm:px-7",
            ),
            class_name="lg:grid lg:grid-cols-[236px_minmax(0,1fr)]",
        ),
    )
