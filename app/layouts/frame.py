"""What surrounds every page."""

from collections.abc import Sequence

import reflex as rx

from components.shell.boundary import Boundary
from components.shell.footer import footer
from components.shell.notices import Live, connection_banner, shortcuts, toasts
from components.shell.palette import Palette
from components.shell.skip_link import skip_link
from components.shell.top_bar import top_bar
from state.palette import PaletteState
from state.shell import ShellState


def frame(
    content: rx.Component,
    *,
    current: str,
    nav: Sequence[tuple[str, str]],
    pages: Sequence[dict[str, str]],
    account: rx.Component | None = None,
) -> rx.Component:
    """`nav` are (label, route) for the top bar, `pages` {label, hint, href} for the palette.

    `content` brings its own `<main id="main" tabindex="-1">`, which the skip link goes to.
    """
    return rx.el.div(
        skip_link(),
        connection_banner(),
        top_bar(nav, current, account),
        rx.el.div(Boundary.create(content), class_name="grow"),
        footer(ShellState.freshness),
        Palette.create(pages=list(pages), hits=PaletteState.hits, hits_for=PaletteState.hits_for, on_ask=PaletteState.ask),
        shortcuts(),
        toasts(ShellState.notice),
        Live.create(arrivals=ShellState.arrivals),
        class_name="flex min-h-screen flex-col",
    )
