"""The tape over the store: a few of the week's changes, of the best known models, each a link."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import reflex as rx

from backend import runtime
from backend.pricing.changes import PriceNews
from state.guard import STORE, handler
from state.news import change_word, first_day, is_dated_within, kind_of, known_by, service_kinds

_KINDS = service_kinds(("cut", "rise", "arrival", "end"))
_WEEK, _LATELY = 7, 90
_SOON = timedelta(days=30)
_EACH = {"cut": 2, "rise": 1, "arrival": 1, "announced": 1, "ends": 1}
_LEAST_SHARE = 0.05
"""A price that changed by less is no news for everybody."""


@dataclass(slots=True)
class TapeEntry:
    """A model and what became of it."""

    key: str = ""
    model: str = ""
    href: str = ""
    text: str = ""
    tone: str = "plain"


class TapeState(rx.State):
    """`title` is empty until the answer is there."""

    title: str = ""
    entries: list[TapeEntry] = []

    @handler(STORE)
    async def load(self) -> None:
        """What changed this week; if nothing did, lately."""
        now = runtime.current()
        today = now.clock.now().date()
        since = first_day(today, _WEEK)
        news, when = await now.pricing.all_changes(since, _KINDS), "this week"
        if not news:
            since, when = first_day(today, _LATELY), "lately"
            news = await now.pricing.all_changes(since, _KINDS)
        coming = [one for one in await now.pricing.coming(_KINDS | {"announced"}) if one.day <= today + _SOON]
        shown = chosen([*news, *coming], today, lambda one: known_by(now.catalog, one))
        self.entries = [entry(one) for one in shown]
        changed = "Changed" if all(is_dated_within(one, since) for one in shown) else "Seen"
        self.title = f"{changed} {when}" if shown else "Nothing changed lately"


def chosen(news: Iterable[PriceNews], today: date, offers: Callable[[PriceNews], int]) -> list[PriceNews]:
    """A few of each kind, of the models that are sold by most; each model once."""
    left, seen, found = dict(_EACH), set[str](), list[tuple[int, PriceNews]]()
    for one in sorted(news, key=lambda one: (-offers(one), -one.day.toordinal(), one.id)):
        slot = "announced" if one.kind == "announced" else "ends" if one.kind == "deprecation" and one.day > today else kind_of(one)
        small = one.kind in ("price", "announced") and abs(one.share or 0) < _LEAST_SHARE
        if one.model_id not in seen and left.get(slot, 0) and not small:
            left[slot] -= 1
            seen.add(one.model_id)
            found.append((list(_EACH).index(slot), one))
    return [one for _, one in sorted(found, key=lambda placed: placed[0])]


def entry(news: PriceNews) -> TapeEntry:
    """`GPT-5 mini cached input ▼ 60 %`, `from 1 Dec ▲ 100 %`, `ends 12 Dec`."""
    word, tone = change_word(news)
    soon = f"{news.day.day} {news.day:%b}"
    if news.kind == "deprecation":
        text = f"ends {soon}"
    elif news.kind == "announced":
        text = f"from {soon} {word.removesuffix(' announced')}"
    else:
        text = f"{component_of(news)}{word}"
    return TapeEntry(key=news.id, model=news.model_name, href=f"/models/{news.model_id}", text=text, tone=tone)


def component_of(news: PriceNews) -> str:
    """What the change is of, where it is not the input's price alone or nothing has a price."""
    first = next((rate.component for rate in news.rates if rate.before and rate.after is not None), "")
    return "" if not first else {"input": "in ", "output": "out "}.get(first, first.replace("_", " ") + " ")
