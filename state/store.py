"""The store: what is asked comes from the address, the answer goes into small lists of finished text, the address follows.

Rows come first. What has to be read or weighed, such as prices over time and quality, follows in `fill`, without holding anything up.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any

import reflex as rx

from backend import runtime
from backend.benchmarks.scores import Scores
from backend.catalog.schemas import Evidence, FacetValue, Freshness, StorePage, StoreQuery
from backend.kernel.errors import BadRequest
from backend.kernel.ids import new_id
from backend.kernel.money import NANO_PER_USD, usd_from_nano
from state.base import explain
from state.guard import STORE, handler
from state.row_marks import RowMarks, marks_of, quality_of, soonest
from state.scatter import Scatter
from state.store_address import FACETS, LARGEST_FIRST, PAGE_ROWS, VIEWS, Asked, read_address, write_address
from state.store_scatter import store_scatter
from state.store_words import chips_of, offered, speakers, subline_text
from state.storefront import Storefront, first_paint
from state.views import Chip, Choice, ModelRow, choices, freshness_text, model_row

_PROVIDERS_SHOWN = 6
_PROVIDERS_FOUND = 12
_front = first_paint()

ORDERS = (
    ("relevance", "Best known first"),
    ("value", "Value for money"),
    ("score", "Best quality"),
    ("input", "Cheapest input"),
    ("output", "Cheapest output"),
    ("context", "Longest context"),
    ("released", "Newest"),
    ("offers", "Most offers"),
    ("name", "Name"),
)
"""The service's sorts with their words, in the order in which they are offered."""


class StoreState(rx.State):
    """Everything a visitor's store page shows; at most one page of rows and the filters beside it.

    `marks`: by slug, of the rows whose marks are there. `plot_stage`: waiting, drawn or nothing (to draw).
    """

    rows: list[ModelRow] = _front.rows
    marks: dict[str, RowMarks] = _front.marks
    times_first_token: bool = False
    total: int = _front.total
    headline: str = _front.headline
    subline: str = _front.subline
    takes_in: list[Choice] = _front.facets.get("modality_in", [])
    gives_out: list[Choice] = _front.facets.get("modality_out", [])
    can_do: list[Choice] = _front.facets.get("capability", [])
    sold_by: list[Choice] = _front.facets.get("provider", [])[:_PROVIDERS_SHOWN]
    modes: list[Choice] = _front.facets.get("mode", [])
    statuses: list[Choice] = _front.facets.get("status", [])
    terms: list[Choice] = _front.facets.get("open_weights", [])
    more_providers: int = max(0, _front.provider_count - _PROVIDERS_SHOWN)
    provider_search: str = ""
    search: str = ""
    chips: list[Chip] = []
    filters: int = 0
    price_in: list[float | None] = [None, None]
    price_out: list[float | None] = [None, None]
    context_from: float | None = None
    score_from: float | None = None
    benchmark: str = ""
    benchmarks: list[list[str]] = []
    languages: list[list[str]] = []
    plot: Scatter = Scatter()
    plot_about: str = ""
    plot_stage: str = "waiting"
    order: str = "relevance"
    descending: bool = False
    view: str = "table"
    page: int = 1
    pages: int = max(1, -(-_front.total // PAGE_ROWS))
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""
    _asked: Asked = Asked()
    _offers: dict[str, str] = {}
    _turn: int = 0

    @handler(STORE)
    async def load(self) -> Any:
        """The address decides: on arrival, on reload, on back and forward."""
        self._asked = read_address(self.router.url.query)
        return await self._try_again()

    @handler(STORE)
    async def retry(self) -> Any:
        return await self._try_again()

    @handler(STORE)
    async def find(self, text: str) -> Any:
        return await self._answer(self._in_force().with_query(search=text.strip()[:200]))

    @handler(STORE)
    async def toggle(self, facet: str, value: str) -> Any:
        """Add or remove one value of a filter; `facet` is its name in the address."""
        return await self._answer(self._in_force().toggled(facet, value))

    @handler(STORE)
    async def remove(self, facet: str, value: str) -> Any:
        """Take away what a chip stands for."""
        cleared: dict[str, dict[str, object]] = {
            "q": {"search": ""},
            "price_in": {"input_min": None, "input_max": None},
            "price_out": {"output_min": None, "output_max": None},
            "context": {"context_min": None},
            "min_score": {"min_score": None},
            "benchmark": {"benchmark": ""},
        }
        if facet in cleared:
            return await self._answer(self._in_force().with_query(**cleared[facet]))
        return await self._answer(self._in_force().toggled(facet, value))

    @handler(STORE)
    async def clear(self) -> Any:
        """All filters and the search; the order and the view stay."""
        asked, query = self._in_force(), self._in_force().query
        self.provider_search = ""
        return await self._answer(replace(asked, query=StoreQuery(sort=query.sort, descending=query.descending, limit=PAGE_ROWS)))

    @handler(STORE)
    async def pick_price_in(self, low: float | None, high: float | None) -> Any:
        """USD per 1M input tokens; None is any."""
        return await self._answer(self._in_force().with_query(input_min=_nano(low), input_max=_nano(high)))

    @handler(STORE)
    async def pick_price_out(self, low: float | None, high: float | None) -> Any:
        """USD per 1M output tokens; None is any."""
        return await self._answer(self._in_force().with_query(output_min=_nano(low), output_max=_nano(high)))

    @handler(STORE)
    async def pick_context(self, low: float | None, _high: float | None) -> Any:
        """Tokens; None is any."""
        tokens = int(low) if low is not None and 0 < low < 10**12 else None
        return await self._answer(self._in_force().with_query(context_min=tokens))

    @handler(STORE)
    async def pick_score(self, low: float | None, _high: float | None) -> Any:
        """The least score, above 0 and up to 100; None is any."""
        score = round(low, 2) if low is not None and 0 < low <= 100 else None
        return await self._answer(self._in_force().with_query(min_score=score or None))

    @handler(STORE)
    async def measure_by(self, benchmark: str) -> Any:
        """Go by the results on one benchmark; empty is all together."""
        return await self._answer(self._in_force().with_query(benchmark=benchmark.strip()[:200]))

    @handler(STORE)
    async def order_by(self, order: str) -> Any:
        """Choosing the order in force turns it round."""
        query = self._in_force().query
        if order in dict(ORDERS):
            turned = order == query.sort and not self._in_force().turned
            return await self._answer(self._in_force().with_query(sort=order, descending=(order in LARGEST_FIRST) != turned))
        return None

    @handler(STORE)
    def show_as(self, view: str) -> Any:
        if view not in VIEWS:
            return None
        self._asked = replace(self._in_force(), view=view)
        self.view, self.address = view, write_address(self._asked)
        self.plot, self.plot_stage = Scatter(), "waiting"
        self._turn += 1
        return StoreState.fill

    @handler(STORE)
    async def turn_page(self, by: int) -> Any:
        offset = self._in_force().query.offset + PAGE_ROWS * (1 if by > 0 else -1)
        if 0 <= offset < max(self.total, 1):
            return await self._answer(self._in_force().with_query(offset=offset))
        return None

    @handler(STORE)
    async def find_provider(self, text: str) -> None:
        """Only the list of providers changes, not what is asked."""
        self.provider_search = text.strip()[:80]
        query = self._in_force().query
        page = runtime.current().catalog.search(query, await _evidence(query))
        self._show_providers(page.facets.get("provider", ()))

    @handler(STORE, background=True, supersedes=True)
    async def fill(self) -> None:
        """What the rows wait for: their marks or the plot, and what can be chosen by evidence. A newer answer has its own."""
        now = runtime.current()
        async with self:
            asked, turn, offers = self._asked, self._turn, dict(self._offers)
        scores = await now.benchmarks.scores()
        benchmarks = offered(await now.measured.benchmarks(), asked.query.benchmark)
        evidence = await _evidence(asked.query)
        plot, about, marks = Scatter(), "", dict[str, RowMarks]()
        if asked.view == "scatter":
            found = now.catalog.all(asked.query, evidence)
            plot, about = store_scatter(found, scores, asked.query.benchmark, evidence.measure)
        else:
            marks = await _marks(offers, scores, asked.query, evidence.measure)
        languages = speakers(now.catalog.search(replace(asked.query, limit=1), evidence).facets["language"])
        async with self:
            if self._turn != turn:
                return
            if asked.view == "scatter":
                self.plot, self.plot_about, self.plot_stage = plot, about, "drawn" if plot.dots else "nothing"
            else:
                self.marks = marks
                self.times_first_token = any(one.first_token for one in marks.values())
            if self.languages != languages:
                self.languages = languages
            if self.benchmarks != benchmarks:
                self.benchmarks = benchmarks

    def _in_force(self) -> Asked:
        """What is asked now. A state that was forgotten while its page stood open starts again from the page's address."""
        return self._asked if self.answered else read_address(self.router.url.query)

    async def _try_again(self) -> Any:
        """Where there is nothing yet to fall back on, a failure belongs on the page and not into a toast."""
        try:
            return await self._answer(self._asked)
        except Exception as error:
            told = explain(error, new_id("request"), "StoreState.load")
            self.failure, self.failure_id = told["message"], told["request_id"]
            return None

    async def _answer(self, asked: Asked) -> Any:
        """Ask the catalog, keep a page that lies beyond the end from being empty, show the result, and let the rest follow."""
        now = runtime.current()
        try:
            evidence = await _evidence(asked.query)
        except BadRequest:
            # A benchmark that is not there, or no more: what is not understood in an address is left out.
            asked = replace(asked, query=replace(asked.query, benchmark=""))
            evidence = await _evidence(asked.query)
        page = now.catalog.search(asked.query, evidence)
        if not page.items and page.total and asked.query.offset:
            asked = asked.with_query(offset=(page.total - 1) // PAGE_ROWS * PAGE_ROWS)
            page = now.catalog.search(asked.query, evidence)
        self._asked = asked
        self._show(page, evidence.measure)
        self.subline = subline_text(page, now.catalog.freshness(), now.clock.now())
        return StoreState.fill

    def _show(self, page: StorePage, measure: str) -> None:
        query = self._asked.query
        self.rows = [model_row(item) for item in page.items]
        # Until their own come, rows that stay keep what they had, unless that goes by another benchmark.
        kept = self.marks if self.benchmark == query.benchmark else {}
        self.marks = {item.id: kept[item.id] for item in page.items if item.id in kept}
        self._offers = {item.id: item.known_offer or "" for item in page.items}
        self._turn += 1
        self.total, self.headline = page.total, page.headline
        facets = {name: choices(FACETS[name], values) for name, values in page.facets.items() if name in FACETS}
        self.takes_in, self.gives_out = facets.get("modality_in", []), facets.get("modality_out", [])
        self.can_do, self.modes = facets.get("capability", []), facets.get("mode", [])
        self.statuses, self.terms = facets.get("status", []), facets.get("open_weights", [])
        self._show_providers(page.facets.get("provider", ()))
        self.chips, self.filters = chips_of(query, page, measure), self._asked.filters
        self.search, self.order, self.view = query.search, query.sort, self._asked.view
        self.descending = query.descending
        self.price_in = [_usd(query.input_min), _usd(query.input_max)]
        self.price_out = [_usd(query.output_min), _usd(query.output_max)]
        self.context_from, self.score_from, self.benchmark = query.context_min, query.min_score, query.benchmark
        self.page, self.pages = query.offset // PAGE_ROWS + 1, max(1, -(-page.total // PAGE_ROWS))
        self.address = write_address(self._asked)
        self.answered += 1
        self.failure = ""

    def _show_providers(self, values: tuple[FacetValue, ...]) -> None:
        wanted = self.provider_search.lower()
        if wanted:
            found = [one for one in values if wanted in one.label.lower() or wanted in one.value.lower()][:_PROVIDERS_FOUND]
        else:
            found = [one for one in values if one.selected]
            found += [one for one in values if not one.selected][: max(0, _PROVIDERS_SHOWN - len(found))]
        self.sold_by = choices("by", tuple(found))
        self.more_providers = len(values) - len(found)


async def _evidence(query: StoreQuery) -> Evidence:
    """What the query needs, which may take a second to weigh; for one that needs nothing, what is known already.

    Raises:
        BadRequest: the benchmark is none.
    """
    measured = runtime.current().measured
    return await measured.evidence(query) if query.asks_for_evidence else measured.at_hand


async def _marks(offers: dict[str, str], scores: Scores, query: StoreQuery, measure: str) -> dict[str, RowMarks]:
    """Of the rows with these slugs, by the offers whose prices they show."""
    now = runtime.current()
    series = await now.pricing.input_over_time([offer for offer in offers.values() if offer])
    measured = now.health.first_tokens()
    first = {slug: soonest(now.catalog.offers_named(slug), measured) for slug in offers} if measured else {}
    return marks_of(offers, series, quality_of(scores, query.benchmark, measure), first, now.clock.now().date())


def storefront(page: StorePage, freshness: Freshness, now: datetime, marks: dict[str, RowMarks] | None = None) -> Storefront:
    """The snapshot that the first paint shows; its ages are put right as soon as the socket is open."""
    return Storefront(
        headline=page.headline,
        total=page.total,
        provider_count=len(page.facets.get("provider", ())),
        rows=[model_row(item) for item in page.items],
        marks=marks or {},
        facets={name: choices(FACETS[name], values) for name, values in page.facets.items() if name in FACETS},
        freshness=freshness_text(freshness, now),
        subline=subline_text(page, freshness, now),
    )


def _nano(usd: object) -> int | None:
    """What a browser sends may be anything; only a sane number of dollars is taken."""
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd <= 1_000_000:
        return None
    return round(usd * NANO_PER_USD)


def _usd(nano: int | None) -> float | None:
    return None if nano is None else float(usd_from_nano(nano))
