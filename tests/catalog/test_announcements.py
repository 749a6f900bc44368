"""Prices that are announced, moved, taken back and announced anew: what is in force on the day is what was said last."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.catalog.ingest import has_day_come, ingest
from backend.catalog.models import models_of, offers_of
from backend.catalog.repository import OFFER, PRICE
from backend.catalog.service import CatalogService
from backend.catalog.sources.genai_prices import SINCE_ALWAYS
from backend.catalog.writing import PricePlan, Stored, plan_prices
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.pricing.book import PriceBook
from backend.pricing.quotes import Quote
from backend.pricing.service import PricingService
from tests.catalog.conftest import Notebook, offer, quote
from tests.pricing.conftest import NOW

DAY = timedelta(days=1)
OFFER_ID = "openai/gpt-9"


def says(*quotes: Quote) -> list[Any]:
    return [replace(offer(OFFER_ID), quotes=(*quotes, quote("output", "4")))]


def until(day: datetime, usd: str = "2") -> Quote:
    return quote("input", usd, effective_at=SINCE_ALWAYS, expires_at=day)


def since(day: datetime, usd: str = "1", **more: Any) -> Quote:
    return quote("input", usd, effective_at=day, **more)


def always(usd: str = "2") -> Quote:
    return quote("input", usd, effective_at=SINCE_ALWAYS)


class Told:
    """What everybody who reads prices makes of them: what is charged, whether there is anything left to do, and what is said to come."""

    def __init__(self, db: Database, clock: FixedClock) -> None:
        self.db, self.clock = db, clock
        self.catalog = CatalogService(db, clock)
        self.book = PriceBook(db, clock)

    async def charged(self) -> int | None:
        await self.book.load()
        card = self.book.card(OFFER_ID)
        assert card is not None
        return next((line.nano_per_million for line in card.lines if line.component == "input"), None)

    async def coming(self) -> list[str]:
        await self.catalog.load()
        await self.book.load()
        pricing = PricingService(self.db, self.clock, self.book, self.catalog)
        history = await pricing.history("gpt-9")
        detail = await self.catalog.model("gpt-9")
        assert detail is not None
        announced = [price.usd_per_million for _, price in history.announced]
        assert [line.usd_per_million for line in detail.offers[0].prices if line.status == "announced"] == announced
        news = await pricing.coming()
        assert len([one for one in news if one.kind == "announced"]) == len(announced)
        today = self.clock.now().date()
        assert not [step for one in history.series for step in one.steps if step.start is not None and step.start > today]
        return announced


@pytest.fixture
def told(database: Database, clock: FixedClock) -> Told:
    return Told(database, clock)


@pytest.mark.parametrize("again", [False, True], ids=["dropped", "dropped and announced anew"])
async def test_an_announcement_that_is_dropped_never_comes_into_force(told: Told, clock: FixedClock, *, again: bool) -> None:
    change = clock.now() + 2 * DAY
    book = Notebook(offers=says(until(change), since(change)))
    await ingest(told.db, clock, [book])
    assert await told.coming() == ["1"]
    clock.advance(DAY / 2)
    book.offers = says(always())
    await ingest(told.db, clock, [book])
    assert await told.coming() == []
    if again:
        clock.advance(DAY / 2)
        book.offers = says(until(change), since(change))
        await ingest(told.db, clock, [book])
        assert await told.coming() == ["1"]
    clock.advance(2 * DAY)
    assert await told.charged() == (10**9 if again else 2 * 10**9)
    await ingest(told.db, clock, [book])
    assert not await has_day_come(told.db, clock)
    assert await told.charged() == (10**9 if again else 2 * 10**9)
    (report,) = await ingest(told.db, clock, [book])
    assert report.skipped


@pytest.mark.parametrize("move", [3 * DAY, -DAY], ids=["later", "earlier"])
async def test_an_announcement_that_is_moved_comes_on_its_new_day_and_once(told: Told, clock: FixedClock, move: timedelta) -> None:
    change = clock.now() + 2 * DAY
    book = Notebook(offers=says(until(change), since(change)))
    await ingest(told.db, clock, [book])
    clock.advance(DAY / 2)
    book.offers = says(until(change + move), since(change + move))
    await ingest(told.db, clock, [book])
    assert await told.coming() == ["1"]
    for moment in sorted([change, change + move]):
        clock.advance(moment - clock.now())
        expected = 10**9 if moment >= change + move else 2 * 10**9
        assert await told.charged() == expected
        await ingest(told.db, clock, [book])
        assert (await told.charged(), await has_day_come(told.db, clock)) == (expected, False)


async def test_a_promotion_is_told_everywhere_alike_and_ends_on_its_day(told: Told, clock: FixedClock) -> None:
    begin, end = clock.now() + 2 * DAY, clock.now() + 4 * DAY
    book = Notebook(offers=says(until(begin), since(begin, expires_at=end), since(end, "2")))
    await ingest(told.db, clock, [book])
    assert await told.coming() == ["1", "2"]
    clock.advance(DAY)
    for moment, nano in ((clock.now(), 2), (begin, 1), (end, 2)):
        clock.advance(moment - clock.now())
        assert await told.charged() == nano * 10**9
    await ingest(told.db, clock, [book])
    assert (await told.charged(), await told.coming()) == (2 * 10**9, [])


async def test_a_store_that_kept_a_dropped_announcement_is_healed_by_the_next_reading(told: Told, clock: FixedClock) -> None:
    """As stores were left: ended, and announced all the same."""
    change = clock.now() + DAY
    book, other = Notebook(offers=says(until(change), since(change))), Notebook("gone", offers=says(until(change), since(change, "1.5")))
    await ingest(told.db, clock, [book, other])
    async with told.db.write() as unit:
        left = sa.update(PRICE).where(PRICE.c.status == "announced").values(expires_at=clock.now() + DAY / 4)
        await unit.session.execute(left)
    clock.advance(2 * DAY)
    assert await has_day_come(told.db, clock)
    book.offers = says(always())
    await ingest(told.db, clock, [book])
    assert (await told.charged(), await told.coming(), await has_day_come(told.db, clock)) == (2 * 10**9, [], False)


async def test_an_offer_that_nobody_names_any_more_has_nothing_to_come(told: Told, clock: FixedClock) -> None:
    change = clock.now() + DAY
    one, other = Notebook("one", offers=says(until(change), since(change))), Notebook("other", offers=[offer("acme/m", "1", "2")])
    await ingest(told.db, clock, [one, other])
    await ingest(told.db, clock, [other], force=True)
    clock.advance(2 * DAY)
    assert await has_day_come(told.db, clock)
    await ingest(told.db, clock, [other])
    assert not await has_day_come(told.db, clock)


async def test_what_waits_for_a_person_waits_no_longer_than_its_source_says_so(told: Told, clock: FixedClock) -> None:
    book = Notebook(offers=says(quote("input", "2")))
    await ingest(told.db, clock, [book])
    clock.advance(DAY)
    book.offers = says(quote("input", "30"))
    assert (await ingest(told.db, clock, [book]))[0].quarantined == 1
    clock.advance(DAY)
    book.offers = says(quote("input", "2"))
    await ingest(told.db, clock, [book])
    async with told.db.read() as session:
        assert (await session.execute(sa.select(PRICE.c.id).where(PRICE.c.status == "quarantined"))).all() == []
    assert await told.charged() == 2 * 10**9


async def test_an_offers_last_day_comes_once_though_a_person_prices_it_and_no_source_names_it(told: Told, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-8", "2", "8"), offer(OFFER_ID, "2", "8", deprecation_date=(clock.now() + 3 * DAY).date())])
    await ingest(told.db, clock, [book])
    async with told.db.write() as unit:
        await unit.session.execute(sa.update(PRICE).where(PRICE.c.offer_id == OFFER_ID).values(source="operator"))
    clock.advance(DAY)
    book.offers = book.offers[:1]
    await ingest(told.db, clock, [book])
    statuses = []
    for _ in range(2):
        async with told.db.read() as session:
            statuses.append((await session.execute(sa.select(OFFER.c.status).where(OFFER.c.id == OFFER_ID))).scalar_one())
        clock.advance(4 * DAY)
        await ingest(told.db, clock, [book])
        assert not await has_day_come(told.db, clock)
    assert statuses == ["deprecated", "retired"]


class Shelf:
    """A store of one offer's prices in memory, through which plans go as through the database."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def read(self, statement: Sequence[Quote], now: datetime) -> None:
        source = Notebook(offers=says(*statement))
        offers = offers_of([(source.name, 30, source.offers)])
        stored = Stored({}, {}, {OFFER_ID: {"id": OFFER_ID, "model_id": "gpt-9", "mode": "chat"}}, {}, list(self.rows.values()), {})
        self.write(plan_prices(offers, models_of(offers, {}), [source], stored, now))
        again = plan_prices(offers, models_of(offers, {}), [source], replace(stored, prices=list(self.rows.values())), now)
        assert (again.inserts, again.updates, again.rewritten) == ([], [], []), "the same again changes nothing"

    def write(self, plan: PricePlan) -> None:
        for row in plan.inserts:
            places = {(old["component"], old["source"], old["effective_at"]) for old in self.rows.values()}
            assert (row["component"], row["source"], row["effective_at"]) not in places, "the store takes one price of an instant"
            self.rows[row["id"]] = dict(row)
        for row in (*plan.updates, *plan.rewritten):
            self.rows[row["id"]].update(row)

    def of(self, *statuses: str) -> list[dict[str, Any]]:
        return [row for row in self.rows.values() if row["component"] == "input" and row["status"] in statuses]


AMOUNTS = st.sampled_from(["1", "1.5", "2", "3"])
MOMENTS = st.integers(0, 12).map(lambda days: NOW + days * DAY + timedelta(hours=7, minutes=30))


@st.composite
def statements(draw: st.DrawFn) -> list[Quote]:
    """One price list: a price since ever or of no date, and up to three that follow, of which the last may end, or end before it begins."""
    days = sorted(draw(st.sets(MOMENTS, max_size=3)))
    amounts = [draw(AMOUNTS) for _ in range(len(days) + 1)]
    first = quote("input", amounts[0]) if draw(st.booleans()) else always(amounts[0])
    if days:
        first = replace(first, expires_at=days[0]) if first.effective_at else first
    ends = [*days[1:], draw(st.none() | MOMENTS)]
    return [first, *(since(day, usd, expires_at=end) for day, usd, end in zip(days, amounts[1:], ends[: len(days)], strict=True))]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 96), statements()), min_size=1, max_size=5))
def test_what_is_in_force_is_what_was_said_last_and_nothing_stays_due(story: list[tuple[int, list[Quote]]]) -> None:
    shelf, now = Shelf(), NOW
    for hours, statement in story:
        for step in (timedelta(minutes=1), timedelta(hours=hours)):
            now += step
            shelf.read(statement, now)
            counting = [one for one in statement if (one.effective_at or now) <= now and (one.expires_at or now + DAY) > now]
            in_force = [row for row in shelf.of("observed") if row["in_force"]]
            assert len(in_force) == min(1, len(counting))
            assert {Decimal(row["usd_per_million"]) for row in in_force} <= {one.usd_per_million for one in counting}
            to_come = [one for one in statement if one.effective_at and one.effective_at > now]
            sound = [one for one in to_come if one.expires_at is None or one.expires_at > one.effective_at]
            announced = {(row["effective_at"], row["expires_at"], Decimal(row["usd_per_million"])) for row in shelf.of("announced")}
            assert announced == {(one.effective_at, one.expires_at, one.usd_per_million) for one in sound}
            due = [row for row in shelf.rows.values() if row["in_force"] and row["expires_at"] and row["expires_at"] <= now]
            assert not due
