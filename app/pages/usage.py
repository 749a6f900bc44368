"""`/usage`: what the signed-in tenant spent today, and its last calls as they end."""

import reflex as rx

from components.ui.button import button_link
from components.ui.copy import code_tabs
from components.ui.feedback import empty_state, skeleton
from components.ui.text import headline, note
from components.usage.calls import calls
from state.usage import UsageState


def _title() -> rx.Component:
    return rx.el.div(
        headline(UsageState.headline, custom_attrs={"aria-live": "polite", "data-testid": "headline"}),
        note(UsageState.place),
        class_name="flex flex-wrap items-baseline gap-x-2.5",
    )


def _spent() -> rx.Component:
    return rx.el.div(
        rx.el.div(
            note("Spent today"),
            rx.el.p(
                UsageState.spent,
                class_name="mt-1 font-mono text-[40px] leading-none font-medium tracking-[-.03em] tabular-nums",
                custom_attrs={"data-testid": "spent"},
            ),
        ),
        rx.el.div(
            rx.el.p(UsageState.used, class_name="tabular-nums", custom_attrs={"data-testid": "used"}),
            rx.el.p(UsageState.comparison, " ", UsageState.condition),
            class_name="max-w-[64ch] pb-1 text-ink-2",
        ),
        class_name="mt-[18px] flex flex-wrap items-end gap-x-10 gap-y-3",
    )


def _signed_out() -> rx.Component:
    return rx.fragment(
        headline("Usage is shown to who is signed in"),
        empty_state(
            "Sign in to see your tenant's calls and what they cost.",
            button_link("Sign in", to="/sign-in?next=/usage", kind="primary"),
            custom_attrs={"data-testid": "signed-out"},
        ),
    )


def _no_tenant() -> rx.Component:
    return rx.fragment(
        headline("You do not belong to a tenant yet"),
        empty_state("Calls are counted per tenant. An owner or admin of one can add you.", custom_attrs={"data-testid": "no-tenant"}),
    )


def _empty() -> rx.Component:
    return rx.fragment(
        _title(),
        rx.el.div(
            rx.el.p("Make the first call; it appears here within two seconds.", class_name="mb-3 font-medium"),
            code_tabs(UsageState.samples, label="A first call"),
            class_name="max-w-[720px] py-8",
            custom_attrs={"data-testid": "no-calls"},
        ),
    )


def _calls() -> rx.Component:
    return rx.fragment(
        _title(),
        _spent(),
        rx.el.div(calls(UsageState.rows), class_name="mt-5"),
        note("The last 50 calls. New ones appear by themselves.", class_name="mt-3"),
    )


def _waiting() -> rx.Component:
    line = rx.el.div(
        skeleton("h-4 w-16"), skeleton("h-4 w-44"), skeleton("ml-auto h-4 w-20"), class_name="flex gap-8 border-b border-line py-3"
    )
    return rx.fragment(headline("Usage"), rx.el.div(*[line for _ in range(6)], class_name="mt-10"))


def content() -> rx.Component:
    return rx.el.main(
        rx.match(
            UsageState.stage,
            ("calls", _calls()),
            ("empty", _empty()),
            ("signed_out", _signed_out()),
            ("no_tenant", _no_tenant()),
            _waiting(),
        ),
        id="main",
        tab_index=-1,
        class_name="mx-auto min-h-screen max-w-[1180px] px-4 pt-5 pb-20 outline-none sm:px-7",
    )
