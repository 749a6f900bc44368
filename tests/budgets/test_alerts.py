"""Thresholds over several processes and periods: each is told once, by one of them."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.budgets.events import BudgetThresholdReached
from backend.kernel.clock import FixedClock
from backend.kernel.events import EventBus
from tests.budgets.till import open_till
from tests.budgets.witness import Witness

USD = 1_000_000_000


async def test_three_processes_tell_each_threshold_once_a_day(witness: Witness, database_url: str, tmp_path: Path) -> None:
    clock = FixedClock(datetime(2026, 5, 4, 12, tzinfo=UTC))
    told: Counter[tuple[str, float]] = Counter()

    async def today(_: object) -> datetime:
        return clock.now()

    def hear(event: BudgetThresholdReached) -> None:
        told[clock.now().date().isoformat(), event.threshold] += 1

    payer = witness.tenant()
    witness.budget(payer, "key", USD, window="calendar_day", warn_at="[0.5, 0.8]")
    async with AsyncExitStack() as stack:
        tills = []
        for number in range(3):
            events = EventBus()
            events.subscribe(BudgetThresholdReached, hear)
            folder = tmp_path / str(number)
            tills.append(await stack.enter_async_context(open_till(database_url, folder, clock=clock, events=events, time_of=today)))
        for day in ("2026-05-04", "2026-05-05"):
            for till in tills:
                await till.keeper._desk.beat()
            for _ in range(4):
                tallies = await asyncio.gather(*(till.call(payer, USD // 10, USD // 10) for till in tills))
                for till in tills:
                    await till.metering.flush()
                await asyncio.gather(*(till.keeper._desk.beat() for till in tills))
            assert sum(tally.refused for tally in tallies) > 0
            assert {mark: count for (when, mark), count in told.items() if when == day} == {0.5: 1, 0.8: 1, 1.0: 1}
            clock.advance(timedelta(days=1))
