"""`/models/<slug or offer id>`: one model, its offers and its facts, and what is known of its prices, quality and use."""

import reflex as rx

from components.catalog import model_detail as part
from components.catalog import model_evidence as evidence
from components.catalog.controls import Address
from components.ui.card import columns
from components.ui.feedback import error_card
from state.model import ModelState
from state.model_evidence import ModelEvidenceState


def _found() -> rx.Component:
    here = ModelEvidenceState.slug == ModelState.slug
    return rx.fragment(
        Address.create(query=ModelEvidenceState.address, answered=ModelEvidenceState.answered),
        part.title_block(ModelState),
        columns(
            [
                evidence.price_history(ModelEvidenceState, here),
                part.offers(ModelState, ModelEvidenceState.sparks),
                evidence.measured(ModelEvidenceState, here),
                part.details(ModelState),
            ],
            [
                evidence.quality(ModelEvidenceState, here),
                evidence.calculator(ModelEvidenceState, here),
                evidence.instead(ModelEvidenceState, here),
                part.code(ModelState),
                part.abilities(ModelState),
            ],
            narrow_order=[1, 5, 6, 9, 2, 3, 4, 7, 8],
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
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
