"""What all models are asked: the prompt, and the numbers that go with it."""

from typing import Any

import reflex as rx

from components.ui.field import SEARCH, search_field
from components.ui.text import note


class Composer(rx.Component):
    """Prompt and system text; `on_run` carries both, `on_stop` ends what runs. Text is not sent before."""

    library = "$/public/js/composer.jsx"
    tag = "Composer"

    busy: rx.Var[bool]
    disabled: rx.Var[bool]
    on_run: rx.EventHandler[rx.event.passthrough_event_spec(str, str)]
    on_stop: rx.EventHandler[rx.event.no_args_event_spec]


def composer(trial: Any) -> rx.Component:
    return rx.el.div(
        Composer.create(busy=trial.running, disabled=trial.columns.length() == 0, on_run=trial.run, on_stop=trial.stop_all),
        rx.el.div(
            _number("Temperature, 0 to 2", trial.temperature, trial.set_temperature, "decimal", "temperature"),
            _number("Most tokens of an answer", trial.max_tokens, trial.set_max_tokens, "numeric", "max-tokens"),
            note(
                "The address holds the models and these numbers, so a link brings them back. It never holds what you write.",
                class_name="col-span-2 lg:col-span-1",
            ),
            class_name="grid grid-cols-2 content-start items-end gap-3 lg:grid-cols-1",
        ),
        class_name="mt-4 grid grid-cols-1 gap-x-6 gap-y-4 lg:grid-cols-[minmax(0,1fr)_240px]",
    )


def _number(label: str, value: Any, on_settle: Any, keyboard: str, name: str) -> rx.Component:
    return rx.el.div(
        rx.el.p(label, class_name="mb-1 text-[13px] font-medium"),
        search_field(
            value=value,
            label=label,
            placeholder="as the provider does",
            delay=500,
            on_settle=on_settle,
            class_name=SEARCH + " tabular-nums",
            custom_attrs={"inputMode": keyboard, "data-testid": name},
        ),
    )
