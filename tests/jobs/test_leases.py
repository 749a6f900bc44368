"""A job is run by one of all processes, and a dead one is followed; on both databases."""

import asyncio
from datetime import timedelta

import pytest

from backend.jobs import repository
from backend.jobs.leases import LENGTH, Lease, LeaseLost, Leases
from backend.kernel.clock import FixedClock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import Conflict
from backend.kernel.events import EventBus


async def test_of_many_replicas_one_has_the_job(database_url: str) -> None:
    replicas = [Database.open(database_url, EventBus()) for _ in range(5)]
    inside = 0
    most = 0

    async def work(db: Database) -> bool:
        nonlocal inside, most
        try:
            async with Leases(db, SystemClock()).held("count"):
                inside += 1
                most = max(most, inside)
                await together.wait()
                inside -= 1
        except Conflict:
            refused.append(db)
            if len(refused) == len(replicas) - 1:
                together.set()
            return False
        return True

    together, refused = asyncio.Event(), list[Database]()
    done = await asyncio.gather(*(work(db) for db in replicas))
    assert (sorted(done), most) == ([False] * 4 + [True], 1)
    async with Leases(replicas[3], SystemClock()).held("count"):
        pass
    for db in replicas:
        await db.close()


async def test_a_dead_holder_is_followed_when_its_lease_has_run_out(database: Database) -> None:
    clock = SystemClock()
    async with database.write() as unit:
        now = await repository.now_of(unit.session, clock)
        assert await repository.take(unit.session, "count", "the dead", now, LENGTH)
    with pytest.raises(Conflict):
        async with Leases(database, clock).held("count"):
            raise AssertionError("it is not ours")
    async with database.write() as unit:
        assert await repository.renew(unit.session, "count", "the dead", now - 2 * LENGTH, LENGTH)
    async with Leases(database, clock).held("count") as lease:
        async with database.write() as unit:
            with pytest.raises(LeaseLost):
                await Lease("count", "the dead").guard(unit, clock)
        async with database.write() as unit:
            await lease.guard(unit, clock)


async def test_who_loses_the_lease_is_stopped(sqlite_database: Database, clock: FixedClock) -> None:
    leases = Leases(sqlite_database, clock, length=timedelta(milliseconds=30))
    with pytest.raises(LeaseLost):
        async with leases.held("count"):
            clock.advance(timedelta(minutes=5))
            async with sqlite_database.write() as unit:
                assert await repository.take(unit.session, "count", "another", clock.now(), LENGTH)
            await asyncio.Event().wait()
    async with sqlite_database.read() as session:
        (job,) = await repository.jobs(session)
    assert job["holder"] == "another", "who lost it takes nothing away"


async def test_what_went_wrong_is_remembered_until_it_goes_well(sqlite_database: Database, clock: FixedClock) -> None:
    leases = Leases(sqlite_database, clock)

    async def error() -> str | None:
        async with sqlite_database.read() as session:
            (job,) = await repository.jobs(session)
        assert job["holder"] is None
        found: str | None = job["error"]
        return found

    with pytest.raises(ZeroDivisionError):
        async with leases.held("count"):
            _ = 1 / 0
    assert await error() == "ZeroDivisionError: division by zero"
    async with leases.held("count"):
        pass
    assert await error() is None
