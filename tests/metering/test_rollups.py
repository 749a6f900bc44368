"""Rollups say what the ledger says, whatever is replayed, in whatever order, by however many writers."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.tables import Tenant
from backend.kernel.clock import Clock, FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, NotFound, PermissionDenied
from backend.metering.journal import Journal
from backend.metering.record import AttemptRecord, CallRecord, final_line
from backend.metering.rollups import series, writing
from backend.metering.rollups.gather import AMOUNTS, DIMENSIONS, MEASURES, TOKENS
from backend.metering.rollups.histogram import RELATIVE_ERROR
from backend.metering.rollups.keeping import MINUTES_KEPT, delete_old_minutes
from backend.metering.rollups.schemas import UsageQuery
from backend.metering.rollups.service import MOST_STEPS
from backend.metering.service import MeteringService
from tests.metering.conftest import NOON_US, a_call, completed, open_metering, rows

OPERATOR = system("test")
HOUR_US = 3_600_000_000
LONG_AGO, FAR_AHEAD = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
Finished = tuple[CallRecord, list[AttemptRecord]]


def some_calls(number: int, chance: random.Random, *, back_us: int = 3 * 24 * HOUR_US) -> list[Finished]:
    """Calls of the three days before noon, of few keys and models, with everything that is added up in them."""
    return [one_of_some(chance, NOON_US - chance.randrange(back_us)) for _ in range(number)]


def one_of_some(chance: random.Random, created_us: int) -> Finished:
    call, attempts = completed(a_call(created_us=created_us, tenant_id=chance.choice(["ten_1", "ten_2"])))
    call.key_id, call.user_id = chance.choice(["key_1", "key_2"]), chance.choice([None, "usr_1"])
    call.model, call.task = chance.choice(["gpt-fake", "other"]), chance.choice([None, "code"])
    call.outcome = chance.choice(["completed", "failed", "refused", "interrupted"])
    if call.outcome == "refused":
        call.provider = call.model = call.route = None
    for name in TOKENS:
        setattr(call, name, chance.randrange(1000))
    if chance.random() < 0.5:
        call.unit = chance.choice(["image", "character", "query", "second"])
        call.quantity = chance.randrange(10**6) / 1000 if call.unit == "second" else chance.randrange(50)
    call.charged_nano, call.provider_cost_nano = chance.randrange(10**10), chance.randrange(10**10)
    call.overrun = chance.random() < 0.2
    call.latency_ms, call.first_token_ms = chance.randrange(5000), chance.choice([None, chance.randrange(900)])
    return call, attempts


def expected(finished: Sequence[tuple[Any, Any]], by: str | None = None) -> dict[str, dict[str, int]]:
    """The same sums by the plainest means."""
    found: dict[str, dict[str, int]] = {}
    for call, _ in finished:
        sums = found.setdefault((getattr(call, by) or "") if by else "", dict.fromkeys(MEASURES, 0))
        for name in (*TOKENS, "charged_nano", "provider_cost_nano"):
            sums[name] += getattr(call, name)
        if call.unit is not None:
            sums[AMOUNTS[call.unit][0]] += round(call.quantity * (1000 if call.unit == "second" else 1))
        sums["calls"] += 1
        sums["errors"] += call.outcome in ("failed", "interrupted")
        sums["overruns"] += call.overrun
    return found


async def told(metering: MeteringService, **asked: Any) -> dict[str, dict[str, int]]:
    """What usage answers for all tenants, in the shape of `expected`."""
    query = UsageQuery(**({"since": LONG_AGO, "until": FAR_AHEAD} | asked))
    report = await metering.usage.read(OPERATOR, None, query)
    return {value: {name: sum(getattr(step, name) for step in steps) for name in MEASURES} for value, steps in report.series.items()}


async def by_spans(database: Database) -> list[tuple[Any, ...]]:
    """All rollup rows of all writers, added up; what must not depend on how they came to be."""
    sums = ", ".join(f"SUM({name})" for name in MEASURES)
    async with database.read() as session:
        found = await session.execute(sa.text(f"SELECT series_id, span, starts, {sums} FROM rollup GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"))
        return [tuple(int(value) if index > 2 else value for index, value in enumerate(row)) for row in found]


def leave_journal(root: Path, finished: Sequence[Finished]) -> None:
    """As a process leaves it that was killed."""
    journal = Journal(root / "journal")
    journal.open()
    for call, attempts in finished:
        journal.append(final_line(call, attempts))
    journal.close()


async def replayed(service: MeteringService) -> None:
    assert service._writer is not None
    await service._writer.replay()


async def test_every_dimension_adds_up_to_the_calls(metering: MeteringService) -> None:
    finished = some_calls(400, random.Random(1))
    for call, attempts in finished:
        metering.record(call, attempts)
    await metering.flush()
    assert await told(metering) == expected(finished)
    for dimension in DIMENSIONS:
        assert await told(metering, by=dimension) == expected(finished, dimension)
    some = [one for one in finished if one[0].model == "other" and one[0].outcome in ("failed", "completed")]
    assert await told(metering, where={"model": ["other"], "outcome": ["failed", "completed"]}) == expected(some)
    none = [one for one in finished if one[0].user_id is None]
    assert await told(metering, where={"user_id": [""]}) == expected(none)


@pytest.mark.parametrize("step", ["minute", "hour", "day", None])
async def test_a_stretch_with_odd_edges_is_told_to_the_microsecond(metering: MeteringService, clock: Clock, step: str | None) -> None:
    chance = random.Random(2)
    finished = some_calls(300, chance)
    for call, attempts in finished:
        metering.record(call, attempts)
    await metering.flush()
    back = 20 if step == "minute" else 70
    for _ in range(5):
        edges = sorted(NOON_US - chance.randrange(back * HOUR_US) for _ in range(2))
        edges[chance.randrange(2)] = min((call.created_us for call, _ in finished), key=lambda us: abs(us - edges[0])) + chance.randrange(2)
        first, last = sorted(edges)
        if first == last or (step == "minute" and last - first > 24 * HOUR_US):
            continue
        since, until = (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us) for us in (first, last))
        inside = [one for one in finished if first <= one[0].created_us < last]
        assert await told(metering, since=since, until=until, step=step, by="model") == expected(inside, "model")


@pytest.mark.case("D6")
async def test_three_replays_out_of_order_by_several_processes_change_no_total(database: Database, tmp_path: Path, clock: Clock) -> None:
    chance = random.Random(3)
    finished = some_calls(300, chance)
    async with open_metering(database, tmp_path, clock) as service:
        for call, attempts in finished[:100]:
            service.record(call, attempts)
        await service.flush()
        leave_journal(tmp_path, finished)
        await replayed(service)
        once = await by_spans(database)
        assert await told(service, by="key_id") == expected(finished, "key_id")
    for number in range(3):
        chance.shuffle(finished)
        for start in range(0, 300, 100):
            leave_journal(tmp_path, finished[start : start + 150])
        async with open_metering(database, tmp_path, clock) as service:
            await replayed(service)
            if number == 2:
                assert await told(service, by="key_id") == expected(finished, "key_id")
    assert await by_spans(database) == once
    assert len(await rows(database)) == 300


async def test_a_call_that_its_own_process_recorded_twice_counts_once(metering: MeteringService, database: Database) -> None:
    """The writer takes its own journal for fresh; the database says that it is not."""
    first, second = some_calls(2, random.Random(12))
    for finished in (first, first, second):
        metering.record(*finished)
    await metering.flush()
    metering.record(*second)
    await metering.flush()
    assert await told(metering, by="model") == expected([first, second], "model")
    assert len(await rows(database)) == 2


async def test_calls_that_arrive_late_count_where_they_began(database: Database, tmp_path: Path, clock: Clock) -> None:
    yesterday, [today] = some_calls(3, random.Random(4), back_us=1), some_calls(1, random.Random(5), back_us=1)
    for call, _ in yesterday:
        call.created_us -= 24 * HOUR_US
    async with open_metering(database, tmp_path, clock) as service:
        service.record(*today)
        await service.flush()
        leave_journal(tmp_path, yesterday)
        await replayed(service)
        noon = clock.now()
        day = timedelta(days=1)
        query = UsageQuery(noon - 2 * day, noon + timedelta(microseconds=1), step="day")
        report = await service.usage.read(OPERATOR, None, query)
        assert [start.isoformat() for start in report.starts] == [
            "2026-07-13T12:00:00+00:00",
            "2026-07-14T00:00:00+00:00",
            "2026-07-15T00:00:00+00:00",
        ]
        assert [usage.calls for usage in report.series[""]] == [0, 3, 1]


async def test_replicas_write_rows_of_their_own_and_reading_adds_them(database: Database, tmp_path: Path, clock: Clock) -> None:
    finished = some_calls(90, random.Random(6))
    async with (
        open_metering(database, tmp_path / "a", clock) as first,
        open_metering(database, tmp_path / "b", clock) as second,
    ):
        for number, (call, attempts) in enumerate(finished):
            (first, second)[number % 2].record(call, attempts)
        await first.flush()
        await second.flush()
        assert await told(first, by="model") == expected(finished, "model")
    async with database.read() as session:
        writers = (await session.execute(sa.text("SELECT COUNT(DISTINCT writer_id) FROM rollup WHERE span = 86400"))).scalar_one()
    assert writers == 2


async def test_a_batch_that_fails_leaves_the_sums_right(metering: MeteringService, database: Database) -> None:
    """The database takes no row without a cost: the batch is written one by one, and of that call what can be."""
    good, [bad] = some_calls(40, random.Random(7)), some_calls(1, random.Random(8))
    bad[0].provider_cost_nano = None  # type: ignore[assignment]
    for number, (call, attempts) in enumerate([*good[:20], bad, *good[20:]]):
        metering.record(call, attempts)
        if number == 10:
            await metering.flush()
    await metering.flush()
    in_ledger = [(SimpleNamespace(**row), []) for row in await rows(database)]
    assert len(in_ledger) == 41
    assert await told(metering, by="model") == expected(in_ledger, "model")


async def test_a_writer_that_remembers_little_still_adds_up(metering: MeteringService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_REMEMBERED", {60: 5, 3_600: 5, 86_400: 5})
    finished = some_calls(120, random.Random(9))
    for number, (call, attempts) in enumerate(finished):
        metering.record(call, attempts)
        if number % 40 == 0:
            await metering.flush()
    await metering.flush()
    assert await told(metering, by="key_id") == expected(finished, "key_id")


async def test_names_without_end_are_added_up_as_other(
    metering: MeteringService, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MOST_NAMES", 5)
    calls = [completed(a_call(model=f"model-{number}")) for number in range(30)]
    for number, (call, attempts) in enumerate(calls):
        metering.record(call, attempts)
        if number == 10:
            await metering.flush()
    await metering.flush()
    found = await told(metering, by="model")
    assert len(found) == 6
    assert found[series.OTHER]["calls"] == 25
    assert len(await rows(database, "rollup_series")) == 3 * 6 + 1


async def test_a_model_that_is_called_like_the_sign_for_all_is_not_taken_for_it(metering: MeteringService) -> None:
    calls = [completed(a_call(model=model)) for model in ("*", "gpt-fake", "*")]
    for call, attempts in calls:
        metering.record(call, attempts)
    await metering.flush()
    found = await told(metering, by="model")
    assert {name: sums["calls"] for name, sums in found.items()} == {series.OTHER: 2, "gpt-fake": 1}
    assert await told(metering, by="key_id") == expected(calls, "key_id")
    assert await told(metering) == expected(calls)


async def test_old_minutes_go_and_what_they_told_is_still_told(metering: MeteringService, database: Database, clock: FixedClock) -> None:
    finished = some_calls(200, random.Random(10), back_us=30 * HOUR_US)
    for call, attempts in finished:
        metering.record(call, attempts)
    await metering.flush()
    clock.advance(MINUTES_KEPT - timedelta(hours=10))
    await delete_old_minutes(database, clock.now())
    kept = clock.now() - MINUTES_KEPT - timedelta(hours=1)
    minutes = [row["starts"] for row in await rows(database, "rollup") if row["span"] == 60]
    assert 0 < len(minutes) < 600
    assert min(minutes) >= kept.timestamp() - 60
    odd = datetime(2026, 7, 14, 9, 17, tzinfo=UTC)
    after = [one for one in finished if one[0].created_us >= odd.timestamp() * 1_000_000]
    assert await told(metering, since=odd, by="model") == expected(after, "model")


async def test_a_day_is_the_tenants_own(metering: MeteringService, database: Database) -> None:
    async with database.write() as unit:
        unit.session.add(Tenant(id="ten_1", slug="t", name="T", timezone="Asia/Kolkata", created_at=datetime.now(UTC)))
    for hours in (-20, -18, -17, 0):  # noon in UTC is 17:30 there, so the day began 17.5 hours ago
        metering.record(*completed(a_call(created_us=NOON_US + hours * HOUR_US)))
    await metering.flush()
    noon = datetime(2026, 7, 15, 12, tzinfo=UTC)
    query = UsageQuery(noon - timedelta(hours=30), noon + timedelta(hours=1), step="day")
    report = await metering.usage.read(OPERATOR, "ten_1", query)
    assert [start.strftime("%d %H:%M") for start in report.starts] == ["14 06:00", "14 18:30"]
    assert [usage.calls for usage in report.series[""]] == [2, 2]


async def test_quantiles_are_of_all_writers_together(metering: MeteringService) -> None:
    chance = random.Random(11)
    latencies = [round(chance.lognormvariate(6, 1)) for _ in range(500)]
    for number, latency in enumerate(latencies):
        call, attempts = completed(a_call(created_us=NOON_US - chance.randrange(50 * HOUR_US)))
        call.latency_ms, call.first_token_ms = latency, latency // 2 if number % 2 else None
        metering.record(call, attempts)
    await metering.flush()
    report = await metering.usage.read(OPERATOR, None, UsageQuery(LONG_AGO, FAR_AHEAD, quantiles=True))
    [usage] = report.series[""]
    for share in (0.5, 0.95, 0.99):
        exact = sorted(latencies)[round(share * 500) - 1]
        assert usage.latency_ms(share) == pytest.approx(exact, rel=RELATIVE_ERROR)
    half = sorted(latency // 2 for latency in latencies[1::2])
    assert usage.first_token_ms(0.5) == pytest.approx(half[124], rel=RELATIVE_ERROR)


@pytest.mark.case("Z3")
async def test_only_who_belongs_to_a_tenant_reads_its_usage(metering: MeteringService) -> None:
    query = UsageQuery(LONG_AGO, FAR_AHEAD)
    for stranger in (ANONYMOUS, Principal(kind="user", id="u", tenant_id="ten_2", role=Role.OWNER)):
        with pytest.raises(NotFound):
            await metering.usage.read(stranger, "ten_1", query)
        with pytest.raises(PermissionDenied):
            await metering.usage.read(stranger, None, query)
    viewer = Principal(kind="user", id="u", tenant_id="ten_1", role=Role.VIEWER)
    assert (await metering.usage.read(viewer, "ten_1", query)).series == {}


async def test_what_cannot_be_meant_is_refused(metering: MeteringService) -> None:
    for query in (
        UsageQuery(FAR_AHEAD, LONG_AGO),
        UsageQuery(LONG_AGO, LONG_AGO + timedelta(minutes=MOST_STEPS + 2), step="minute"),
        UsageQuery(LONG_AGO, FAR_AHEAD, by="charged_nano"),  # type: ignore[arg-type]
        UsageQuery(LONG_AGO, FAR_AHEAD, where={"id": ["x"]}),
    ):
        with pytest.raises(BadRequest):
            await metering.usage.read(OPERATOR, None, query)
