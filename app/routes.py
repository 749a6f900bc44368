"""The one page registry: what is not listed here has no address, no place in the navigation and no line in the palette."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import reflex as rx

from app.layouts.frame import frame
from app.pages import (
    api,
    changes,
    compare,
    ingestion,
    match,
    model,
    not_found,
    playground,
    prompt_price,
    quarantine,
    setup,
    sign_in,
    store,
    usage,
)
from state.changes import ChangesState
from state.compare import CompareState
from state.ingestion import IngestionState
from state.match import MatchState
from state.model import ModelState
from state.model_evidence import ModelEvidenceState
from state.playground import PlaygroundState
from state.prompt_price import PromptPriceState
from state.quarantine import QuarantineState
from state.session import SessionState
from state.shell import ShellState
from state.sign_in import SetupState, SignInState
from state.store import StoreState
from state.tape import TapeState
from state.usage import UsageState


@dataclass(frozen=True, slots=True)
class Page:
    """`nav` is the label in top bar, menu and palette, and `hint` what stands beside it in the latter two; a page without them is reached
    by links only, and one that is not in the `bar` by them and the palette.

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
    bar: bool = True


PAGES: tuple[Page, ...] = (
    Page(
        route="/",
        title="Models and their prices · Bourse",
        description="Every model, who sells it, for how much, and what it can do.",
        content=store.content,
        on_load=(StoreState.load, TapeState.load),
        nav="Store",
        hint="every model, with prices and filters",
    ),
    Page(
        route="/models/[[...splat]]",
        title=ModelState.title,
        description="What a model costs, who sells it, what it can do, and how sure we are.",
        content=model.content,
        on_load=(ModelState.load, ModelEvidenceState.load),
        sample="/models/sandbox-chat",
    ),
    Page(
        route="/compare",
        title="Compare models · Bourse",
        description="Models side by side: what your work costs on each, what they can do, and how good they are.",
        content=compare.content,
        on_load=(CompareState.load,),
        nav="Compare",
        hint="two to six models side by side",
        sample="/compare?models=gpt-4o,gpt-4o-mini,claude-3-5-haiku&input=2000&cache=0.5",
    ),
    Page(
        route="/match",
        title="Match a task · Bourse",
        description="Say what a model should do: who can, ranked by evidence, cost and what counts for you, with reasons.",
        content=match.content,
        on_load=(MatchState.load,),
        nav="Match",
        hint="which model for this task, and why",
        sample="/match?step=answer&task=Summarise+long+contracts+in+German&needs=pdf",
    ),
    Page(
        route="/price",
        title="Price a prompt · Bourse",
        description="Paste a prompt: the tokens that each model makes of it, and what it costs at the cheapest offer.",
        content=prompt_price.content,
        on_load=(PromptPriceState.load,),
        nav="Price a prompt",
        hint="what this text costs on every model",
        sample="/price?example=question&sort=value",
    ),
    Page(
        route="/playground",
        title="Playground · Bourse",
        description="One prompt, up to four models side by side: what they say, how fast, and for how much.",
        content=playground.content,
        on_load=(PlaygroundState.load,),
        nav="Playground",
        hint="one prompt, up to four models side by side",
        sample="/playground?models=sandbox/chat,sandbox/slow&temperature=0.5",
    ),
    Page(
        route="/changes",
        title="What changed · Bourse",
        description="Prices that fell and rose, models that arrived and end, and what is announced.",
        content=changes.content,
        on_load=(ChangesState.load,),
        nav="Changes",
        hint="prices, arrivals and ends, with a feed",
        sample="/changes?days=90",
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
        route="/docs/api",
        title="The API · Bourse",
        description="Everything that programs may ask: operations, fields and answers, with requests to copy.",
        content=api.content,
        sample="/docs/api?q=match#match_models",
    ),
    Page(
        route="/ingestion",
        title="Where prices come from · Bourse",
        description="How old each source of prices is, what every reading changed, and lists of one's own.",
        content=ingestion.content,
        on_load=(IngestionState.load,),
        nav="Ingestion",
        hint="sources, runs and lists of one's own; for super admins",
        sample="/ingestion",
        bar=False,
    ),
    Page(
        route="/quarantine",
        title="Prices in quarantine · Bourse",
        description="Prices that look wrong, with what others say, and the decision about each.",
        content=quarantine.content,
        on_load=(QuarantineState.load,),
        nav="Quarantine",
        hint="prices that wait for a decision; for super admins",
        sample="/quarantine",
        bar=False,
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

NAV = [{"label": page.nav, "hint": page.hint, "href": page.route} for page in PAGES if page.nav and page.bar]
MORE = [{"label": page.nav, "hint": page.hint, "href": page.route} for page in PAGES if page.nav and not page.bar]


def register(app: rx.App) -> None:
    """Add every page to the app, inside the frame."""

    def framed(page: Page) -> Callable[[], rx.Component]:
        return lambda: frame(page.content(), current=page.route, pages=NAV, more=MORE, session=SessionState)

    for page in PAGES:
        app.add_page(
            framed(page),
            route=page.route,
            title=page.title,
            description=page.description,
            on_load=[SessionState.arrive, *page.on_load, ShellState.arrive],
        )
