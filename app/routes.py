"""The one page registry: what is not listed here has no address, no place in the navigation and no line in the palette."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import reflex as rx

from app.layouts.frame import frame
from app.pages import model, not_found, setup, sign_in, store, usage
from components.shell.account import account
from state.model import ModelState
from state.session import SessionState
from state.shell import ShellState
from state.sign_in import SetupState, SignInState
from state.store import StoreState
from state.usage import UsageState


@dataclass(frozen=True, slots=True)
class Page:
    """`nav` is the label in the top bar and `hint` the palette's second column; a page without them is reached by links only.

    `sample` is an address at which the page shows real content; accessibility and smoke tests visit it.
    """

    route: str
    title: Any
    content: Callable[[], rx.Component]
    description: str
    on_load: tuple[Any, ...] = ()
    nav: str = ""
    hint: str = ""
    sample: str = ""


PAGES: tuple[Page, ...] = (
    Page(
        route="/",
        title="Models and their prices · Bourse",
        description="Every model, who sells it, for how much, and what it can do.",
        content=store.content,
        on_load=(StoreState.load,),
        nav="Store",
        hint="every model, with prices and filters",
    ),
    Page(
        route="/models/[[...splat]]",
        title=ModelState.title,
        description="What a model costs, who sells it, what it can do, and how sure we are.",
        content=model.content,
        on_load=(ModelState.load,),
        sample="/models/sandbox-chat",
    ),
    Page(
        route="/usage",
        title="Usage · Bourse",
        description="What your tenant spent today, and its last calls.",
        content=usage.content,
        on_load=(UsageState.load,),
        nav="Usage",
        hint="today's spend and the last calls",
        sample="/usage",
    ),
    Page(
        route="/sign-in",
        title="Sign in · Bourse",
        description="Sign in to this installation.",
        content=sign_in.content,
        on_load=(SignInState.load,),
        sample="/sign-in",
    ),
    Page(
        route="/setup",
        title="First run · Bourse",
        description="Make the first account of this installation.",
        content=setup.content,
        on_load=(SetupState.load,),
        sample="/setup",
    ),
    Page(
        route="404",
        title="Not found · Bourse",
        description="There is no page at this address.",
        content=not_found.content,
        sample="/no-such-page",
    ),
)

NAV = [(page.nav, page.route) for page in PAGES if page.nav]
PALETTE = [{"label": page.nav, "hint": page.hint, "href": page.route} for page in PAGES if page.nav]


def register(app: rx.App) -> None:
    """Add every page to the app, inside the frame."""

    def framed(page: Page) -> Callable[[], rx.Component]:
        return lambda: frame(page.content(), current=page.route, nav=NAV, pages=PALETTE, account=account(SessionState))

    for page in PAGES:
        app.add_page(
            framed(page),
            route=page.route,
            title=page.title,
            description=page.description,
            on_load=[SessionState.arrive, *page.on_load, ShellState.arrive],
        )
