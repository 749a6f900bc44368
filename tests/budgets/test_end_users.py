"""Accounts of end users at the till, on both databases: made once, by whichever process meets somebody first, and bounded in number."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backend.identity.end_users import MOST_END_USERS, EndUser, EndUserTerms
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


@pytest.fixture
async def club(witness: Witness, database_url: str, tmp_path: Path) -> AsyncIterator[Club]:
    async with AsyncExitStack() as stack:
        folders = tmp_path / "one", tmp_path / "two"
        tills = [await stack.enter_async_context(open_till(database_url, folder)) for folder in folders]
        yield Club(witness, tills)


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
