"""Days that end while calls run, and clocks that are wrong."""

import asyncio
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.budgets.witness import Truth, Witness
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream
from tests.fleet.conftest import CALL, TEN, THREE, USD, StartFleet, budget_of, honours_the_cap, settled, until, using
from tests.rig.fleet import Fleet, operator_of
from tests.rig.postgres import Postgres
from tests.rig.redis import RedisServer

PLACES = 60
MIDNIGHTS = [
    # zone, the instant at which the second day begins, the two days
    ("Pacific/Kiritimati", "2027-02-28T10:00:00+00:00", ("2027-02-28", "2027-03-01")),  # 14 hours ahead
    ("Etc/GMT+12", "2027-03-01T12:00:00+00:00", ("2027-02-28", "2027-03-01")),  # 12 hours behind
    ("America/Havana", "2027-03-14T05:00:00+00:00", ("2027-03-13", "2027-03-14")),  # clocks go from midnight to one o'clock
    ("Europe/Berlin", "2027-03-28T22:00:00+00:00", ("2027-03-28", "2027-03-29")),  # the end of a day of 23 hours
    ("America/Havana", "2027-11-07T04:00:00+00:00", ("2027-11-06", "2027-11-07")),  # the hour after this midnight comes twice
]


class DatabaseClock:
    """PostgreSQL's clock as the product sees it: a function of the same name that is found first, and stands where it is put."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        run = self._connection.execute
        run("CREATE TABLE public.clock (now timestamptz)")
        run("INSERT INTO public.clock VALUES (now())")
        run("CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT now FROM public.clock'")
        run(f'ALTER DATABASE "{self._connection.info.dbname}" SET search_path = public, pg_catalog')  # type: ignore[arg-type]

    def put(self, instant: str, *, seconds: float) -> None:
        """To so many seconds after the instant. Nobody is thought dead for the jump."""
        run = self._connection.execute
        run("UPDATE public.clock SET now = %s::timestamptz + %s * interval '1 second'", (instant, seconds))
        run("UPDATE public.budget_holder SET expires_at = (SELECT now FROM public.clock) + interval '1 hour'")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def database_clock(postgres: Postgres, _catalog_template: str) -> Iterator[tuple[str, DatabaseClock]]:
    url = postgres.create(template=_catalog_template)
    clock = DatabaseClock(url)
    yield url, clock
    clock.close()


@pytest.mark.soak
@pytest.mark.case("B8")
async def test_calls_that_run_over_midnight_count_in_the_day_that_admitted_them(
    start_fleet: StartFleet, upstream: OpenAIUpstream, database_clock: tuple[str, DatabaseClock]
) -> None:
    """A day's budget of 60 calls; 100 come a second before midnight, stay, and 100 come a second after it: 60 and 60."""
    url, clock = database_clock
    clock.put("2027-02-01T00:00:00+00:00", seconds=0)
    fleet = start_fleet(THREE, database_url=url)
    witness = Witness(url)
    async with operator_of(url) as operator:
        for zone, midnight, days in MIDNIGHTS:
            clock.put(midnight, seconds=-1)
            key = await operator.key(await operator.tenant(zone=zone), budget=PLACES * CALL, window="calendar_day")
            await fleet.knows(key)
            gate, asked = asyncio.Event(), len(upstream.requests)
            upstream.script(_held(gate))
            before = asyncio.create_task(fleet.storm(key, TEN, 100))
            refused = partial(_refused, witness, key.id)
            await until(refused, lambda count: count == 40)
            assert len(upstream.requests) - asked == PLACES
            clock.put(midnight, seconds=1)
            # What was leased for the day that is over ends by the processes' own measure of a second.
            await asyncio.sleep(1.5)
            after = asyncio.create_task(fleet.storm(key, TEN, 100))
            await until(refused, lambda count: count == 80)
            gate.set()
            assert [await before, await after] == [{"200": PLACES, "403 budget_exceeded": 40}] * 2, zone
            budget = budget_of(witness, key.id)
            truth = await settled(witness, budget)
            assert truth == Truth(spent=2 * PLACES * CALL, leased=0, ledger=2 * PLACES * CALL, calls=2 * PLACES)
            spent = witness.run("SELECT day, spent_nano FROM budget_day WHERE budget_id = :id ORDER BY day", id=budget)
            assert [(str(day), amount) for day, amount in spent] == [(day, PLACES * CALL) for day in days], zone
            ledger = witness.run(
                "SELECT budget_day, sum(charged_nano) FROM call WHERE key_id = :key AND charged_nano > 0 GROUP BY 1 ORDER BY 1", key=key.id
            )
            assert [(str(day), amount) for day, amount in ledger] == [(str(day), amount) for day, amount in spent]
    witness.close()


def _refused(witness: Witness, key_id: str) -> int:
    return int(witness.run("SELECT count(*) FROM call WHERE key_id = :key AND outcome = 'refused'", key=key_id)[0][0])


def _held(gate: asyncio.Event) -> Any:
    async def step(exchange: Exchange) -> None:
        await gate.wait()
        await honours_the_cap(exchange)

    return step


# ── the replicas' own clocks ─────────────────────────────────────────────────────────────────────────────────────────


class WrongClocks:
    """Replicas that see the time of a file each; durations stay true, as they do when a machine's clock is set."""

    def __init__(self, folder: Path) -> None:
        [self._library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self._files = [folder / f"clock-{number}" for number in range(3)]
        self.set(0, 0, 0)

    def set(self, *seconds: int) -> None:
        for file, offset in zip(self._files, seconds, strict=True):
            file.write_text(f"{offset:+d}s\n")

    def env_of(self, number: int) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._files[number]),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.mark.soak
@pytest.mark.case("D8")
async def test_replicas_whose_clocks_are_wrong_admit_exactly_the_limit_and_the_budget(
    start_fleet: StartFleet, upstream: OpenAIUpstream, redis_server: RedisServer, tmp_path: Path
) -> None:
    clocks = WrongClocks(tmp_path)
    clocks.set(-90, 0, 90)
    fleet = start_fleet(THREE, redis_url=redis_server.url, env_of=clocks.env_of)
    witness = Witness(fleet.database_url)
    async with operator_of(fleet.database_url) as operator:
        await _all_is_exact(fleet, operator, witness)
        stamps = witness.run("SELECT max(created_at) - min(created_at) FROM call")[0][0]
        assert stamps.total_seconds() > 120, "the replicas' clocks were meant to be wrong"
        key = await operator.key(budget=USD)
        await fleet.knows(key)
        upstream.script(using(lambda cap: cap, seconds=lambda: random.uniform(0, 2)))
        storm = asyncio.create_task(fleet.storm(key, TEN, 500))
        await asyncio.sleep(1)
        clocks.set(-3600, 0, 3600)
        assert await storm == {"200": 100, "403 budget_exceeded": 400}
        await _all_is_exact(fleet, operator, witness)
    witness.close()


async def _all_is_exact(fleet: Fleet, operator: Any, witness: Witness) -> None:
    sixty, dollar, ten = (
        await operator.key(limits={"requests_per_minute": 60}),
        await operator.key(budget=USD),
        await operator.key(limits={"requests_per_day": 10}),
    )
    await fleet.knows(sixty, dollar, ten)
    assert await fleet.storm(sixty, TEN, 300) == {"200": 60, "429 rate_limit_exceeded": 240}
    assert await fleet.storm(dollar, TEN, 500) == {"200": 100, "403 budget_exceeded": 400}
    assert await fleet.storm(ten, TEN, 50) == {"200": 10, "429 quota_exceeded": 40}
    truth = await settled(witness, budget_of(witness, dollar.id))
    assert truth == Truth(spent=USD, leased=0, ledger=USD, calls=100)
