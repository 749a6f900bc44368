"""What goes along while somebody picks models to compare: a square in rows, a button on a model's page, the tray at the foot."""

from typing import Any

import reflex as rx

from components.ui.button import button_look


class Compare(rx.Component):
    """Puts a model into the tray and takes it out again; with `words` a button, else a square."""

    library = "$/public/js/tray.jsx"
    tag = "Compare"

    model: rx.Var[str]
    name: rx.Var[str]
    words: rx.Var[str]


class Tray(rx.Component):
    """The picked models with the way to compare them; `hidden` on the page that shows them anyway."""

    library = "$/public/js/tray.jsx"
    tag = "Tray"

    hidden: rx.Var[bool]
    primary: rx.Var[str]
    quiet: rx.Var[str]


class TrayFollows(rx.Component):
    """Keeps the tray in step with `models` [{id, name}], which a page shows after each of its answers."""

    library = "$/public/js/tray.jsx"
    tag = "TrayFollows"

    models: rx.Var[list[dict[str, str]]]
    answered: rx.Var[int]


def compare_box(model: Any, name: Any) -> rx.Component:
    return Compare.create(model=model, name=name)


def compare_button(model: Any, name: Any) -> rx.Component:
    return Compare.create(model=model, name=name, words="Compare", class_name=button_look("plain"))


def tray(*, hidden: bool) -> rx.Component:
    return Tray.create(hidden=hidden, primary=button_look("primary"), quiet=button_look("quiet"))
