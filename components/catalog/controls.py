"""What stands over and under the list: search, chips, order, table or cards, pages."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from components.ui.button import button
from components.ui.field import SEARCH, search_field
from components.ui.icon import icon


class Address(rx.Component):
    """Writes `query` into the address without navigating; `answered` counts answers and ends the wait of a shared link."""

    library = "$/public/js/address.js"
    tag = "Address"

    query: rx.Var[str]
    answered: rx.Var[int]


class Drawer(rx.Component):
    """Its children beside the list on a wide screen, behind a button on a narrow one."""

    library = "$/public/js/drawer.jsx"
    tag = "Drawer"

    label: rx.Var[str]
    done: rx.Var[str]


def search_box(store: Any) -> rx.Component:
    return search_field(
        value=store.search,
        label="Search models",
        placeholder="Search models, makers, families",
        shortcut="/",
        on_settle=store.find,
        class_name=SEARCH + " sm:max-w-[340px]",
        custom_attrs={"data-testid": "search"},
    )


def chips(store: Any) -> rx.Component:
    """The filters in force; each goes away by its cross."""
    return rx.cond(
        store.chips.length() > 0,
        rx.el.ul(
            rx.foreach(
                store.chips,
                lambda one: rx.el.li(
                    rx.el.button(
                        one.label,
                        icon("cross", 11),
                        type="button",
                        on_click=store.remove(one.facet, one.value),
                        class_name="inline-flex h-[26px] items-center gap-1.5 rounded-full bg-accent-soft px-[9px] text-[12.5px]",
                        custom_attrs={"aria-label": "Remove filter " + one.label, "data-testid": "chip"},
                    ),
                    key=one.facet + one.value,
                ),
            ),
            rx.el.li(
                rx.el.button(
                    "Clear all",
                    type="button",
                    on_click=store.clear,
                    class_name="h-[26px] px-1 text-[12.5px] text-ink-3 underline-offset-2 hover:underline",
                    custom_attrs={"data-testid": "clear"},
                )
            ),
            class_name="mb-2 flex flex-wrap items-center gap-2",
            custom_attrs={"aria-label": "Filters in force"},
        ),
    )


def order_select(store: Any, orders: Sequence[tuple[str, str]]) -> rx.Component:
    return rx.el.select(
        *[rx.el.option(label, value=value) for value, label in orders],
        value=store.order,
        on_change=store.order_by,
        class_name="h-8 rounded border border-line-strong bg-surface px-2 font-medium",
        custom_attrs={"aria-label": "Order", "data-testid": "order"},
    )


def view_switch(store: Any) -> rx.Component:
    def one(view: str, label: str) -> rx.Component:
        here = store.view == view
        return rx.el.button(
            icon(view, 15),
            rx.el.span(label, class_name="sr-only lg:not-sr-only"),
            type="button",
            on_click=store.show_as(view),
            class_name=rx.cond(here, "bg-sunken text-ink font-medium", "text-ink-2 hover:text-ink")
            + " inline-flex h-[30px] items-center gap-1.5 px-2.5 text-[13px]",
            custom_attrs={"aria-pressed": rx.cond(here, "true", "false"), "data-testid": f"as-{view}"},
        )

    return rx.el.div(
        one("table", "Table"),
        one("cards", "Cards"),
        one("scatter", "Scatter"),
        class_name="flex overflow-hidden rounded border border-line-strong",
        role="group",
        custom_attrs={"aria-label": "Show as"},
    )


def paging(store: Any) -> rx.Component:
    """One page back, one page on, and where one is."""
    return rx.cond(
        store.pages > 1,
        rx.el.nav(
            button(
                icon("left", 14),
                "Previous",
                on_click=store.turn_page(-1),
                disabled=store.page <= 1,
                custom_attrs={"data-testid": "previous"},
            ),
            rx.el.span("Page ", store.page, " of ", store.pages, class_name="num text-ink-2", custom_attrs={"data-testid": "page"}),
            button(
                "Next",
                icon("right", 14),
                on_click=store.turn_page(1),
                disabled=store.page >= store.pages,
                custom_attrs={"data-testid": "next"},
            ),
            class_name="mt-5 flex items-center justify-center gap-4",
            custom_attrs={"aria-label": "Pages of the list"},
        ),
    )
