"""A score as a bar, with marks where the evidence allows it to end."""

from typing import Any

import reflex as rx


def interval_bar(score: Any, low: Any, high: Any, said: Any, class_name: str = "") -> rx.Component:
    """All whole numbers from 0 to 100; `said` is the same in words."""
    mark = {"stroke": "var(--ink-2)", "strokeWidth": "1", "vectorEffect": "non-scaling-stroke"}
    return rx.el.svg(
        rx.el.rect(x="0", y="3", width="100", height="6", fill="var(--sunken)"),
        rx.el.rect(x="0", y="3", width=score, height="6", fill="var(--accent)"),
        *[rx.el.line(x1=end, x2=end, y1="0", y2="12", custom_attrs=mark) for end in (low, high)],
        view_box="0 0 100 12",
        role="img",
        class_name="h-3 w-full overflow-visible " + class_name,
        custom_attrs={"aria-label": said, "preserveAspectRatio": "none"},
    )
