"""The first thing that the keyboard meets."""

from typing import ClassVar

import reflex as rx

_HIDDEN_UNTIL_FOCUSED = (
    "sr-only focus:not-sr-only focus:absolute focus:top-2 focus:left-2 focus:z-50 focus:rounded focus:bg-surface focus:px-3 focus:py-2"
)


class _Fragment(rx.Component):
    """An anchor within the page. Reflex's own becomes a router link, which leaves the page's address behind."""

    tag = "a"
    _is_tag_in_global_scope: ClassVar[bool] = True

    href: rx.Var[str]


def skip_link() -> rx.Component:
    """Leads past the navigation to `<main id="main">`."""
    return _Fragment.create("Skip to the content", href="#main", class_name=_HIDDEN_UNTIL_FOCUSED)
