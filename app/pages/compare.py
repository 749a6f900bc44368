"""`/compare`: two to six models side by side, for the work that somebody has."""

import reflex as rx

from components.catalog.controls import Address
from components.compare import side_by_side as part
from components.compare.tray import TrayFollows
from components.ui.button import button_link
from components.ui.feedback import empty_state, error_card, skeleton
from components.ui.text import headline, subline
from components.ui.workload import workload
from state.compare import CompareState


def _nothing() -> rx.Component:
    return empty_state(
        "Nothing is compared yet.",
        rx.el.p("Add a model by its name, or tick models in the store and open them here."),
        button_link("Choose in the store", to="/", kind="primary"),
        custom_attrs={"data-testid": "empty"},
    )


def _one_more() -> rx.Component:
    return rx.el.p("Add another model to see them side by side.", class_name="mt-4 text-ink-2")


def _waiting() -> rx.Component:
    # Higher than a screen, and of another element than what comes instead, so that nothing is seen to move.
    lines = [skeleton("h-6 w-full") for _ in range(16)]
    return rx.el.section(*lines, class_name="mt-20 grid min-h-screen content-start gap-4", custom_attrs={"aria-hidden": "true"})


def content() -> rx.Component:
    table = part.side_by_side(CompareState)
    return rx.el.main(
        Address.create(query=CompareState.address, answered=CompareState.answered),
        TrayFollows.create(models=CompareState.chosen, answered=CompareState.answered),
        rx.el.div(
            headline(CompareState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
            subline(CompareState.about, min_height="1.45em"),
            rx.cond(CompareState.unknown != "", rx.el.p(CompareState.unknown, role="status", class_name="mt-1 text-bad")),
            custom_attrs={"data-answer": "1"},
            class_name="min-h-[128px] sm:min-h-[52px]",
        ),
        rx.el.div(
            rx.el.div(part.choosing(CompareState), class_name="min-w-[240px] grow"),
            workload(CompareState, "sm:w-[520px] sm:grid-cols-4"),
            class_name="mt-4 flex flex-wrap items-end gap-x-6 gap-y-3",
        ),
        rx.match(
            CompareState.stage,
            ("compared", rx.fragment(part.tools(CompareState), table, part.price_quality(CompareState))),
            ("one", rx.fragment(_one_more(), table)),
            ("empty", _nothing()),
            ("failed", error_card(CompareState.failure, CompareState.failure_id, CompareState.retry)),
            _waiting(),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
