"""`/setup`: the first person makes himself the admin, with the one-time token from the console."""

import reflex as rx

from app.pages.sign_in import NARROW, problem
from backend.identity.passwords import MIN_LENGTH
from components.ui.button import button, button_link
from components.ui.field import INPUT, field
from components.ui.post_form import SetupToken, post_form
from components.ui.text import headline, subline
from state.sign_in import AFTERWARDS, SetupState


def _open() -> rx.Component:
    return rx.fragment(
        headline("Make yourself the first admin"),
        subline("This account may do everything here: people, tenants, keys, prices. It also owns the demo tenant where there is one."),
        problem(SetupState.problem),
        post_form(
            rx.el.input(type="hidden", name="next", value=AFTERWARDS, read_only=True),
            rx.el.div(
                rx.el.label("One-time token", html_for="token", class_name="mb-1 block text-[13px] font-medium"),
                SetupToken.create(class_name=INPUT, described_by="token-hint"),
                rx.el.p("From the link on the console; it works once.", id="token-hint", class_name="mt-1 text-[12.5px] text-ink-3"),
            ),
            field("E-mail address", name="email", type="email", auto_complete="username", required=True),
            field(
                "Password",
                name="password",
                type="password",
                auto_complete="new-password",
                required=True,
                min_length=MIN_LENGTH,
                hint=f"At least {MIN_LENGTH} characters; a few words in a row are good.",
            ),
            button("Create the account", type="submit", kind="primary", class_name="w-full"),
            path="/auth/setup",
            class_name="grid gap-4",
        ),
    )


def _done() -> rx.Component:
    return rx.fragment(
        headline("Bourse is set up already"),
        subline("There are accounts here. Sign in, or ask an admin to make one for you."),
        problem(SetupState.problem),
        rx.el.p(button_link("Sign in", to="/sign-in", kind="primary")),
    )


def content() -> rx.Component:
    # Open until the server says otherwise: the form is in the page's own HTML, and the token decides in any case.
    return rx.el.main(rx.cond(SetupState.stage == "done", _done(), _open()), id="main", tab_index=-1, class_name=NARROW)
