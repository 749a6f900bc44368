"""The bar at the top of every page: where one is, where one can go, who one is."""

from collections.abc import Sequence

import reflex as rx

from components.shell.palette import palette_button
from components.ui.button import page_link
from components.ui.icon import icon


class ThemeButton(rx.Component):
    """System, light, dark, in turn."""

    library = "$/public/js/theme.jsx"
    tag = "ThemeButton"


class Menu(rx.Component):
    """The same pages behind a button, where the bar has no room for them; children stand at the sheet's foot."""

    library = "$/public/js/menu.jsx"
    tag = "Menu"

    entries: rx.Var[list[dict[str, str]]]
    current: rx.Var[str]


def _entry(label: str, to: str, here: bool) -> rx.Component:
    return page_link(
        label,
        to=to,
        class_name="rounded px-[9px] py-1.5 whitespace-nowrap " + ("bg-sunken text-ink" if here else "text-ink-2 hover:text-ink"),
        custom_attrs={"aria-current": "page"} if here else {},
    )


def top_bar(pages: Sequence[dict[str, str]], current: str, account: rx.Component, account_in_menu: rx.Component) -> rx.Component:
    """`pages` are {label, hint, href} of those that exist; `current` is the route being shown; `account` stands at the right end.

    Where seven entries have no room they are in the menu, and so is the account on a phone.
    """
    return rx.el.header(
        page_link(
            icon("mark", class_name="text-accent"),
            "Bourse",
            to="/",
            class_name="flex items-center gap-[9px] text-[15px] leading-none font-semibold tracking-[-.01em]",
        ),
        rx.el.nav(
            *[_entry(page["label"], page["href"], page["href"] == current) for page in pages],
            class_name="hidden gap-0.5 min-[1100px]:flex",
            custom_attrs={"aria-label": "Pages"},
        ),
        palette_button(),
        ThemeButton.create(class_name="grid size-8 shrink-0 place-items-center rounded text-ink-2 hover:bg-sunken hover:text-ink"),
        rx.el.div(account, class_name="hidden sm:block"),
        Menu.create(
            rx.el.div(account_in_menu, class_name="sm:hidden"),
            entries=list(pages),
            current=current,
            class_name="-mr-1.5 min-[1100px]:hidden",
        ),
        class_name="flex h-[52px] items-center gap-2 border-b border-line bg-paper px-4 whitespace-nowrap sm:gap-[18px] sm:px-6",
    )
