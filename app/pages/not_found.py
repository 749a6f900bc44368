"""What an address without a page shows."""

import reflex as rx

from components.ui.button import button_link
from components.ui.text import headline


def content() -> rx.Component:
    return rx.el.main(
        headline("There is no page at this address"),
        rx.el.p("It may have moved, or the link was cut off. The search at the top finds every page and model.", class_name="text-ink-2"),
        rx.el.p(button_link("Go to the store", to="/", kind="primary")),
        id="main",
        tab_index=-1,
        class_name="mx-auto grid min-h-[60vh] max-w-[560px] content-start gap-4 px-6 py-20 outline-none",
        custom_attrs={"data-testid": "no-page"},
    )
