"""A range on a scale that all rows share, with a mark at what is expected."""

from typing import Any

import reflex as rx


def spread_bar(left: Any, at: Any, right: Any, said: Any, class_name: str = "") -> rx.Component:
    """All whole numbers from 0 to 1000; `said` is the same in words."""

    def mark(colour: str, width: str) -> dict[str, str]:
        return {"stroke": f"var(--{colour})", "strokeWidth": width, "strokeLinecap": "round", "vectorEffect": "non-scaling-stroke"}

    return rx.el.svg(
        rx.el.line(x1="0", x2="1000", y1="4", y2="4", custom_attrs=mark("line", "1")),
        rx.el.line(x1=left, x2=right, y1="4", y2="4", custom_attrs=mark("accent", "3")),
        rx.el.line(x1=at, x2=at, y1="0", y2="8", custom_attrs=mark("ink", "1.5")),
        view_box="0 0 1000 8",
        role="img",
        class_name="h-2 w-full overflow-visible " + class_name,
        custom_attrs={"aria-label": said, "preserveAspectRatio": "none"},
    )
