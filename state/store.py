"""The store: what is asked comes from the address, the answer goes into small lists of finished text, the address follows."""

from dataclasses import replace
from datetime import datetime

import reflex as rx

from backend import runtime
from backend.catalog.schemas import FacetValue, Freshness, StorePage, StoreQuery
from backend.kernel.ids import new_id
from backend.kernel.money import NANO_PER_USD, usd_from_nano
from state.base import explain
from state.guard import STORE, handler
from state.store_address import FACETS, LARGEST_FIRST, PAGE_ROWS, VIEWS, Asked, read_address, write_address
from state.storefront import Storefront, first_paint
from state.views import Chip, Choice, ModelRow, age_text, choices, freshness_text, model_row, price_text, tokens_text

_PROVIDERS_SHOWN = 6
_PROVIDERS_FOUND = 12
_front = first_paint()

ORDERS = (
    ("relevance", "Best known first"),
    ("input", "Cheapest input"),
    ("output", "Cheapest output"),
    ("context", "Longest context"),
    ("released", "Newest"),
    ("offers", "Most offers"),
    ("name", "Name"),
)
"""The service's sorts with their words, in the order in which they are offered."""


class StoreState(rx.State):
    """Everything a visitor's store page shows; at most one page of rows and the filters beside it."""

    rows: list[ModelRow] = _front.rows
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
    order: str = "relevance"
    descending: bool = False
    turned: bool = False
    view: str = "table"
    page: int = 1
    pages: int = max(1, -(-_front.total // PAGE_ROWS))
    address: str = ""
    answered: int = 0
    failure: str = ""
    failure_id: str = ""
    _asked: Asked = Asked()

    @handler(STORE)
    def load(self) -> None:
        """The address decides: on arrival, on reload, on back and forward."""
        self._asked = read_address(self.router.url.query)
        self._try_again()

    @handler(STORE)
    def retry(self) -> None:
        self._try_again()

    @handler(STORE)
    def find(self, text: str) -> None:
        self._answer(self._in_force().with_query(search=str(text).strip()[:200]))

    @handler(STORE)
    def toggle(self, facet: str, value: str) -> None:
        """Add or remove one value of a filter; `facet` is its name in the address."""
        self._answer(self._in_force().toggled(str(facet), str(value)))

    @handler(STORE)
    def remove(self, facet: str, value: str) -> None:
        """Take away what a chip stands for."""
        cleared: dict[str, dict[str, object]] = {
            "q": {"search": ""},
            "price_in": {"input_min": None, "input_max": None},
            "price_out": {"output_min": None, "output_max": None},
            "context": {"context_min": None},
        }
        if facet in cleared:
            self._answer(self._in_force().with_query(**cleared[facet]))
        else:
            self._answer(self._in_force().toggled(str(facet), str(value)))

    @handler(STORE)
    def clear(self) -> None:
        """All filters and the search; the order and the view stay."""
        asked, query = self._in_force(), self._in_force().query
        self.provider_search = ""
        self._answer(replace(asked, query=StoreQuery(sort=query.sort, descending=query.descending, limit=PAGE_ROWS)))

    @handler(STORE)
    def pick_price_in(self, low: float | None, high: float | None) -> None:
        """USD per 1M input tokens; None is any."""
        self._answer(self._in_force().with_query(input_min=_nano(low), input_max=_nano(high)))

    @handler(STORE)
    def pick_price_out(self, low: float | None, high: float | None) -> None:
        """USD per 1M output tokens; None is any."""
        self._answer(self._in_force().with_query(output_min=_nano(low), output_max=_nano(high)))

    @handler(STORE)
    def pick_context(self, low: float | None, _high: float | None) -> None:
        """Tokens; None is any."""
        self._answer(self._in_force().with_query(context_min=int(low) if isinstance(low, int | float) and 0 < low < 10**12 else None))

    @handler(STORE)
    def order_by(self, order: str) -> None:
        """Choosing the order in force turns it round."""
        query = self._in_force().query
        if order in dict(ORDERS):
            turned = order == query.sort and not self.turned
            self._answer(self._in_force().with_query(sort=order, descending=(order in LARGEST_FIRST) != turned))

    @handler(STORE)
    def show_as(self, view: str) -> None:
        if view in VIEWS:
            self._asked = replace(self._in_force(), view=view)
            self.view, self.address = view, write_address(self._asked)

    @handler(STORE)
    def turn_page(self, by: int) -> None:
        offset = self._in_force().query.offset + PAGE_ROWS * (1 if by > 0 else -1)
        if 0 <= offset < max(self.total, 1):
            self._answer(self._in_force().with_query(offset=offset))

    @handler(STORE)
    def find_provider(self, text: str) -> None:
        """Only the list of providers changes, not what is asked."""
        self.provider_search = str(text).strip()[:80]
        page = runtime.current().catalog.search(self._in_force().query)
        self._show_providers(page.facets.get("provider", ()))

    def _in_force(self) -> Asked:
        """What is asked now. A state that was forgotten while its page stood open starts again from the page's address."""
        return self._asked if self.answered else read_address(self.router.url.query)

    def _try_again(self) -> None:
        """Where there is nothing yet to fall back on, a failure belongs on the page and not into a toast."""
        try:
            self._answer(self._asked)
        except Exception as error:
            told = explain(error, new_id("request"), "StoreState.load")
            self.failure, self.failure_id = told["message"], told["request_id"]

    def _answer(self, asked: Asked) -> None:
        """Ask the catalog, keep a page that lies beyond the end from being empty, and show the result."""
        catalog = runtime.current().catalog
        page = catalog.search(asked.query)
        if not page.items and page.total and asked.query.offset:
            asked = asked.with_query(offset=(page.total - 1) // PAGE_ROWS * PAGE_ROWS)
            page = catalog.search(asked.query)
        self._asked = asked
        self._show(page)
        self.subline = subline_text(page, catalog.freshness(), runtime.current().clock.now())

    def _show(self, page: StorePage) -> None:
        query = self._asked.query
        self.rows = [model_row(item) for item in page.items]
        self.total, self.headline = page.total, page.headline
        facets = {name: choices(FACETS[name], values) for name, values in page.facets.items() if name in FACETS}
        self.takes_in, self.gives_out = facets.get("modality_in", []), facets.get("modality_out", [])
        self.can_do, self.modes = facets.get("capability", []), facets.get("mode", [])
        self.statuses, self.terms = facets.get("status", []), facets.get("open_weights", [])
        self._show_providers(page.facets.get("provider", ()))
        self.chips, self.filters = _chips(query, page), self._asked.filters
        self.search, self.order, self.view = query.search, query.sort, self._asked.view
        self.descending, self.turned = query.descending, query.descending != (query.sort in LARGEST_FIRST)
        self.price_in = [_usd(query.input_min), _usd(query.input_max)]
        self.price_out = [_usd(query.output_min), _usd(query.output_max)]
        self.context_from = query.context_min
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


def subline_text(page: StorePage, freshness: Freshness, now: datetime) -> str:
    """Whose prices the rows show, how well they are supported, and how old they are."""
    if not freshness.sources:
        return ""
    own = any(item.own_offer is not None for item in page.items)
    whose = "The maker's price, or the cheapest seller's" if own else "The cheapest price of each model"
    read = age_text(max(source.read_at for source in freshness.sources), now)
    if not page.average_sources:
        return f"{whose}; read {read}."
    count = f"{page.average_sources:.1f}".removesuffix(".0")
    return f"{whose}; from {count} {'source' if count == '1' else 'sources'} on average, read {read}."


def storefront(page: StorePage, freshness: Freshness, now: datetime) -> Storefront:
    """The snapshot that the first paint shows; its ages are put right as soon as the socket is open."""
    return Storefront(
        headline=page.headline,
        total=page.total,
        provider_count=len(page.facets.get("provider", ())),
        rows=[model_row(item) for item in page.items],
        facets={name: choices(FACETS[name], values) for name, values in page.facets.items() if name in FACETS},
        freshness=freshness_text(freshness, now),
        subline=subline_text(page, freshness, now),
    )


def _chips(query: StoreQuery, page: StorePage) -> list[Chip]:
    found = [Chip("q", "", f"“{query.search}”")] if query.search else []
    suffix = {"in": " in", "out": " out"}
    for name, values in page.facets.items():
        short = FACETS.get(name, "")
        found += [Chip(short, one.value, one.label + suffix.get(short, "")) for one in values if one.selected]
    for facet, word, low, high in (
        ("price_in", "Input", query.input_min, query.input_max),
        ("price_out", "Output", query.output_min, query.output_max),
    ):
        if low is not None and high is not None:
            found.append(Chip(facet, "", f"{word} ${price_text(low)} to ${price_text(high)}"))
        elif high is not None:
            found.append(Chip(facet, "", f"{word} ≤ ${price_text(high)}"))
        elif low is not None:
            found.append(Chip(facet, "", f"{word} ≥ ${price_text(low)}"))
    if query.context_min:
        found.append(Chip("context", "", f"Context ≥ {tokens_text(query.context_min)}"))
    return found


def _nano(usd: object) -> int | None:
    """What a browser sends may be anything; only a sane number of dollars is taken."""
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd <= 1_000_000:
        return None
    return round(usd * NANO_PER_USD)


def _usd(nano: int | None) -> float | None:
    return None if nano is None else float(usd_from_nano(nano))
