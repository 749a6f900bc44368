"""Copying: a button for one text, and code samples in tabs."""

import reflex as rx

from components.ui.button import SMALL_BUTTON, button_look
from components.ui.card import card
from components.ui.icon import icon
from components.ui.text import heading, note


class CopyButton(rx.Component):
    """Copies `text` and says so; `what` completes its name for screen readers."""

    library = "$/public/js/copy.jsx"
    tag = "CopyButton"

    text: rx.Var[str]
    what: rx.Var[str]


class CopyAddress(rx.Component):
    """Copies the address of the page as it is now."""

    library = "$/public/js/copy.jsx"
    tag = "CopyAddress"


class CodeTabs(rx.Component):
    """Samples [{name, code}]; `{origin}` in the code becomes the address in the person's address bar."""

    library = "$/public/js/copy.jsx"
    tag = "CodeTabs"

    samples: rx.Var[list[dict[str, str]]]
    label: rx.Var[str]
    copy_class: rx.Var[str]


def copy_button(text: rx.Var[str] | str, what: str = "") -> rx.Component:
    return CopyButton.create(text=text, what=what, class_name=SMALL_BUTTON)


def copy_address() -> rx.Component:
    return CopyAddress.create(class_name=button_look("plain"))


def code_tabs(samples: rx.Var[list[dict[str, str]]], label: str = "Code samples") -> rx.Component:
    return CodeTabs.create(samples=samples, label=label, copy_class=SMALL_BUTTON)


def folded_code(title: str, samples: rx.Var[list[dict[str, str]]], about: str, class_name: str) -> rx.Component:
    """The code of what a page shows, for whoever opens it."""
    return card(
        rx.el.details(
            rx.el.summary(
                icon("right", 14, class_name="text-ink-3 transition-transform group-open:rotate-90"),
                heading(title),
                class_name="flex items-center gap-1.5",
                custom_attrs={"data-testid": "view-code"},
            ),
            rx.el.div(code_tabs(samples), class_name="mt-3"),
            note(about, class_name="mt-2"),
            class_name="group",
        ),
        class_name=class_name,
    )
