"""What changed: prices, arrivals and ends of a period, filtered by the address; and what is still to come."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import reflex as rx

from backend import runtime
from backend.kernel.ids import new_id
from backend.pricing.changes import PriceNews
from state.address import query_string
from state.base import explain
from state.changes_address import KINDS, PERIODS, SHOWN, Wanted, read_wanted, write_wanted
from state.guard import STORE, handler
from state.news import (
    NewsRow,
    best_known_first,
    first_day,
    headline_text,
    kind_of,
    known_by,
    rows_of,
    service_kinds,
)
from state.views import counted

PAGE_ROWS = 50
_COMING_SHOWN = 8
_COMING_MORE = 40
_LABELS = {"cut": "Prices down", "rise": "Prices up", "arrival": "New models", "end": "Ends", "offer": "More sellers"}


@dataclass(slots=True)
class KindChoice:
    """One kind of change, with how many there are in the period."""

    value: str = ""
    label: str = ""
    count: str = ""
    selected: bool = False


class ChangesState(rx.State):
    """`stage` is waiting, open or failed. `coming_left`: how many are announced beyond those that are listed."""

    stage: str = "waiting"
    headline: str = "What changed"
    rows: list[NewsRow] = []
    coming: list[NewsRow] = []
    coming_title: str = ""
    coming_left: int = 0
    kinds: list[KindChoice] = []
    period: str = "30"
    search: str = ""
    page: int = 1
    pages: int = 1
    feed: str = "/pricing/changes.atom"
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""
    _wanted: Wanted = Wanted()
    _coming_shown: int = _COMING_SHOWN

    @handler(STORE)
    async def load(self) -> None:
        """The address decides: on arrival, reload, back and forward."""
        self._wanted, self._coming_shown = read_wanted(self.router.url.query), _COMING_SHOWN
        await self._try_again()

    @handler(STORE)
    async def retry(self) -> None:
        await self._try_again()

    @handler(STORE)
    async def toggle(self, kind: str) -> None:
        """Show a kind, or show it no more; the last one stays."""
        kinds = self._in_force().kinds ^ ({kind} & set(KINDS))
        if kinds:
            await self._answer(replace(self._in_force(), kinds=frozenset(kinds), page=1))

    @handler(STORE)
    async def look_back(self, days: str) -> None:
        """So many days."""
        if days in {str(one) for one in PERIODS}:
            await self._answer(replace(self._in_force(), days=int(days), page=1))

    @handler(STORE)
    async def find(self, text: str) -> None:
        """Changes of what has these words in its name."""
        await self._answer(replace(self._in_force(), text=text.strip()[:100], page=1))

    @handler(STORE)
    async def turn_page(self, by: int) -> None:
        wanted = self._in_force()
        await self._answer(replace(wanted, page=max(1, wanted.page + (1 if by > 0 else -1))))

    @handler(STORE)
    async def show_more_coming(self) -> None:
        """List more of what is announced."""
        self._coming_shown += _COMING_MORE
        await self._answer(self._in_force())

    def _in_force(self) -> Wanted:
        """A state that was forgotten while its page stood open starts again from the page's address."""
        return self._wanted if self.answered else read_wanted(self.router.url.query)

    async def _try_again(self) -> None:
        try:
            await self._answer(self._wanted)
        except Exception as error:
            told = explain(error, new_id("request"), "ChangesState.load")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _answer(self, wanted: Wanted) -> None:
        now = runtime.current()
        since = first_day(now.clock.now().date(), wanted.days)
        wish = now.pricing.wish(None, None, wanted.text)
        news = await now.pricing.all_changes(since, service_kinds(KINDS), wish)
        chosen = best_known_first((one for one in news if kind_of(one) in wanted.kinds), lambda one: known_by(now.catalog, one))
        self.pages = max(1, -(-len(chosen) // PAGE_ROWS))
        self._wanted = wanted = replace(wanted, page=min(wanted.page, self.pages))
        self.rows = rows_of(chosen[(wanted.page - 1) * PAGE_ROWS : wanted.page * PAGE_ROWS])
        self.headline = headline_text(chosen, wanted.days, since)
        self.kinds = [
            KindChoice(kind, _LABELS[kind], f"{sum(kind_of(one) == kind for one in news):,}", kind in wanted.kinds) for kind in KINDS
        ]
        coming = [one for one in await now.pricing.coming(wish=wish) if kind_of(one) in wanted.kinds]
        self.coming = rows_of(coming[: self._coming_shown], headings=False)
        self.coming_left = len(coming) - len(self.coming)
        self.coming_title = coming_text(coming)
        self.period, self.search, self.page = str(wanted.days), wanted.text, wanted.page
        asked = service_kinds(wanted.kinds)
        self.feed = feed_address(asked if wanted.kinds != SHOWN else (), wanted.text)
        self.address = write_wanted(wanted)
        self.stage, self.failure = "open", ""
        self.answered += 1


def feed_address(kinds: Collection[str], text: str) -> str:
    """Where the same is a feed; its default is the page's."""
    return "/pricing/changes.atom" + query_string({"kind": ",".join(sorted(kinds)), "q": text})


def coming_text(coming: list[PriceNews]) -> str:
    """`3 prices and 213 ends are announced`."""
    ends = sum(one.kind == "deprecation" for one in coming)
    prices = len(coming) - ends
    parts = [counted(number, word) for number, word in ((prices, "price"), (ends, "end")) if number]
    return f"{' and '.join(parts)} {'is' if len(coming) == 1 else 'are'} announced" if parts else ""
