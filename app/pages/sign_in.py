"""`/sign-in`: a plain form that the browser posts."""

from typing import Any

import reflex as rx

from components.ui.button import button
from components.ui.field import field
from components.ui.post_form import NextField, post_form
from components.ui.text import headline, note, subline
from state.sign_in import AFTERWARDS, SignInState

NARROW = "mx-auto grid min-h-[60vh] max-w-[400px] content-start gap-5 px-5 py-16 outline-none"


def problem(text: Any) -> rx.Component:
    """What went wrong last time, in words, announced."""
    return rx.cond(
        text != "",
        rx.el.p(text, role="alert", class_name="rounded bg-bad-soft px-3 py-2 text-bad", custom_attrs={"data-testid": "problem"}),
        rx.fragment(),
    )


def content() -> rx.Component:
    return rx.el.main(
        headline("Sign in"),
        rx.cond(
            SignInState.first_run,
            subline("Nobody has an account here yet. The console where Bourse was started shows a link to make the first one."),
            rx.fragment(),
        ),
        problem(SignInState.problem),
        post_form(
            NextField.create(otherwise=AFTERWARDS),
            field("E-mail address", name="email", type="email", auto_complete="username", required=True, auto_focus=True),
            field("Password", name="password", type="password", auto_complete="current-password", required=True),
            button("Sign in", type="submit", kind="primary", class_name="w-full"),
            path="/auth/sign-in",
            class_name="grid gap-4",
        ),
        note("Your account is made by whoever runs this installation."),
        id="main",
        tab_index=-1,
        class_name=NARROW,
    )
