"""Accounts of end users at the till, on both databases: made once, by whichever process meets somebody first, and bounded in number."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backend.budgets import repository
from backend.identity.end_users import MOST_END_USERS, EndUser, EndUserTerms
from backend.kernel.db import Database
from backend.kernel.errors import QuotaExceeded
from tests.budgets.till import Till, open_till
from tests.budgets.witness import Witness

MICRO = 1_000
ONE = 10_000 * MICRO
TERMS = EndUserTerms(limit_nano=ONE, window="calendar_day")


class Club:
    """A key with terms for its end users, and two processes."""

    def __init__(self, witness: Witness, tills: list[Till]) -> None:
        self.witness, self.tills = witness, tills
        self.payer = witness.tenant()
        witness.run(
            "INSERT INTO api_key (id, public_id, secret_sha256, tenant_id, name, status, tags, plain_bodies, end_users, created_at)"
            " VALUES (:id, :id, '', :tenant, 'k', 'active', '[]', :no, :terms, :now)",
            id=self.payer.key_id,
            tenant=self.payer.tenant_id,
            no=False,
            terms=json.dumps(TERMS.as_row()),
            now=datetime.now(UTC).isoformat(),
        )

    def end_user(self, name: str) -> EndUser:
        payer = self.payer
        return EndUser(key_id=payer.key_id, tenant_id=payer.tenant_id, user_id=payer.user_id, name=name, terms=TERMS)

    def count(self) -> int:
        return int(self.witness.run("SELECT count(*) FROM budget WHERE key_id = :key", key=self.payer.key_id)[0][0])

    def crowd(self, batch: str) -> None:
        """As many end users as a key can have; the new ones have spent nothing."""
        self.witness.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most)"
            ' INSERT INTO budget (id, tenant_id, scope, scope_id, key_id, name, limit_nano, "window", warn_at, is_default, raise_nano,'
            " recall, alert_level, created_at, updated_at) SELECT 'bud_' || :batch || i, tenant_id, scope, 'eu_' || :batch || i, key_id,"
            ' name || :batch || i, limit_nano, "window", warn_at, is_default, 0, 0, 0, created_at, updated_at'
            " FROM n JOIN budget ON key_id = :key AND name = 'ann'",
            most=MOST_END_USERS - self.count(),
            batch=batch,
            key=self.payer.key_id,
        )

    def everybody_spends(self) -> None:
        now = datetime.now(UTC)
        self.witness.run(
            "INSERT INTO budget_day (budget_id, day, spent_nano) SELECT id, :day, 1 FROM budget WHERE key_id = :key"
            " AND id NOT IN (SELECT budget_id FROM budget_day)",
            day=now.date().isoformat(),
            key=self.payer.key_id,
        )


@asynccontextmanager
async def open_club(witness: Witness, url: str, folder: Path) -> AsyncIterator[Club]:
    async with AsyncExitStack() as stack:
        tills = [await stack.enter_async_context(open_till(url, folder / name)) for name in ("one", "two")]
        yield Club(witness, tills)


@pytest.fixture
async def club(witness: Witness, database_url: str, tmp_path: Path) -> AsyncIterator[Club]:
    async with open_club(witness, database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def postgres_club(postgres_witness: Witness, postgres_url: str, tmp_path: Path) -> AsyncIterator[Club]:
    async with open_club(postgres_witness, postgres_url, tmp_path) as opened:
        yield opened


class Gate:
    """Holds whoever first leaves a function of the repository, in the middle of his transaction."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        function = getattr(repository, name)

        async def held(*arguments: Any) -> Any:
            answer = await function(*arguments)
            self.reached.set()
            await self.open.wait()
            return answer

        monkeypatch.setattr(repository, name, held)


async def until_waiting_for_a_lock(witness: Witness, count: int = 1, *, or_else: Callable[[], bool] = lambda: False) -> None:
    """Until PostgreSQL says that so many transactions wait for others."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(60):
        while not or_else() and witness.run(waiting)[0][0] < count:
            await asyncio.sleep(0.01)


@pytest.mark.case("B6")
async def test_a_new_end_users_budget_holds_over_two_processes_from_his_first_calls_on(club: Club) -> None:
    calls = [club.tills[number % 2].call(club.end_user("ann"), ONE, ONE) for number in range(50)]
    tallies = await asyncio.gather(*calls)
    assert (sum(tally.admitted for tally in tallies), sum(tally.refused for tally in tallies)) == (1, 49)
    assert club.count() == 1


async def test_many_newcomers_at_both_processes_have_one_account_each_and_nobody_waits_in_a_circle(club: Club) -> None:
    names = [f"user {number}" for number in range(40)]
    forth = [club.tills[0].call(club.end_user(name), ONE, ONE) for name in names]
    back = [club.tills[1].call(club.end_user(name), ONE, ONE) for name in reversed(names)]
    tallies = await asyncio.gather(*forth, *back)
    assert sum(tally.admitted for tally in tallies) == club.count() == len(names)
    assert sum(tally.refused for tally in tallies) == len(names)
    if club.witness.engine.dialect.name == "postgresql":
        [(deadlocks,)] = club.witness.run("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert deadlocks == 0


async def test_a_change_of_anything_forgets_nothing_that_was_spent(club: Club) -> None:
    till, ann = club.tills[0], club.end_user("ann")
    third = ONE // 3
    for expected in (1, 1, 1, 0):
        tally = await till.call(ann, third, third)
        assert tally.admitted == expected
        await till.keeper.load()


@pytest.mark.case("B6")
async def test_a_key_has_so_many_end_users_and_those_make_room_of_whom_nothing_counts(club: Club) -> None:
    till = club.tills[0]
    assert (await till.call(club.end_user("ann"), ONE, ONE)).admitted == 1
    await till.metering.flush()
    club.crowd("x")
    assert club.count() == MOST_END_USERS
    assert (await till.call(club.end_user("bob"), ONE, ONE)).admitted == 1
    assert club.count() < MOST_END_USERS
    assert (await till.call(club.end_user("ann"), ONE, ONE)).refused == 1, "who has spent is not forgotten"
    await till.metering.flush()
    club.crowd("again")
    club.everybody_spends()
    with pytest.raises(QuotaExceeded):
        await till.reserve(club.end_user("eve"), ONE)
    assert club.count() == MOST_END_USERS


@pytest.mark.case("B5")
async def test_forgetting_idle_end_users_and_serving_one_of_them_wait_for_each_other_in_no_circle(
    postgres_club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    club, (here, there) = postgres_club, postgres_club.tills
    assert (await here.call(club.end_user("ann"), ONE, ONE)).admitted == 1
    assert (await here.call(club.end_user("bea"), ONE, 0)).admitted == 1
    for till in club.tills:
        await till.metering.flush()
    club.witness.run("DELETE FROM budget_lease WHERE budget_id IN (SELECT id FROM budget WHERE name = 'bea')")
    club.crowd("x")
    gate = Gate(monkeypatch, "forget_idle_end_users")
    newcomer = asyncio.create_task(here.call(club.end_user("bob"), ONE, ONE))
    await gate.reached.wait()
    returning = asyncio.create_task(there.call(club.end_user("bea"), ONE, ONE))
    await until_waiting_for_a_lock(club.witness)
    gate.open.set()
    for tally in await asyncio.gather(newcomer, returning):
        assert (tally.admitted, tally.unavailable) == (1, 0)
    assert club.witness.run("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


@pytest.mark.case("B6")
async def test_two_newcomers_at_two_processes_do_not_both_take_a_keys_last_place(
    postgres_club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    club, (here, there) = postgres_club, postgres_club.tills
    assert (await here.call(club.end_user("ann"), ONE, ONE)).admitted == 1
    await here.metering.flush()
    club.crowd("x")
    club.everybody_spends()
    club.witness.run("DELETE FROM budget WHERE id = 'bud_x1'")
    gate = Gate(monkeypatch, "count_end_users")
    bob = asyncio.create_task(here.reserve(club.end_user("bob"), ONE))
    await gate.reached.wait()
    monkeypatch.undo()
    eve = asyncio.create_task(there.reserve(club.end_user("eve"), ONE))
    await until_waiting_for_a_lock(club.witness, or_else=eve.done)
    gate.open.set()
    reserved, refused = await asyncio.gather(bob, eve, return_exceptions=True)
    assert club.count() == MOST_END_USERS
    assert isinstance(refused, QuotaExceeded)
    assert not isinstance(reserved, BaseException)
    reserved.release()


@pytest.mark.case("B5")
async def test_new_terms_reach_accounts_in_the_order_in_which_rounds_lock_them(
    postgres_database: Database, postgres_witness: Witness
) -> None:
    payer, witness, now = postgres_witness.tenant(), postgres_witness, datetime.now(UTC)
    ids = sorted(witness.budget(payer, scope, ONE) for scope in ("key", "user"))
    for id_ in reversed(ids):
        # Written anew, so that the later id comes first in the table.
        witness.run("UPDATE budget SET key_id = :key, is_default = :yes WHERE id = :id", key=payer.key_id, yes=True, id=id_)

    async def serve() -> int:
        async with postgres_database.write() as unit:
            return len(await repository.lock_budgets(unit.session, ids))

    async def change() -> None:
        async with postgres_database.write() as unit:
            await repository.apply_terms(unit.session, payer.key_id, limit_nano=2 * ONE, window="calendar_day", now=now)

    async with postgres_database.write() as unit:
        await repository.lock_budgets(unit.session, ids[:1])
        serving = asyncio.create_task(serve())
        await until_waiting_for_a_lock(witness)
        changing = asyncio.create_task(change())
        await until_waiting_for_a_lock(witness, 2)
    assert await asyncio.gather(serving, changing) == [2, None]
    assert witness.run("SELECT limit_nano FROM budget") == [(2 * ONE,), (2 * ONE,)]
