"""What changed: prices, arrivals and ends, as one list, the newest first. Pure; made of what the store and the log of maps hold.

The same change told by several sources is one change: the seller's own date is believed before a reading of ours, and that before the day
on which a map was seen to differ.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from backend.kernel.money import format_usd, nano_from_usd
from backend.pricing.outliers import beyond_any_price

Row = Mapping[str, Any]
KINDS = ("price", "arrival", "offer", "deprecation", "announced")
BY_DEFAULT = frozenset(KINDS) - {"offer"}
"""Another seller of a model that was there before is news by the thousand; who wants it asks for it."""
SAME_CHANGE = timedelta(days=60)
_TRUST = {"seller": 0, "store": 1, "map": 2}
_PAIR = ("input", "output")


@dataclass(frozen=True, slots=True)
class Rate:
    """One component's price before and after, nano-dollars per 1M units; None where none is known."""

    component: str
    unit: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class PriceNews:
    """One change. `kind`: price, arrival (a model was released), offer (sold by one more), deprecation (it ends), announced (a price
    to come).

    `dated_by`: seller (or the maker), store (when it was read here), map (between `after` and `day` a public map changed). `reverted`:
    the map took it back within 60 days. `also_at`: the ids of other providers that it is of, where a model ends at several on one day.
    """

    id: str
    day: date
    kind: str
    model_id: str
    model_name: str
    offer_id: str | None
    provider: str | None
    provider_name: str | None
    rates: tuple[Rate, ...]
    dated_by: str
    after: date | None
    source: str
    source_url: str | None
    reverted: bool = False
    also_at: tuple[str, ...] = ()

    @property
    def share(self) -> float | None:
        """The change of the first component that has both prices: -0.8 for a fall by 80 %."""
        for rate in self.rates:
            if rate.before and rate.after is not None:
                return rate.after / rate.before - 1
        return None

    @property
    def text(self) -> str:
        """One sentence for people."""
        where = f" at {self.provider_name}" if self.provider_name else ""
        if self.kind == "arrival":
            return f"{self.model_name} was released"
        if self.kind == "offer":
            return f"{self.model_name} is sold{where}, too"
        if self.kind == "deprecation":
            return f"{self.model_name} ends{where}"
        amounts = ", ".join(_amounts(rate) for rate in self.rates[:2])
        if self.kind == "announced":
            return f"{self.model_name}{where} is going to cost {amounts}"
        share = self.share
        if share is None:
            return f"{self.model_name}{where} is priced anew: {amounts}"
        return f"{self.model_name}{where} costs {100 * abs(share):.0f} % {'less' if share < 0 else 'more'}: {amounts}"


def _amounts(rate: Rate) -> str:
    what = {"input": "in", "output": "out"}.get(rate.component, rate.component.replace("_", " "))
    unit = "1M" if rate.unit == "token" else f"1M {rate.unit}s"
    after = "unknown" if rate.after is None else format_usd(rate.after)
    return f"{format_usd(rate.before)} → {after} {what} per {unit}" if rate.before is not None else f"{after} {what} per {unit}"


class Look(NamedTuple):
    """An offer of the store as a map came to know it: on `day`, and not yet on `after_day`, which is None for the map's first look."""

    id: int
    day: date
    after_day: date | None
    offer_id: str
    source: str
    source_url: str | None
    model_id: str
    model_name: str
    provider: str
    provider_name: str


@dataclass(frozen=True, slots=True)
class Wish:
    """Which changes somebody wants: of a model and at a provider, by id, None for all; `words`, each in the name of model, offer or
    provider."""

    model: str | None = None
    provider: str | None = None
    words: tuple[str, ...] = ()

    def fits(self, news: PriceNews) -> bool:
        if self.model is not None and news.model_id != self.model:
            return False
        if self.provider is not None and news.provider != self.provider and self.provider not in news.also_at:
            return False
        if not self.words:
            return True
        name = f"{news.model_name} {news.model_id} {news.offer_id} {news.provider_name}".lower()
        return all(word in name for word in self.words)


ANY = Wish()


@dataclass(frozen=True, slots=True)
class Stock:
    """What the list is made of. `models`, which people may see, and `offers`, of these and of hidden ones, by id; the rest the oldest
    first. `log`: prices that maps changed."""

    models: Mapping[str, Row]
    offers: Mapping[str, Row]
    providers: Mapping[str, str]
    log: Sequence[Row]
    prices: Sequence[Row]


def changes_of(stock: Stock, now: datetime) -> tuple[tuple[PriceNews, ...], tuple[PriceNews, ...]]:
    """All that has changed, the newest first, and what is still to come, the nearest first; `new_sellers` are told apart."""
    today = now.astimezone(UTC).date()
    found = [*_told_once([*_repriced(stock, now), *_logged_prices(stock)]), *_arrivals(stock, today), *_ends(stock)]
    coming = [*_announced(stock, now), *(news for news in found if news.day > today)]
    past = [news for news in found if news.day <= today]
    return tuple(sorted(past, key=position, reverse=True)), tuple(sorted(coming, key=position))


def position(news: PriceNews) -> tuple[str, str]:
    """Where it stands in the list."""
    return news.day.isoformat(), news.id


def _news(stock: Stock, id: str, day: date, kind: str, offer_id: str, **more: Any) -> PriceNews:
    offer = stock.offers[offer_id]
    model, provider = stock.models[offer["model_id"]], offer["provider_id"]
    fields = {"rates": (), "after": None, "source_url": None} | more
    return PriceNews(
        id, day, kind, model["id"], model["name"], offer_id, provider, stock.providers.get(provider, provider), **fields
    )  # fmt: skip


def _logged_prices(stock: Stock) -> Iterable[PriceNews]:
    for row in stock.log:
        if not _is_shown(stock, row["offer_id"]):
            continue
        rates = []
        for component in _PAIR:
            before, after = (Decimal(row[side][component]) if component in row[side] else None for side in ("before", "rates"))
            if any(amount is not None and beyond_any_price(component, "token", amount) for amount in (before, after)):
                break
            if before != after:
                rates.append(Rate(component, "token", _nano(before), _nano(after)))
        else:
            if any(rate.after is not None for rate in rates):
                yield _news(
                    stock, f"log_{row['id']}", row["day"], "price", row["offer_id"], rates=tuple(rates), dated_by="map",
                    after=row["after_day"], source=row["source"], source_url=row["source_url"], reverted=row["reverted"],
                )  # fmt: skip


def _repriced(stock: Stock, now: datetime) -> Iterable[PriceNews]:
    """A price that ended on the instant on which another of the same source and place began."""
    ended = {_spot(row, "expires_at"): row for row in stock.prices if row["expires_at"] is not None}
    changed: dict[tuple[str, str, datetime], list[tuple[Row, Row]]] = defaultdict(list)
    for row in stock.prices:
        before = ended.get(_spot(row, "effective_at"))
        if before is None or before["id"] == row["id"] or row["effective_at"] > now or row["status"] == "announced":
            continue
        if before["nano_per_million"] != row["nano_per_million"] and _is_shown(stock, row["offer_id"]):
            changed[row["offer_id"], row["source"], row["effective_at"]].append((before, row))
    for (offer_id, source, at), pairs in changed.items():
        pairs.sort(key=lambda pair: (pair[1]["component"] not in _PAIR, pair[1]["component"]))
        rates = tuple(Rate(row["component"], row["unit"], before["nano_per_million"], row["nano_per_million"]) for before, row in pairs)
        row = pairs[0][1]
        dated_by = "seller" if row["effective_at"] != row["observed_at"] else "store"
        yield _news(
            stock, row["id"], at.astimezone(UTC).date(), "price", offer_id, rates=rates, dated_by=dated_by, source=source,
            source_url=row["source_url"],
        )  # fmt: skip


def _spot(row: Row, instant: str) -> tuple[Any, ...]:
    return row["offer_id"], row["source"], row["component"], row["unit"], row["tier"], row[instant]


def _told_once(news: Iterable[PriceNews]) -> list[PriceNews]:
    """One of those that say the same of an offer within 60 days: the best dated, then the earliest."""
    kept: list[PriceNews] = []
    known: dict[tuple[Any, ...], list[date]] = defaultdict(list)
    for one in sorted(news, key=lambda one: (_TRUST[one.dated_by], one.day, one.id)):
        same = known[one.offer_id, tuple((rate.component, rate.after) for rate in one.rates if rate.component in _PAIR) or one.id]
        if any(abs(one.day - day) <= SAME_CHANGE for day in same):
            continue
        same.append(one.day)
        kept.append(one)
    return kept


def _announced(stock: Stock, now: datetime) -> Iterable[PriceNews]:
    coming: dict[tuple[str, str, datetime], list[Row]] = defaultdict(list)
    standing = {(row["offer_id"], row["source"], row["component"], row["unit"]): row for row in stock.prices if row["effective_at"] <= now}
    for row in stock.prices:
        if row["status"] == "announced" and row["effective_at"] > now and not row["tier"] and _is_shown(stock, row["offer_id"]):
            coming[row["offer_id"], row["source"], row["effective_at"]].append(row)
    # The nearest day first, as the rows are: what is announced for a later one changes what has been announced before it.
    for (offer_id, source, at), rows in coming.items():
        rows.sort(key=lambda row: (row["component"] not in _PAIR, row["component"]))
        rates = []
        for row in rows:
            place = (offer_id, source, row["component"], row["unit"])
            standing_then, standing[place] = standing.get(place), row
            before = standing_then["nano_per_million"] if standing_then is not None else None
            if before != row["nano_per_million"]:
                rates.append(Rate(row["component"], row["unit"], before, row["nano_per_million"]))
        if rates:
            yield _news(
                stock, rows[0]["id"], at.astimezone(UTC).date(), "announced", offer_id, rates=tuple(rates), dated_by="seller",
                source=source, source_url=rows[0]["source_url"],
            )  # fmt: skip


def _arrivals(stock: Stock, today: date) -> Iterable[PriceNews]:
    for model_id, model in stock.models.items():
        day = model["release_date"]
        if day is not None and day <= today:
            yield PriceNews(
                f"arrival_{model_id}", day, "arrival", model_id, model["name"], None, None, None, (), "seller", None, "catalog", None
            )  # fmt: skip


def new_sellers(looks: Iterable[Look], now: datetime) -> list[PriceNews]:
    """Who came to sell a model until today, by the first look at each offer; looks are the oldest first."""
    today = now.astimezone(UTC).date()
    seen: set[str] = set()
    found: list[PriceNews] = []
    for look in looks:
        if look.offer_id in seen:
            continue
        seen.add(look.offer_id)
        if look.after_day is not None and look.day <= today:
            found.append(
                PriceNews(
                    f"log_{look.id}", look.day, "offer", look.model_id, look.model_name, look.offer_id, look.provider, look.provider_name,
                    (), "map", look.after_day, look.source, look.source_url,
                )
            )  # fmt: skip
    return found


def _ends(stock: Stock) -> Iterable[PriceNews]:
    """One for all offers of a model that end on the same day."""
    ending: dict[tuple[str, date], list[str]] = defaultdict(list)
    for offer_id, offer in stock.offers.items():
        if offer["deprecation_date"] is not None and offer["model_id"] in stock.models:
            ending[offer["model_id"], offer["deprecation_date"]].append(offer_id)
    for (model_id, day), offer_ids in ending.items():
        news = _news(stock, f"end_{model_id}_{day}", day, "deprecation", min(offer_ids), dated_by="seller", source="catalog")
        sellers = sorted({stock.providers.get(stock.offers[one]["provider_id"], stock.offers[one]["provider_id"]) for one in offer_ids})
        also_at = tuple(sorted({stock.offers[one]["provider_id"] for one in offer_ids} - {news.provider}))
        yield replace(
            news, also_at=also_at, provider_name=", ".join(sellers[:3]) + (f" and {len(sellers) - 3} more" if len(sellers) > 3 else "")
        )


def _is_shown(stock: Stock, offer_id: str) -> bool:
    """Of a hidden model nothing is told, nor of an offer that the store does not have: maps know many, and deleted ones are gone."""
    offer = stock.offers.get(offer_id)
    return offer is not None and offer["model_id"] in stock.models


def _nano(usd: Decimal | None) -> int | None:
    return None if usd is None else nano_from_usd(usd)
