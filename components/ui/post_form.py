"""Forms that the browser itself posts over HTTP: what is typed into them never travels through the websocket."""

from typing import Any, ClassVar

import reflex as rx
from reflex.utils.exec import is_prod_mode
from reflex_base.config import get_config


class PostForm(rx.Component):
    """A plain `<form method="post">`. (Reflex's own form stops the browser from sending it.)"""

    tag = "form"
    _is_tag_in_global_scope: ClassVar[bool] = True

    action: rx.Var[str]
    method: rx.Var[str]


class SetupToken(rx.Component):
    """The field for the one-time token; takes it from the link's `#token=` and removes it from the address bar."""

    library = "$/public/js/setup_token.jsx"
    tag = "SetupToken"

    described_by: rx.Var[str]


class NextField(rx.Component):
    """The hidden field `next`: where the browser goes on to, from the address's `next=`, or `otherwise`."""

    library = "$/public/js/next_field.jsx"
    tag = "NextField"

    otherwise: rx.Var[str]


def post_form(*children: Any, path: str, **props: Any) -> rx.Component:
    """A form that posts to `path` of this site's HTTP routes."""
    # In the developer's two-port mode pages and routes have a port each.
    base = "" if is_prod_mode() else get_config().api_url.rstrip("/")
    return PostForm.create(*children, action=base + path, method="post", **props)
