"""Several prices of an operator for one thing: which holds when, what a newer one takes back, and what goes on."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.audit.service import AuditService
from backend.catalog.ingest import has_day_come, ingest
from backend.identity.principal import system
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import Conflict
from backend.pricing import own_prices
from backend.pricing.book import PriceBook
from backend.pricing.edits import OwnPrice, PriceEdits
from tests.catalog.conftest import Notebook, offer
from tests.pricing.conftest import NOW

ADMIN = system("test")
DAY = timedelta(days=1)
Charged = Callable[[datetime], Awaitable[str]]


@pytest.fixture
async def edits(database: Database, clock: FixedClock) -> PriceEdits:
    await ingest(database, clock, [Notebook(offers=[offer("acme/m", "3", "9")])])
    clock.advance(DAY)
    return PriceEdits(database, clock, AuditService(clock))


@pytest.fixture
def charged(database: Database, clock: FixedClock) -> Charged:
    """USD per 1M input tokens at a later moment, which has come by then, with and without a new reading."""

    async def at(moment: datetime) -> str:
        clock.advance(moment - clock.now())
        await ingest(database, clock, [Notebook(offers=[offer("acme/m", "3", "9")])])
        assert not await has_day_come(database, clock)
        book = PriceBook(database, clock)
        await book.load()
        card = book.card("acme/m")
        assert card is not None
        return str(next(line.nano_per_million for line in card.lines if line.component == "input") / Decimal(10**9))

    return at


def own(amount: str, **more: Any) -> OwnPrice:
    return OwnPrice("input", Decimal(amount), **more)


async def test_what_was_to_end_for_an_announcement_goes_on_when_that_is_taken_back(
    edits: PriceEdits, database: Database, clock: FixedClock, charged: Charged
) -> None:
    day = clock.now() + 10 * DAY
    await edits.ingest(ADMIN, "acme/m", [own("2.5")])
    clock.advance(DAY)
    [coming] = await edits.ingest(ADMIN, "acme/m", [own("2.8", effective_at=day)])
    clock.advance(DAY)
    await edits.withdraw(ADMIN, coming.id)
    async with database.read() as session:
        facts = (await session.execute(sa.text("SELECT facts FROM audit_entry WHERE action = 'price.withdraw'"))).scalar_one()
    assert "go_on" in str(facts)
    assert await charged(day + DAY) == "2.5"


async def test_a_price_keeps_the_end_that_it_was_given(edits: PriceEdits, clock: FixedClock, charged: Charged) -> None:
    begin, end = clock.now() + 5 * DAY, clock.now() + 8 * DAY
    await edits.ingest(ADMIN, "acme/m", [own("2.5", expires_at=end)])
    [coming] = await edits.ingest(ADMIN, "acme/m", [own("2.8", effective_at=begin)])
    await edits.withdraw(ADMIN, coming.id)
    assert [await charged(end - DAY), await charged(end)] == ["2.5", "3"]


async def test_an_announcement_can_be_stated_anew_after_it_was_taken_back(edits: PriceEdits, clock: FixedClock, charged: Charged) -> None:
    day = clock.now() + 5 * DAY
    await edits.ingest(ADMIN, "acme/m", [own("2.5")])
    clock.advance(DAY)
    [coming] = await edits.ingest(ADMIN, "acme/m", [own("2.8", effective_at=day)])
    with pytest.raises(Conflict):
        await edits.ingest(ADMIN, "acme/m", [own("2.9", effective_at=day)])
    await edits.withdraw(ADMIN, coming.id)
    [again] = await edits.ingest(ADMIN, "acme/m", [own("2.9", effective_at=day)])
    assert (again.status, again.usd_per_million) == ("announced", "2.9")
    assert [await charged(day - DAY), await charged(day)] == ["2.5", "2.9"]


async def test_a_price_for_a_time_leaves_what_is_announced_for_later(edits: PriceEdits, clock: FixedClock, charged: Charged) -> None:
    end, day = clock.now() + 5 * DAY, clock.now() + 30 * DAY
    await edits.ingest(ADMIN, "acme/m", [own("2.8", effective_at=day)])
    clock.advance(DAY)
    await edits.ingest(ADMIN, "acme/m", [own("2.6", expires_at=end)])
    assert [await charged(end - DAY), await charged(end), await charged(day)] == ["2.6", "3", "2.8"]


async def test_prices_of_one_request_follow_each_other(edits: PriceEdits, clock: FixedClock, charged: Charged) -> None:
    day = clock.now() + 5 * DAY
    await edits.ingest(ADMIN, "acme/m", [own("2.8", effective_at=day), own("2.6"), own("2.6")])
    assert [await charged(day - DAY), await charged(day)] == ["2.6", "2.8"]
    with pytest.raises(Conflict):
        await edits.ingest(ADMIN, "acme/m", [own("2.2", effective_at=day + DAY), own("2.3", effective_at=day + DAY)])


async def test_the_price_in_force_said_again_leaves_an_announcement(edits: PriceEdits, clock: FixedClock, charged: Charged) -> None:
    day = clock.now() + 5 * DAY
    await edits.ingest(ADMIN, "acme/m", [own("2.5")])
    clock.advance(DAY)
    await edits.ingest(ADMIN, "acme/m", [own("2.8", effective_at=day)])
    clock.advance(DAY)
    await edits.ingest(ADMIN, "acme/m", [own("2.5")])
    assert await charged(day) == "2.8"


HOURS = st.integers(1, 300)
SAID = st.tuples(st.just("say"), st.integers(0, 300), st.none() | HOURS)
STORIES = st.lists(st.tuples(HOURS, SAID | st.tuples(st.just("take back"), st.integers(0, 5), st.none())), min_size=1, max_size=8)


@settings(max_examples=60)
@given(STORIES)
def test_at_every_moment_at_most_one_holds_and_it_is_the_newest_that_was_not_taken_back(story: list[Any]) -> None:
    mine: list[dict[str, Any]] = []
    said: list[tuple[dict[str, Any], datetime, datetime, datetime | None]] = []
    now, numbers = NOW, count()
    for hours, (what, number, length) in story:
        now += timedelta(hours=hours, minutes=1)
        if what == "take back":
            alive = [row for row in mine if row["expires_at"] is None or row["expires_at"] > now]
            if alive:
                gone = alive[number % len(alive)]
                own_prices.take_back(mine, gone, now)
                said = [one for one in said if one[0] is not gone]
        else:
            begins = now + timedelta(hours=number)
            ends = begins + timedelta(hours=length) if length else None
            row = {"id": next(numbers), "offer_id": "acme/m", "component": "input", "unit": "token", "tier": "", "extra": {"per": 1}}
            row |= {"status": "announced" if begins > now else "observed", "in_force": False, "reason": None}
            row |= {"effective_at": begins, "expires_at": ends}
            covered = [one for one in said if one[2] >= begins and _meet(one, begins, ends)]
            said = [one for one in said if one not in covered]
            own_prices.add(mine, row, now)
            said.append((row, now, begins, ends))
        for later in (now + timedelta(hours=step, seconds=1) for step in range(0, 700, 23)):
            holds = [
                row for row in mine if row["status"] != "withdrawn" and row["effective_at"] <= later < (row["expires_at"] or later + DAY)
            ]
            following = sorted((one for one in said if one[2] <= later), key=lambda one: one[2])
            assert len(holds) <= 1
            if following and following[-1][2] > now:
                newest, _, _, end = following[-1]
                assert [row["id"] for row in holds] == ([] if end is not None and end <= later else [newest["id"]])


def _meet(one: tuple[Any, datetime, datetime, datetime | None], begins: datetime, ends: datetime | None) -> bool:
    return (one[3] is None or one[3] > begins) and (ends is None or ends > one[2])
