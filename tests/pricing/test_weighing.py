"""What a person decides about one price leaves all others as an ingestion left them."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.audit.service import AuditService
from backend.catalog.ingest import ingest
from backend.catalog.models import models_of, offers_of
from backend.catalog.repository import PRICE
from backend.catalog.writing import Stored, plan_prices
from backend.identity.principal import system
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.pricing.edits import OwnPrice, PriceEdits
from backend.pricing.evidence import rank_of
from backend.pricing.weighing import weighed
from tests.catalog.conftest import Notebook, offer, quote
from tests.pricing.conftest import NOW

DAY = timedelta(days=1)
OFFER = {"id": "openai/gpt-9", "model_id": "gpt-9", "mode": "chat"}


async def in_force(db: Database) -> dict[str, tuple[str, str]]:
    async with db.read() as session:
        query = sa.select(PRICE.c.component, PRICE.c.usd_per_million, PRICE.c.source).where(PRICE.c.in_force)
        return {component: (usd, source) for component, usd, source in (await session.execute(query)).all()}


@pytest.mark.parametrize("silent", [False, True], ids=["both are read", "one is not read any more"])
async def test_a_price_of_ones_own_leaves_those_of_other_components(database: Database, clock: FixedClock, *, silent: bool) -> None:
    """Lists that were looked at on two days of a week are as fresh as each other, whoever weighs them."""
    lists = [
        Notebook("genai-prices", offers=[offer("openai/gpt-9", "2", "8")], day=date(2026, 7, 14)),
        Notebook("openrouter", offers=[offer("openai/gpt-9", "3", "9")], day=date(2026, 7, 15)),
    ]
    await ingest(database, clock, lists)
    read = lists[1:] if silent else lists
    await ingest(database, clock, read, force=True)
    before = await in_force(database)
    assert before["input"] == ("2", "genai-prices")
    clock.advance(DAY / 4)
    await PriceEdits(database, clock, AuditService(clock)).ingest(system("ops"), "openai/gpt-9", [OwnPrice("cache_read", Decimal("0.5"))])
    assert await in_force(database) == before | {"cache_read": ("0.5", "operator")}
    clock.advance(DAY)
    await ingest(database, clock, read, force=True)
    assert await in_force(database) == before | {"cache_read": ("0.5", "operator")}


SOURCES = ("genai-prices", "litellm", "models.dev", "openrouter", "ours", "theirs")
SAID = st.dictionaries(
    st.sampled_from(SOURCES),
    st.tuples(st.sampled_from(["1", "2", "3"]), st.sampled_from(["4", "5"]), st.none() | st.integers(0, 40), st.booleans()),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60)
@given(SAID, st.sets(st.sampled_from(SOURCES), max_size=2), st.integers(0, 200))
def test_weighing_after_an_ingestion_changes_nothing(said: dict[str, Any], silent: set[str], hours: int) -> None:
    """Whatever the sources, their days, and which of them are read no more."""
    sources = []
    for name, (paid, made, age, timed) in said.items():
        day = None if age is None else NOW.date() - timedelta(days=age)
        dated = [quote("cache_read", "0.5", effective_at=NOW - DAY, expires_at=NOW + 90 * DAY)] if timed else []
        sources.append(Notebook(name, offers=[offer("openai/gpt-9", paid, made, *dated)], day=day))
    rows: dict[str, dict[str, Any]] = {}
    readings: dict[str, Any] = {}
    now = NOW
    for read in (sources, [source for source in sources if source.name not in silent]):
        offers = offers_of([(source.name, rank_of(source.name), source.offers) for source in read])
        stored = Stored({}, {}, {OFFER["id"]: OFFER}, {}, list(rows.values()), dict(readings))
        plan = plan_prices(offers, models_of(offers, {}), read, stored, now)
        rows |= {row["id"]: row for row in plan.inserts}
        for row in (*plan.updates, *plan.rewritten):
            rows[row["id"]] |= row
        readings |= {source.name: (source.data_date(), now) for source in read}
        if not read:
            return
        later = now + timedelta(hours=hours)
        alive = [row for row in rows.values() if row["expires_at"] is None or row["expires_at"] > later or row["in_force"]]
        changes, columns = weighed(OFFER, alive, readings, later)
        assert [(change["id"], change["in_force"]) for change in changes if change["in_force"] != rows[change["id"]]["in_force"]] == []
        assert columns == plan.columns[OFFER["id"]]
        now = later
