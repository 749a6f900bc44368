"""Ten million charges add up exactly: the cost function's whole nano-dollars, through ledger, budget counter and rollups."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.audit.service import AuditService
from backend.budgets.settlement import settling, sums_by_lease
from backend.identity.principal import system
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.kernel.statements import execute_each
from backend.metering.reconcile.service import ReconcileService
from backend.metering.record import CALL_FIELDS, CallRecord
from backend.metering.rollups.series import SeriesBook
from backend.metering.rollups.writing import RollupWriter
from backend.pricing.cost import PriceCard, PriceLine, cost_of_call
from backend.pricing.usage import Usage
from tests.metering.conftest import NOON_US, a_call, open_metering

NOON = datetime(2026, 7, 15, 12, tzinfo=UTC)
DAY = NOON.date().toordinal()
MILLION = 1_000_000


def charges(number: int) -> Iterator[tuple[CallRecord, int]]:
    """Calls with the cost that the product computes, and the same cost by the plainest whole numbers."""
    chance = random.Random(number)
    cards = []
    for each in range(50):
        rates = [chance.randrange(1, 10 ** chance.randrange(4, 12)) for _ in range(3)]
        components = zip(("input", "output", "cache_read"), rates, strict=True)
        lines = [PriceLine(f"prc_{each}_{component}", component, "token", rate) for component, rate in components]
        cards.append((PriceCard(f"acme/{each}", "priced", tuple(lines)), rates))
    for index in range(number):
        card, rates = chance.choice(cards)
        tokens = [chance.randrange(200_000), chance.randrange(30_000), chance.randrange(100_000)]
        cost = cost_of_call(Usage(input=tokens[0], output=tokens[1], cache_read=tokens[2]), card, at=NOON)
        exact = sum([count * rate for count, rate in zip(tokens, rates, strict=True)])
        call = a_call(created_us=NOON_US - chance.randrange(3_600_000_000))
        call.outcome, call.status, call.charged_nano = "completed", 200, cost.nano
        call.key_id = f"key_{index % 3}"
        call.input_tokens, call.output_tokens, call.cache_read_tokens = tokens
        call.reservations = (("lse_1", "bud_1", DAY, cost.nano),)
        yield call, -(-exact // MILLION)


async def sums(database: Database) -> dict[str, int]:
    """Each place's own sum, by the database."""
    found = {}
    async with database.read() as session:
        for place, query in {
            "ledger": "SELECT COALESCE(SUM(charged_nano), 0) FROM call",
            "budget": "SELECT SUM(spent_nano) FROM budget_day",
            **{str(span): f"SELECT SUM(charged_nano) FROM rollup WHERE span = {span} AND {WHOLE}" for span in (60, 3_600, 86_400)},
            "together": f"SELECT SUM(charged_nano) FROM rollup WHERE span = 86400 AND {TOGETHER}",
        }.items():
            found[place] = int((await session.execute(sa.text(query))).scalar_one())
    return found


WHOLE = "series_id IN (SELECT id FROM rollup_series WHERE key_id <> '*' AND model <> '*')"
TOGETHER = "series_id IN (SELECT id FROM rollup_series WHERE tenant_id = '*')"


@pytest.mark.case("B11")
async def test_three_thousand_charges_add_up_exactly_everywhere(database: Database, tmp_path: Path, clock: Clock) -> None:
    exact = 0
    async with open_metering(database, tmp_path, clock) as metering:
        for call, cost in charges(3_000):
            metering.record(call, [])
            exact += cost
        await metering.flush()
    assert set((await sums(database)).values()) == {exact}
    service = ReconcileService(database, clock, AuditService(clock), tmp_path)
    found = await service.run(system("test"))
    assert (found.agrees, found.charged_nano, found.calls) == (True, exact, 3_000)


@pytest.mark.soak
@pytest.mark.case("B11")
async def test_ten_million_charges_add_up_exactly(sqlite_database_url: str) -> None:
    """Budget and rollups by the writer's own means, without the ten gigabytes of the ledger's rows."""
    database = Database.open(sqlite_database_url, EventBus())
    rollups, row_of = RollupWriter(SeriesBook()), attrgetter(*CALL_FIELDS)
    exact, batch = 0, []
    for number, (call, cost) in enumerate(charges(10**7), 1):
        exact += cost
        batch.append(call)
        if number % 50_000 == 0:
            rows = [row_of(one) for one in batch]
            await rollups.prepare(database, rows)
            async with database.write() as unit:
                settled = sums_by_lease([(one.reservations, one.charged_nano) for one in batch])
                await execute_each(unit.session, [*rollups.statements(rows), *settling(settled, as_text=True)])
            rollups.keep()
            batch = []
    found = await sums(database)
    assert found.pop("ledger") == 0
    assert set(found.values()) == {exact}
    await database.close()
