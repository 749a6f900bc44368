"""What surrounds every page."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from components.compare.tray import tray
from components.shell.account import account, account_line
from components.shell.boundary import Boundary
from components.shell.footer import footer
from components.shell.notices import Live, connection_banner, shortcuts, toasts
from components.shell.palette import Palette
from components.shell.skip_link import skip_link
from components.shell.top_bar import top_bar
from state.palette import PaletteState
from state.shell import ShellState

PICKING = ("/", "/models/[[...splat]]")
"""Pages with models to pick; elsewhere the picked ones wait, and the tray would cover what one came for."""


def frame(
    content: rx.Component,
    *,
    current: str,
    pages: Sequence[dict[str, str]],
    more: Sequence[dict[str, str]],
    session: Any,
) -> rx.Component:
    """`pages` are {label, hint, href} for top bar, menu and palette, `more` those for the palette alone; `session` is the state class that
    says who is there.

    `content` brings its own `<main id="main" tabindex="-1">`, which the skip link goes to.
    """
    return rx.el.div(
        skip_link(),
        connection_banner(),
        top_bar(pages, current, account(session), account_line(session)),
        rx.el.div(Boundary.create(content), class_name="grow"),
        footer(ShellState.freshness, session.operates),
        tray(hidden=current not in PICKING),
        Palette.create(pages=[*pages, *more], hits=PaletteState.hits, hits_for=PaletteState.hits_for, on_ask=PaletteState.ask),
        shortcuts(),
        toasts(ShellState.notice),
        Live.create(arrivals=ShellState.arrivals),
        class_name="flex min-h-screen flex-col",
    )
