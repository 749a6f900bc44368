"""Handing in a list of one's own: what it would change, then that it does."""

from typing import Any

import reflex as rx
from reflex.utils.exec import is_prod_mode
from reflex_base.config import get_config

from components.ingestion.runs import report


class HandInForm(rx.Component):
    """Sends a file to the API and tells the page what that answered."""

    library = "$/public/js/hand_in.jsx"
    tag = "HandIn"

    base: rx.Var[str]
    names: rx.Var[list[str]]
    ready: rx.Var[bool]
    may_force: rx.Var[bool]
    on_preview: rx.EventHandler[rx.event.passthrough_event_spec(dict[str, Any])]
    on_taken: rx.EventHandler[rx.event.passthrough_event_spec(dict[str, Any])]
    on_refused: rx.EventHandler[rx.event.passthrough_event_spec(str)]
    on_another: rx.EventHandler[rx.event.no_args_event_spec]


def hand_in(page: Any) -> rx.Component:
    """`page` has names, a preview and the handlers."""
    # In the developer's two-port mode pages and routes have a port each.
    base = "" if is_prod_mode() else get_config().api_url.rstrip("/")
    return rx.el.div(
        HandInForm.create(
            base=base,
            names=page.names,
            ready=page.may_hand_in,
            may_force=page.preview.can_force,
            on_preview=page.previewed,
            on_taken=page.handed_in,
            on_refused=page.not_handed_in,
            on_another=page.changed_its_mind,
        ),
        rx.cond(
            page.preview_failure != "",
            rx.el.p(page.preview_failure, role="alert", class_name="mt-3 text-bad", custom_attrs={"data-testid": "refused"}),
        ),
        rx.cond(
            page.preview.title != "",
            rx.el.div(
                report(page.preview),
                class_name="mt-4 border-t border-line pt-4",
                custom_attrs={"data-testid": "would-change", "aria-live": "polite"},
            ),
        ),
    )
