"""What pages for super admins are in common, and what they say to those who may not see them."""

from typing import Any

import reflex as rx

from components.catalog.controls import Address
from components.ui.button import button_link
from components.ui.feedback import empty_state, error_card
from components.ui.text import headline


def for_super_admins(page: Any, what: str, here: str, *, opened: rx.Component, waiting: rx.Component) -> rx.Component:
    """A page at `here` on which one may `what`; everybody else is told so. `page` is its state, with `stage`, `address`, `answered`,
    `headline`, `failure`, `failure_id` and `retry`; `opened` is shown once it has an answer, `waiting` before."""
    return rx.el.main(
        rx.match(
            page.stage,
            ("signed_out", _signed_out(what, here)),
            ("forbidden", _forbidden(what)),
            rx.fragment(
                Address.create(query=page.address, answered=page.answered),
                headline(page.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
                rx.match(
                    page.stage,
                    ("open", opened),
                    ("failed", error_card(page.failure, page.failure_id, page.retry)),
                    waiting,
                ),
            ),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )


def _signed_out(what: str, here: str) -> rx.Component:
    """`what` completes "Sign in to …"; `here` is where one comes back to."""
    return rx.fragment(
        headline("Sign in first"),
        empty_state(
            f"Sign in as a super admin to {what}.",
            button_link("Sign in", to=f"/sign-in?next={here}", kind="primary"),
            custom_attrs={"data-testid": "signed-out"},
        ),
    )


def _forbidden(what: str) -> rx.Component:
    """For who is signed in, and is no super admin."""
    return rx.fragment(
        headline("This page is for super admins"),
        empty_state(
            f"Whoever runs this installation may {what}.",
            button_link("To the store", to="/"),
            custom_attrs={"data-testid": "forbidden"},
        ),
    )
