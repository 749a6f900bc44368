"""Choosing a model by a few letters of its name."""

import reflex as rx


class Picker(rx.Component):
    """`hits` [{id, label, hint}] answer the text `hits_for`; `on_ask` carries the text after a pause, `on_pick` the id that was picked."""

    library = "$/public/js/picker.jsx"
    tag = "Picker"

    hits: rx.Var[list[dict[str, str]]]
    hits_for: rx.Var[str]
    label: rx.Var[str]
    placeholder: rx.Var[str]
    disabled: rx.Var[bool]
    on_ask: rx.EventHandler[rx.event.passthrough_event_spec(str)]
    on_pick: rx.EventHandler[rx.event.passthrough_event_spec(str)]


picker = Picker.create
