"""`/price`: what a prompt costs on every model, and the tokens that each makes of it."""

import reflex as rx

from components.catalog.controls import Address
from components.prompt_price import asking, costs
from components.ui.button import button_link
from components.ui.copy import copy_address, folded_code
from components.ui.feedback import empty_state, error_card, skeleton
from components.ui.text import headline, note, subline
from state.prompt_address import EXAMPLES, MOST_SIGNS, NEEDS, ROWS, TASKS, TIERS
from state.prompt_price import PromptPriceState

_ASKS = (
    "The same text is more tokens on some models than on others, so prices per token do not compare. "
    "A prompt is counted as each model counts it, and priced at the cheapest of its offers."
)


def _priced() -> rx.Component:
    return rx.fragment(
        costs.tokens(PromptPriceState),
        rx.el.div(
            asking.order(PromptPriceState, ROWS),
            rx.el.div(
                rx.cond(
                    PromptPriceState.compare_address != "",
                    button_link("Compare the first four", to=PromptPriceState.compare_address),
                ),
                copy_address(),
                class_name="flex flex-wrap gap-2",
            ),
            class_name="mt-7 flex flex-wrap items-center justify-between gap-2",
        ),
        rx.cond(
            PromptPriceState.rows.length() > 0,
            rx.fragment(
                costs.costs(PromptPriceState),
                note(
                    "The bars share one scale, on which each tenfold is as wide; they span what the tokens allow. Quality per dollar "
                    "divides the lower end of what the evidence allows by the cost; models that nobody measured come after.",
                    class_name="mt-2 max-w-[760px]",
                ),
            ),
            empty_state("Nothing is left.", rx.el.p("Take one of the conditions back.")),
        ),
        folded_code(
            "The same over HTTP",
            PromptPriceState.sample,
            "Cheapest first, with what this page shows and more; no key is needed where the store is public.",
            class_name="mt-6",
        ),
    )


def content() -> rx.Component:
    return rx.el.main(
        Address.create(query=PromptPriceState.address, answered=PromptPriceState.answered),
        # As high before the answer as with it: the field does not jump while somebody writes into it.
        rx.el.div(
            headline(PromptPriceState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
            subline(rx.cond(PromptPriceState.about != "", PromptPriceState.about, _ASKS)),
            class_name="min-h-[211px] min-[384px]:min-h-[191px] sm:min-h-[138px] lg:min-h-[71px]",
        ),
        asking.composer(
            PromptPriceState,
            MOST_SIGNS,
            {name: label for name, (label, _) in EXAMPLES.items()},
            TASKS,
            NEEDS,
            TIERS,
        ),
        rx.match(
            PromptPriceState.stage,
            ("priced", _priced()),
            (
                "empty",
                empty_state(
                    "Nothing is written yet.",
                    rx.el.p("Paste a prompt, or take one of the examples."),
                ),
            ),
            ("failed", error_card(PromptPriceState.failure, PromptPriceState.failure_id, PromptPriceState.retry)),
            rx.el.div(*[skeleton("h-6 w-full") for _ in range(5)], class_name="mt-6 grid gap-3", custom_attrs={"aria-hidden": "true"}),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
