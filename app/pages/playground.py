"""`/playground`: up to four models answer the same prompt side by side."""

import reflex as rx

from components.catalog.controls import Address
from components.playground.answers import answers
from components.playground.composer import composer
from components.ui.button import page_link
from components.ui.copy import folded_code
from components.ui.feedback import skeleton
from components.ui.field import SEARCH
from components.ui.picker import picker
from components.ui.text import headline, note, subline
from state.playground import PlaygroundState


def _models() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            picker(
                hits=PlaygroundState.hits,
                hits_for=PlaygroundState.hits_for,
                label="Add a model",
                placeholder=rx.cond(PlaygroundState.full, "Four models are the most", "Add a model: type a name, maker or provider"),
                disabled=PlaygroundState.full | PlaygroundState.running,
                on_ask=PlaygroundState.ask,
                on_pick=PlaygroundState.pick,
                class_name=SEARCH,
            ),
            class_name="flex w-full sm:max-w-[380px]",
        ),
        note(PlaygroundState.columns.length(), " of 4 models"),
        class_name="mt-6 flex flex-wrap items-center gap-x-4 gap-y-1.5",
    )


def _code() -> rx.Component:
    return rx.cond(
        PlaygroundState.samples.length() > 0,
        folded_code(
            "The same as code",
            PlaygroundState.samples,
            "The first model with these numbers and what was asked last. The key is read from the environment: put yours there.",
            class_name="mt-5",
        ),
    )


def _waiting() -> rx.Component:
    # An element of another kind than what replaces it: React would else move this one about, and the page would jump.
    return rx.el.section(
        skeleton("mt-6 h-24 w-full"),
        rx.el.div(skeleton("h-64 w-full"), skeleton("h-64 w-full"), class_name="mt-6 grid gap-4 sm:grid-cols-2"),
    )


def content() -> rx.Component:
    return rx.el.main(
        Address.create(query=PlaygroundState.address, answered=PlaygroundState.answered),
        headline(PlaygroundState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
        subline(
            PlaygroundState.authority,
            rx.cond(
                PlaygroundState.is_visitor,
                rx.fragment(
                    " ",
                    page_link("Sign in", to="/sign-in?next=/playground", class_name="underline"),
                    " as a member of a tenant to ask real ones.",
                ),
            ),
            min_height="1.45em",
            custom_attrs={"data-testid": "authority"},
        ),
        rx.cond(
            PlaygroundState.stage == "waiting",
            _waiting(),
            rx.fragment(composer(PlaygroundState), _models(), answers(PlaygroundState), _code()),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1320px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
