"""A small chart in a row: steps without axes. Its label carries what it says."""

from typing import Any

import reflex as rx

WIDTH, HEIGHT = 64, 16


def sparkline(path: Any, said: Any, *, end: Any = None, width: int = WIDTH, height: int = HEIGHT) -> rx.Component:
    """`path` is an SVG path within `width` and `height`; `said` is the same in words. `end`: how far down the line ends, as text, where
    a dot marks that it holds today; empty for none."""
    dot = [] if end is None else [rx.cond(end != "", rx.el.circle(cx=str(width), cy=end, r="2.2", fill="var(--accent)"))]
    return rx.el.svg(
        rx.el.path(d=path, fill="none", stroke="currentColor", stroke_width="1.5"),
        *dot,
        width=str(width + 6 if dot else width),
        height=str(height + 6 if dot else height + 2),
        view_box=f"-3 -3 {width + 6} {height + 6}" if dot else f"0 -1 {width} {height + 2}",
        role="img",
        class_name="inline-block text-ink-3",
        custom_attrs={"aria-label": said, "data-testid": "spark"},
    )
