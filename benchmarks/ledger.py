"""What the ledger's writer costs per call, and what a chart costs over many calls.

    python -m benchmarks.ledger writer [--database URL]
    python -m benchmarks.ledger charts --calls 10000000 [--database URL]

The writer: finished calls with two budgets each, from the journal into ledger, budgets and rollups, on a fresh SQLite file or an empty
PostgreSQL database; CPU of this process (so on PostgreSQL the client's part), the quickest of forty batches and their median. Charts: the
rollups of that many calls over 90 days, of 60 tenants and some 300 keys with one to four models each, and what the usage service takes
for charts of the largest tenant (a fifth of all calls) and of all tenants together: milliseconds and CPU (with SQLite's), medians of five
readings. A database that has rollups already is measured as it is.
"""

import argparse
import asyncio
import math
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import add
from pathlib import Path

from backend.identity.principal import system
from backend.kernel.clock import FixedClock, SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.kernel.ids import new_id
from backend.kernel.migrations import upgrade
from backend.metering.journal import Journal
from backend.metering.record import AttemptRecord, CallRecord, final_line
from backend.metering.rollups import repository
from backend.metering.rollups.gather import Names, Totals, by_span
from backend.metering.rollups.histogram import count
from backend.metering.rollups.schemas import UsageQuery
from backend.metering.rollups.series import SeriesBook
from backend.metering.rollups.service import UsageService
from backend.metering.writer import LedgerWriter

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
DAYS = 90
TENANTS = 60
KEYS_OF_LARGEST = 60
MODELS = (
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "claude-4",
    "claude-4-haiku",
    "gemini-3",
    "gemini-3-flash",
    "mistral-l",
    "llama-4",
    "embed-3",
)
OUTCOMES = {"completed": 0.93, "client_closed": 0.03, "failed": 0.02, "refused": 0.02}
LATENCIES = [round(random.Random(number).lognormvariate(6.5, 0.7)) for number in range(1000)]


def finished(chance: random.Random, key: int, tenant: int, created_us: int) -> tuple[CallRecord, list[AttemptRecord]]:
    call = CallRecord(
        new_id("event"), new_id("request"), f"ten_{tenant}", f"usr_{key % 25}", f"key_{tenant}_{key}", "chat.completions", created_us
    )
    call.model = MODELS[key % len(MODELS)]
    call.requested_model = call.route = call.model
    call.provider, call.offer_id = call.model.partition("-")[0], call.model
    call.outcome, call.status, call.attempts = "completed", 200, 1
    call.input_tokens, call.output_tokens, call.usage_source = chance.randrange(4000), chance.randrange(900), "provider"
    call.charged_nano = call.provider_cost_nano = chance.randrange(10**7)
    call.price_ids, call.price_state = (f"prc_{call.model}",), "priced"
    call.latency_ms, call.first_token_ms = round(chance.lognormvariate(6.5, 0.7)), round(chance.lognormvariate(5.5, 0.5))
    call.overhead_us = 300
    day = created_us // 86_400_000_000 + 719_163
    call.reservations = tuple([(f"lse_{name}_{day}", f"bud_{name}", day, 10**7) for name in (f"t{tenant}", f"k{tenant}_{key}")])
    attempt = AttemptRecord(1, call.provider, call.model, call.offer_id, "completed", 200, None, call.latency_ms, call.first_token_ms)
    attempt.provider_cost_nano, attempt.price_ids = call.provider_cost_nano, call.price_ids
    attempt.usage = {"input": call.input_tokens, "output": call.output_tokens}
    return call, [attempt]


async def writer(url: str | None) -> None:
    for batch, keys in ((200, 1), (200, 20), (200, 100)):
        with tempfile.TemporaryDirectory() as folder:
            database = url or f"sqlite+aiosqlite:///{folder}/bourse.db"
            upgrade(database)
            db = Database.open(database, EventBus())
            journal = Journal(Path(folder) / "journal")
            journal.open()
            ledger = LedgerWriter(db, journal, Path(folder) / "journal", SystemClock())
            chance = random.Random(batch + keys)
            spans = []
            for number in range(41):
                for _ in range(batch):
                    call, attempts = finished(chance, chance.randrange(keys), 1, _us(NOW) + chance.randrange(20_000_000))
                    journal.append(final_line(call, attempts))
                began = time.process_time()
                await ledger.drain()
                if number:
                    spans.append((time.process_time() - began) / batch * 1e6)
            best, middle = min(spans), statistics.median(spans)
            print(f"batches of {batch}, {keys} keys with a model each: {best:.1f} µs of CPU per call at best, {middle:.1f} in the middle")
            journal.close()
            await db.close()


async def charts(url: str | None, calls: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = url or f"sqlite+aiosqlite:///{folder}/bourse.db"
        upgrade(database)
        db = Database.open(database, EventBus())
        async with db.read() as session:
            filled = await repository.series_ids(session, after=b"", limit=1)
        if not filled:
            await _fill(db, calls)
        await _measure(db)
        await db.close()


async def _fill(db: Database, calls: int) -> None:
    """Rollups without the ledger below them: charts with whole steps read nothing else. A day is as busy as every other, a night less."""
    chance = random.Random(1)
    book = SeriesBook()
    rates = dict(_rates(chance, calls / DAYS / 24))
    await book.learn(db, rates)
    ids = {names: book.ids_of(names) for names in rates}
    midnight = NOW.replace(hour=0)
    began, written = time.monotonic(), 0
    for day in range(DAYS - 1, -1, -1):
        start = int((midnight - timedelta(days=day)).timestamp())
        minutes: dict[Names, dict[int, Totals]] = {}
        for names, rate in rates.items():
            found = minutes[names] = {}
            for hour in range(24):
                for _ in range(_poisson(chance, rate * (1 + math.sin(hour / 24 * math.tau)))):
                    # Minutes are kept for two days; before, all calls of an hour may as well be of one.
                    minute = start + hour * 3600 + (60 * chance.randrange(60) if day <= 2 else 0)
                    _count(found.setdefault(minute, Totals()), chance, names)
        for span, places in by_span(minutes, ids).items():
            if span > 60 or day <= 2:
                async with db.write() as unit:
                    await repository.insert(unit.session, [repository.row_of(place, span, 1, totals) for place, totals in places.items()])
                written += len(places)
    print(f"{calls:,} calls are {written:,} rollup rows of {len(rates):,} series; made in {time.monotonic() - began:.0f} s", flush=True)


def _rates(chance: random.Random, calls_per_hour: float) -> Iterator[tuple[Names, float]]:
    """Every series and its share of an hour's calls; a tenant's share falls with its number."""
    whole = sum([1 / (tenant + 1) for tenant in range(TENANTS)])
    for tenant in range(TENANTS):
        keys = max(3, KEYS_OF_LARGEST // (tenant + 1))
        for key in range(keys):
            models = chance.sample(MODELS, chance.randrange(1, 5))
            for model in models:
                for outcome, share in OUTCOMES.items():
                    rate = calls_per_hour / (tenant + 1) / whole / keys / len(models) * share
                    provider = model.partition("-")[0]
                    yield (f"ten_{tenant}", f"key_{tenant}_{key}", f"usr_{key % 25}", model, provider, model, None, outcome), rate


def _count(totals: Totals, chance: random.Random, names: Names) -> None:
    failed = names[-1] == "failed"
    tokens, output, nano = chance.randrange(4000), chance.randrange(900), chance.randrange(10**7)
    totals.sums = tuple(map(add, totals.sums, (1, int(failed), 0, tokens, 0, 0, 0, output, 0, 0, nano, nano)))
    count(totals.latency, (LATENCIES[chance.randrange(1000)],))
    count(totals.first_token, (LATENCIES[chance.randrange(1000)] // 3,))


def _poisson(chance: random.Random, rate: float) -> int:
    if rate > 30:
        return max(0, round(chance.gauss(rate, math.sqrt(rate))))
    limit, number, product = math.exp(-rate), 0, chance.random()
    while product > limit:
        number += 1
        product *= chance.random()
    return number


async def _measure(db: Database) -> None:
    usage = UsageService(db, FixedClock(NOW), "UTC")
    day = timedelta(days=1)
    midnight = NOW.replace(hour=0)
    ten = [f"key_0_{key}" for key in range(10)]
    for name, query in {
        "30 days by day and model": UsageQuery(midnight - 29 * day, midnight + day, by="model", step="day"),
        "90 days, total by key": UsageQuery(midnight - 89 * day, midnight + day, by="key_id"),
        "90 days by day, ten keys": UsageQuery(midnight - 89 * day, midnight + day, by="key_id", step="day", where={"key_id": ten}),
        "90 days, total by model": UsageQuery(midnight - 89 * day, midnight + day, by="model"),
        "7 days by hour and model": UsageQuery(midnight - 6 * day, midnight + day, by="model", step="hour"),
        "24 hours by hour and outcome": UsageQuery(NOW - day, NOW, by="outcome", step="hour"),
        "3 hours by minute": UsageQuery(NOW - timedelta(hours=3), NOW, step="minute"),
        "30 days, p95 by day": UsageQuery(midnight - 29 * day, midnight + day, step="day", quantiles=True),
        "30 days, p95 by model": UsageQuery(midnight - 29 * day, midnight + day, by="model", quantiles=True),
        "24 hours, p95 by hour": UsageQuery(NOW - day, NOW, step="hour", quantiles=True),
    }.items():
        for tenant in ("ten_0", None):
            spans, cpu = [], []
            for _ in range(5):
                began, worked = time.perf_counter(), time.process_time()
                report = await usage.read(system("benchmark"), tenant, query)
                spans.append((time.perf_counter() - began) * 1000)
                cpu.append((time.process_time() - worked) * 1000)
            counted = sum(step.calls for steps in report.series.values() for step in steps)
            whose = "largest tenant" if tenant else "all tenants"
            took = f"{statistics.median(spans):.0f} ms, {statistics.median(cpu):.0f} ms of CPU"
            print(f"{name}, {whose}: {took} ({counted:,} calls)")


def _us(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["writer", "charts"])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--database", help="its URL; a fresh SQLite file if not given")
    given = parser.parse_args()
    asyncio.run(writer(given.database) if given.what == "writer" else charts(given.database, given.calls))


if __name__ == "__main__":
    main()
