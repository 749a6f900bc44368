"""Copying: a button for one text, and code samples in tabs."""

import reflex as rx

from components.ui.button import SMALL_BUTTON


class CopyButton(rx.Component):
    """Copies `text` and says so; `what` completes its name for screen readers."""

    library = "$/public/js/copy.jsx"
    tag = "CopyButton"

    text: rx.Var[str]
    what: rx.Var[str]


class CodeTabs(rx.Component):
    """Samples [{name, code}]; `{origin}` in the code becomes the address in the person's address bar."""

    library = "$/public/js/copy.jsx"
    tag = "CodeTabs"

    samples: rx.Var[list[dict[str, str]]]
    label: rx.Var[str]
    copy_class: rx.Var[str]


def copy_button(text: rx.Var[str] | str, what: str = "") -> rx.Component:
    return CopyButton.create(text=text, what=what, class_name=SMALL_BUTTON)


def code_tabs(samples: rx.Var[list[dict[str, str]]], label: str = "Code samples") -> rx.Component:
    return CodeTabs.create(samples=samples, label=label, copy_class=SMALL_BUTTON)
