"""`/match`: which model for a task that somebody describes."""

import reflex as rx

from components.catalog.controls import Address
from components.match import answer, asking
from components.ui.feedback import empty_state, error_card, skeleton
from components.ui.text import headline, subline
from state.match import MatchState
from state.match_address import FIRST, NEEDS

_BESIDE = "mt-7 grid items-start gap-4 xl:grid-cols-[1fr_1.4fr]"


def _answered() -> rx.Component:
    return rx.fragment(
        asking.understood(MatchState),
        rx.cond(
            MatchState.results.length() > 0,
            rx.fragment(answer.tools(MatchState), answer.ranking(MatchState)),
            empty_state("Nothing is left.", rx.el.p("The table below says what ruled models out: take one of these back in step 2.")),
        ),
        rx.el.div(answer.route(MatchState), answer.ruled_out(MatchState), class_name=_BESIDE),
    )


def content() -> rx.Component:
    return rx.el.main(
        Address.create(query=MatchState.address, answered=MatchState.answered),
        rx.el.div(
            *[skeleton("h-6 w-full") for _ in range(6)],
            class_name="absolute inset-x-4 top-6 gap-4 sm:inset-x-7",
            custom_attrs={"data-waiting": "1", "aria-hidden": "true"},
        ),
        rx.el.div(
            headline(MatchState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
            rx.cond(MatchState.about != "", subline(MatchState.about)),
            asking.steps(MatchState),
            rx.match(
                MatchState.stage,
                ("answered", _answered()),
                ("failed", error_card(MatchState.failure, MatchState.failure_id, MatchState.retry)),
                rx.cond(
                    MatchState.step == "needs",
                    asking.needs(MatchState, NEEDS, [(value, words) for value, (words, _) in FIRST.items()]),
                    asking.task(MatchState),
                ),
            ),
            custom_attrs={"data-answer": "1"},
        ),
        id="main",
        tab_index=-1,
        class_name="relative mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
