"""What a page says when it has nothing, waits, or failed."""

from typing import Any

import reflex as rx

from components.ui.button import button


def empty_state(title: Any, *children: Any, **props: Any) -> rx.Component:
    """Says what is missing and shows the next step."""
    return rx.el.div(
        rx.el.p(title, class_name="font-medium"),
        *children,
        class_name="grid justify-items-start gap-2 py-14 text-ink-2",
        **props,
    )


def error_card(message: Any, request_id: Any, on_retry: Any, title: Any = "That did not work", **props: Any) -> rx.Component:
    """An error with the id to quote and the way to try again."""
    return rx.el.section(
        rx.el.h2(title, class_name="text-[15px] font-semibold"),
        rx.el.p(message, class_name="text-ink-2"),
        rx.el.div(
            button("Try again", on_click=on_retry),
            rx.el.span(request_id, class_name="font-mono text-[12px] text-ink-3"),
            class_name="flex flex-wrap items-center gap-3",
        ),
        role="alert",
        class_name="my-4 grid gap-3 rounded-lg border border-line border-l-4 border-l-bad bg-surface px-5 py-[18px]",
        **props,
    )


def skeleton(class_name: str = "h-4 w-40") -> rx.Component:
    """A grey bar that keeps the height of what is coming."""
    return rx.el.div(class_name="pulse rounded-sm bg-line " + class_name, custom_attrs={"aria-hidden": "true"})
