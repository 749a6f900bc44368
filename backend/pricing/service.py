"""Prices for the store: what each offer costs and why, and models side by side. Programs and pages read here; changes are in `edits`."""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import total_ordering
from itertools import takewhile
from typing import Any

from backend.kernel.clock import Clock
from backend.kernel.db import Database, patiently
from backend.kernel.errors import BadRequest, ModelNotFound
from backend.kernel.memory import Idle, give_back_soon
from backend.kernel.paging import Page, clamp_limit, decode_cursor, encode_cursor
from backend.pricing import repository
from backend.pricing.book import PriceBook
from backend.pricing.changes import ANY, BY_DEFAULT, Look, PriceNews, Wish, changes_of, new_sellers, position
from backend.pricing.comparison import cheapest_first, compare, cost_at_offer
from backend.pricing.history import PriceHistory, PriceSeries, headline, series_of
from backend.pricing.schemas import Comparison, ModelCost, ModelPrices, Named, Names, OfferPrices, StatedPrice
from backend.pricing.stated import stated_price, tier_of
from backend.pricing.workload import Workload

Row = Mapping[str, Any]
_News = tuple[tuple[PriceNews, ...], tuple[PriceNews, ...]]
"""The past, the newest first, and what is to come, the nearest first."""


@total_ordering
class _Newest:
    """A place in a list whose greatest comes first."""

    __slots__ = ("place",)

    def __init__(self, place: tuple[str, ...]) -> None:
        self.place = place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Newest) and self.place == other.place

    def __lt__(self, other: "_Newest") -> bool:
        return self.place > other.place

    def __hash__(self) -> int:
        return hash(self.place)


class PricingService:
    """`names` says what a model is called and where it is sold; `book` holds the prices in force."""

    def __init__(self, db: Database, clock: Clock, book: PriceBook, names: Names) -> None:
        self._db = db
        self._clock = clock
        self._book = book
        self._names = names
        self._told: _News = ((), ())
        self._told_at: object = None
        self._with_sellers: _News | None = None
        self._sellers_idle = Idle(self._forget_sellers)
        self._telling = asyncio.Lock()

    async def model(self, name: str) -> ModelPrices:
        """Every offer of a model with all that is stated about its price, in force or not.

        Raises:
            ModelNotFound: the name is no model's, offer's or alias.
        """
        named, offer_ids = self._named(name)
        async with self._db.read() as session:
            rows = {row["id"]: row for row in await repository.offers(session, offer_ids)}
            runs = await repository.readings(session)
            stated: dict[str, list[StatedPrice]] = defaultdict(list)
            for price in await repository.stated(session, offer_ids, self._clock.now()):
                stated[price["offer_id"]].append(stated_price(price, runs.get(price["source"])))
        offers = tuple(
            _offer_prices(rows[offer_id], stated[offer_id], self._names.origin(offer_id).doubt)
            for offer_id in offer_ids
            if offer_id in rows
        )
        for offer in offers:
            lead = _lead(offer)
            if lead is not None:
                return ModelPrices(named.id, named.name, offers, offer.id, lead)
        return ModelPrices(named.id, named.name, offers, None, None)

    async def history(self, name: str) -> PriceHistory:
        """What a model's offers cost over time: steps per offer, component and source, and what is announced.

        Raises:
            ModelNotFound: the name is no model's, offer's or alias.
        """
        named, offer_ids = self._named(name)
        async with self._db.read() as session:
            prices = await repository.prices_ever(session, offer_ids)
            log = await repository.changes_of_offers(session, offer_ids)
            runs = await repository.readings(session)
        labels = {row["tier"]: tier_of(row).label for row in prices}
        series = tuple(series_of(prices, log, labels))
        now = self._clock.now()
        announced = tuple(
            (row["offer_id"], stated_price(row, runs.get(row["source"])))
            for row in prices
            if row["status"] == "announced" and row["effective_at"] > now
        )
        return PriceHistory(named.id, named.name, series, announced, headline(named.name, series, now.date()))

    async def input_over_time(self, offer_ids: Sequence[str]) -> dict[str, PriceSeries]:
        """By offer id, what an input token cost without conditions, as it is to be drawn; offers of which nothing is known are left out.
        For lists: `history` says everything about one model."""
        async with self._db.read() as session:
            prices = await repository.prices_ever(session, offer_ids, only="input")
            log = await repository.changes_of_offers(session, offer_ids)
        series = series_of(prices, log, {})
        return {one.offer_id: one for one in series if one.leading and not one.tier and (one.component, one.unit) == ("input", "token")}

    async def compare(self, names: Sequence[str], workload: Workload) -> Comparison:
        """Models side by side for one workload, at today's prices; no database but for which offers are on sale.

        Raises:
            ModelNotFound: naming the first that is not known.
        """
        now = self._clock.now()
        asked = [(name, *self._named(name)) for name in names]
        async with self._db.read() as session:
            wanted = [offer_id for _, _, offer_ids in asked for offer_id in offer_ids]
            rows = {row["id"]: row for row in await repository.offers(session, wanted)}
        models, cards = [], {}
        for name, named, offer_ids in asked:
            costs = []
            for offer_id in offer_ids:
                row = rows.get(offer_id)
                if row is None or row["status"] == "retired":
                    continue
                card = self._book.card(offer_id)
                if card is not None:
                    cards[offer_id] = card
                cost = cost_at_offer(offer_id, row["provider_id"], card, workload, now)
                costs.append(replace(cost, origin=self._names.origin(offer_id)))
            models.append(ModelCost(named.id, named.name, name, cheapest_first(costs)))
        return compare(models, cards, workload, now)

    def one_offer(self, name: str, offer_id: str | None) -> tuple[Named, str]:
        """The model and the one offer that are meant: the given offer of the model, or its only one.

        Raises:
            ModelNotFound: the name is no model's, offer's or alias. BadRequest: the offer is none of the model's, or has to be named.
        """
        named, offer_ids = self._named(name)
        if offer_id is None and len(offer_ids) == 1:
            return named, offer_ids[0]
        if offer_id is None or offer_id not in offer_ids:
            some = ", ".join(offer_ids[:5]) + (" …" if len(offer_ids) > 5 else "")
            raise BadRequest(f"offer must be one of those of {named.id}: {some}.", param="offer")
        return named, offer_id

    async def changes(
        self,
        since: date | None = None,
        kinds: Collection[str] = BY_DEFAULT,
        limit: int = 50,
        cursor: str | None = None,
        wish: Wish = ANY,
    ) -> Page[PriceNews]:
        """What changed, the newest first, until today; `limit` is capped at 200.

        Raises:
            BadRequest: the cursor is none of this list's.
        """
        before = tuple(decode_cursor(cursor, str, str)) if cursor is not None else None
        past, _ = await self._news(sellers="offer" in kinds)
        start = 0
        if before is not None:
            start = bisect_right(past, _Newest(before), key=lambda news: _Newest(position(news)))
        found: list[PriceNews] = []
        limit = clamp_limit(limit)
        for news in past[start:]:
            if since is not None and news.day < since:
                break
            if news.kind in kinds and wish.fits(news):
                if len(found) == limit:
                    return Page(found, encode_cursor(*position(found[-1])))
                found.append(news)
        return Page(found)

    async def all_changes(self, since: date, kinds: Collection[str] = BY_DEFAULT, wish: Wish = ANY) -> list[PriceNews]:
        """As `changes`, all at once from that day on: for whoever counts them."""
        past, _ = await self._news(sellers="offer" in kinds)
        return [news for news in takewhile(lambda news: news.day >= since, past) if news.kind in kinds and wish.fits(news)]

    async def coming(self, kinds: Collection[str] = BY_DEFAULT, wish: Wish = ANY) -> list[PriceNews]:
        """Prices that are announced and ends that are set, the nearest first."""
        return [news for news in (await self._news(sellers=False))[1] if news.kind in kinds and wish.fits(news)]

    def wish(self, model: str | None, provider: str | None, text: str | None) -> Wish:
        """What is wanted, from a name of a model, a provider's id and words.

        Raises:
            ModelNotFound: the name is no model's, offer's or alias.
        """
        named = self._named(model)[0].id if model is not None else None
        return Wish(named, provider.strip().lower() if provider is not None else None, tuple((text or "").lower().split()))

    async def _news(self, *, sellers: bool) -> _News:
        """Made when first asked for and again when the store has changed, or the day; with news of who sells what, which is most of it,
        when somebody asks for `sellers`, and held for a while."""
        now = self._clock.now()
        if sellers:
            self._sellers_idle.used()
        async with self._telling:
            with patiently():
                async with self._db.read() as session:
                    version = (now.date(), *await repository.news_version(session))
                    stale = version != self._told_at
                    stock = await repository.news_stock(session) if stale else None
                    looks = await repository.looks(session) if sellers and (stale or self._with_sellers is None) else None
            if stock is not None:
                self._told, self._with_sellers = await asyncio.to_thread(changes_of, stock, now), None
                self._told_at = version
                give_back_soon()
            if not sellers:
                return self._told
            if looks is not None:
                self._with_sellers = await asyncio.to_thread(_with_sellers, self._told, looks, now)
                give_back_soon()
            assert self._with_sellers is not None
            return self._with_sellers

    def _forget_sellers(self) -> None:
        self._with_sellers = None

    def _named(self, name: str) -> tuple[Named, list[str]]:
        named = self._names.summary(name)
        if named is None:
            raise ModelNotFound(f"There is no model {name[:100]!r} in the catalog.", param="id")
        return named, [f"{provider}/{upstream_id}" for provider, upstream_id in self._names.offers_named(name)]


def _with_sellers(told: _News, looks: Iterable[Look], now: datetime) -> _News:
    past, coming = told
    return tuple(sorted((*past, *new_sellers(looks, now)), key=position, reverse=True)), coming


def _offer_prices(row: Row, prices: Sequence[StatedPrice], doubt: str | None) -> OfferPrices:
    return OfferPrices(
        id=row["id"],
        provider=row["provider_id"],
        status=row["status"],
        state=row["price_state"],
        agreement=row["price_agreement"],
        sources=row["price_sources"],
        prices=tuple(sorted(prices, key=lambda price: (not price.in_force, bool(price.tier), price.tier, price.component, price.source))),
        doubt=doubt,
    )


def _lead(offer: OfferPrices) -> StatedPrice | None:
    """Input tokens before output tokens before anything else, of the base prices in force; None for an offer without any."""
    if offer.state not in ("priced", "free"):
        return None
    base = [price for price in offer.prices if price.in_force and not price.tier]
    order = {("input", "token"): 0, ("output", "token"): 1}
    return min(base, key=lambda price: order.get((price.component, price.unit), 2), default=None)
