"""The right end of the top bar: who one is, and the way in or out."""

from typing import Any

import reflex as rx

from components.ui.button import button, button_link
from components.ui.post_form import post_form


def account(session: Any) -> rx.Component:
    """`session` has known, signed_in, name, tenant and here (the address to come back to)."""
    signed_in = rx.el.div(
        rx.el.span(
            rx.el.span(session.name, class_name="block max-w-[180px] truncate text-[13px] leading-tight"),
            rx.el.span(session.tenant, class_name="block max-w-[180px] truncate text-[12px] leading-tight text-ink-3"),
            class_name="hidden text-right md:block",
            custom_attrs={"data-testid": "who"},
        ),
        post_form(button("Sign out", type="submit"), path="/auth/sign-out"),
        class_name="flex items-center gap-3",
    )
    signed_out = button_link("Sign in", to="/sign-in?next=" + session.here)
    return rx.el.div(
        rx.cond(session.known, rx.cond(session.signed_in, signed_in, signed_out), rx.fragment()),
        class_name="flex min-w-[72px] justify-end",
    )


def account_line(session: Any) -> rx.Component:
    """The same in the menu of a phone, where there is room for a line."""
    signed_in = rx.el.div(
        rx.el.span(
            rx.el.span(session.name, class_name="block truncate font-medium"),
            rx.el.span(session.tenant, class_name="block truncate text-[12.5px] text-ink-3"),
            class_name="min-w-0 grow",
        ),
        post_form(button("Sign out", type="submit"), path="/auth/sign-out"),
        class_name="flex items-center gap-3",
    )
    signed_out = button_link("Sign in", to="/sign-in?next=" + session.here, class_name="w-full")
    return rx.cond(session.known, rx.cond(session.signed_in, signed_in, signed_out), rx.fragment())
