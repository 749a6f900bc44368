"""`/models/<slug or offer id>`: one model, its offers and its facts."""

import reflex as rx

from components.catalog import model_detail as part
from components.ui.card import columns
from components.ui.feedback import error_card
from state.model import ModelState


def _found() -> rx.Component:
    return rx.fragment(
        part.title_block(ModelState),
        columns(
            [part.offers(ModelState), part.details(ModelState)],
            [part.code(ModelState), part.abilities(ModelState)],
            narrow_order=[1, 4, 2, 3],
        ),
    )


def content() -> rx.Component:
    return rx.el.main(
        rx.match(
            ModelState.stage,
            ("found", _found()),
            ("missing", part.missing(ModelState)),
            ("failed", error_card(ModelState.failure, ModelState.failure_id, ModelState.retry)),
            part.waiting(),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-[70vh] max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
