"""Claims and kept answers, on both databases: who holds a key, for how long, and what becomes of what he leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa

from backend.gateway.replay import repository
from backend.gateway.replay.answer import Answer, packed, unpacked
from backend.gateway.replay.asked import Asked, asked_by
from backend.gateway.replay.shelf import SWEPT_AT_ONCE, Claim, Shelf
from backend.identity.snapshot import KeyRecord
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import IdempotencyInProgress, IdempotencyMismatch, StorageUnavailable
from backend.settings import ReplaySettings, Settings
from tests.rig.redis import RedisServer

LEASE = timedelta(seconds=60)
ANSWER = Answer(200, ((b"content-type", b"text/plain"), (b"x-odd", "é".encode("latin-1"))), "req_1", b"some\x00bytes" * 100)


def asked(name: str = "one", request: str = "this") -> Asked:
    return Asked(sha256(name.encode()).hexdigest(), sha256(request.encode()).hexdigest(), "ten_1", "key_1", sha256(b"secret").digest())


def shelf_on(database: Database, redis_url: str | None = None) -> Shelf:
    settings = Settings(replay=ReplaySettings(lease=LEASE, keep=timedelta(hours=24)), redis_url=redis_url)
    return Shelf(database, FixedClock(datetime.now(UTC)), settings)


async def claimed(shelf: Shelf, request: Asked) -> Claim:
    claim = await shelf.claim(request)
    assert isinstance(claim, Claim)
    return claim


async def let_pass(database: Database, span: timedelta) -> None:
    """Everything that is on the shelf was put there so much earlier."""
    async with database.write() as unit:
        rows = (await unit.session.execute(sa.text("SELECT id, held_until FROM replay"))).all()
        for id_, until in rows:
            before = datetime.fromisoformat(until) if isinstance(until, str) else until
            earlier: Any = before - span
            await unit.session.execute(
                sa.text("UPDATE replay SET held_until = :at WHERE id = :id"),
                {"at": earlier.isoformat(" ") if isinstance(until, str) else earlier, "id": id_},
            )


async def held_until(database: Database) -> list[Any]:
    async with database.read() as session:
        return list((await session.execute(sa.text("SELECT held_until FROM replay ORDER BY id"))).scalars())


async def test_a_key_has_one_holder_until_he_gives_it_up(database: Database) -> None:
    one, other = shelf_on(database), shelf_on(database)
    claim = await claimed(one, asked())
    with pytest.raises(IdempotencyInProgress) as refused:
        await other.claim(asked())
    assert refused.value.retry_after == 1
    with pytest.raises(IdempotencyMismatch):
        await other.claim(asked(request="that"))
    await claimed(other, asked("two"))
    await one.free(claim)
    await claimed(other, asked(request="that"))


@pytest.mark.case("I6")
async def test_a_kept_answer_is_given_again_to_the_same_request_for_a_day(database: Database) -> None:
    one, other = shelf_on(database), shelf_on(database)
    assert await one.store(await claimed(one, asked()), ANSWER) == "stored"
    assert await other.claim(asked()) == ANSWER
    with pytest.raises(IdempotencyMismatch):
        await other.claim(asked(request="that"))
    await let_pass(database, timedelta(hours=23, minutes=59))
    assert await other.claim(asked()) == ANSWER
    await let_pass(database, timedelta(minutes=1))
    await claimed(other, asked(request="that"))


@pytest.mark.case("I4")
async def test_of_many_who_claim_at_once_one_does(database: Database) -> None:
    shelves = [shelf_on(database) for _ in range(20)]
    found = await asyncio.gather(*(shelf.claim(asked()) for shelf in shelves), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["Claim"] + ["IdempotencyInProgress"] * 19


@pytest.mark.case("I4")
async def test_after_its_lease_a_key_is_free_and_who_had_it_can_neither_store_nor_free_nor_renew(database: Database) -> None:
    one, other = shelf_on(database), shelf_on(database)
    late = await claimed(one, asked())
    await let_pass(database, LEASE)
    claim = await claimed(other, asked())
    before = await held_until(database)
    await one._renew()
    await one.free(late)
    assert await held_until(database) == before
    assert await one.store(late, replace(ANSWER, body=b"late")) == "lost"
    assert await other.store(claim, ANSWER) == "stored"
    assert await one.store(late, replace(ANSWER, body=b"later")) == "lost"
    await one.free(late)
    assert await one.claim(asked()) == ANSWER


@pytest.mark.case("I4")
async def test_a_lease_that_ended_is_no_loss_as_long_as_nobody_took_the_key(database: Database) -> None:
    one, other = shelf_on(database), shelf_on(database)
    claim = await claimed(one, asked())
    await let_pass(database, LEASE)
    await one._renew()
    with pytest.raises(IdempotencyInProgress):
        await other.claim(asked())
    await let_pass(database, 2 * LEASE)
    assert await other.sweep() == 1
    assert await one.store(claim, ANSWER) == "stored"
    assert await other.claim(asked()) == ANSWER


async def test_only_what_is_over_is_swept(database: Database) -> None:
    shelf = shelf_on(database)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    until = long_ago.isoformat(" ") if database.dialect == "sqlite" else long_ago
    columns = "(id, tenant_id, key_id, fingerprint, holder, held_until)"
    async with database.write() as unit:
        many = [{"id": f"{number:064}", "until": until} for number in range(SWEPT_AT_ONCE + 1)]
        await unit.session.execute(sa.text(f"INSERT INTO replay {columns} VALUES (:id, 't', 'k', 'f', 'h', :until)"), many)
    await shelf.store(await claimed(shelf, asked()), ANSWER)
    running = await claimed(shelf, asked("two"))
    assert await shelf.sweep() == SWEPT_AT_ONCE + 1
    assert await shelf.sweep() == 0
    assert len(await held_until(database)) == 2
    assert await shelf.claim(asked()) == ANSWER
    assert await shelf.store(running, ANSWER) == "stored"


async def test_a_process_that_ends_gives_up_what_it_holds(database: Database) -> None:
    one, other = shelf_on(database), shelf_on(database)
    await one.start()
    await claimed(one, asked())
    await one.stop()
    await claimed(other, asked())


@asynccontextmanager
async def silent(database: Database) -> AsyncIterator[None]:
    """The one writer of SQLite is taken."""
    async with database.write():
        yield


async def test_a_claim_that_nobody_answered_is_given_up_later(sqlite_database: Database) -> None:
    shelf = shelf_on(sqlite_database)
    async with silent(sqlite_database):
        with pytest.raises(StorageUnavailable):
            await shelf.claim(asked())
    assert shelf._unfreed
    await shelf._free_the_rest()
    assert not shelf._unfreed
    await claimed(shelf, asked())


async def test_claims_that_were_left_are_given_up_in_parts_and_old_ones_forgotten(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.gateway.replay.shelf.FREED_AT_ONCE", 2)
    shelf, parts = shelf_on(sqlite_database), []
    free = repository.free

    async def counted(session: Any, holders: Any) -> None:
        parts.append(len(holders))
        await free(session, holders)

    monkeypatch.setattr(repository, "free", counted)
    for name in "abcde":
        shelf._to_be_freed(await claimed(shelf, asked(name)))
    holder = next(iter(shelf._unfreed))
    shelf._unfreed[holder] = (shelf._unfreed[holder][0], shelf._clock.monotonic() - LEASE.total_seconds() - 1)
    await shelf._free_the_rest()
    assert (parts, shelf._unfreed) == ([2, 2], {})


async def test_a_claim_that_is_committed_after_its_caller_has_gone_is_given_up(sqlite_database: Database) -> None:
    shelf = shelf_on(sqlite_database)
    begun, may_end, grant = asyncio.Event(), asyncio.Event(), repository.grant

    async def slow(*given: Any) -> Any:
        begun.set()
        await may_end.wait()
        return await grant(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "grant", slow)
        caller = asyncio.create_task(shelf.claim(asked()))
        await begun.wait()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        # Too early: there is nothing to be given up yet.
        shelf._unfreed.clear()
        may_end.set()
        assert shelf._rounds._serving is not None
        await shelf._rounds._serving
    await shelf._free_the_rest()
    await claimed(shelf, asked())


# ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_redis_answers_first_and_may_vanish(sqlite_database: Database, redis_server: RedisServer, redis_url: str) -> None:
    one, other = shelf_on(sqlite_database, redis_url), shelf_on(sqlite_database, redis_url)
    await one.start()
    await other.start()
    await one.store(await claimed(one, asked()), ANSWER)
    assert one._redis is not None
    assert other._redis is not None
    async with silent(sqlite_database):
        # One connection each: what was sent over the first is there once it has answered anything sent after it.
        await one._redis.get(b"anything")
        assert await other.claim(asked()) == ANSWER
        with pytest.raises(IdempotencyMismatch):
            await other.claim(asked(request="that"))
    redis_server.flush()
    assert await other.claim(asked()) == ANSWER
    redis_server.freeze()
    try:
        assert await other.claim(asked()) == ANSWER
        assert await other.store(await claimed(other, asked("two")), ANSWER) == "stored"
    finally:
        redis_server.freeze(thaw=True)
    await one.stop()
    await other.stop()


# ── what is asked, and what is kept ──────────────────────────────────────────────────────────────────────────────────


def test_an_answer_comes_back_as_it_was_packed() -> None:
    for answer in (ANSWER, replace(ANSWER, body=b"", headers=())):
        assert unpacked(packed(answer)) == answer


KEY = KeyRecord("key_1", "demo", "", "ten_1", "demo", None, None, None, (), False, None, None)
SCOPE: dict[str, Any] = {
    "method": "POST",
    "path": "/v1/chat/completions",
    "query_string": b"",
    "headers": [(b"authorization", b"Bearer sk-demo.secret")],
}


@pytest.mark.case("I3")
def test_every_part_of_a_request_is_in_its_fingerprint_and_every_owner_in_its_id() -> None:
    first = asked_by(KEY, "one", SCOPE, b"body")
    assert asked_by(KEY, "one", dict(SCOPE), b"body") == first
    others = [
        asked_by(KEY, "one", SCOPE, b"Body"),
        asked_by(KEY, "one", {**SCOPE, "path": "/v1/embeddings"}, b"body"),
        asked_by(KEY, "one", {**SCOPE, "query_string": b"bourse=0"}, b"body"),
        # Parts do not run into each other.
        asked_by(KEY, "one", {**SCOPE, "path": "/v1/chat/completionsb"}, b"ody"),
    ]
    assert {other.id for other in others} == {first.id}
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1
    strangers = [
        asked_by(KEY, "two", SCOPE, b"body"),
        asked_by(replace(KEY, tenant_id="ten_2"), "one", SCOPE, b"body"),
        asked_by(replace(KEY, key_id="key_2"), "one", SCOPE, b"body"),
        asked_by(KEY, "one", {**SCOPE, "headers": [(b"authorization", b"Bearer sk-demo.other")]}, b"body"),
    ]
    for part in ("id", "fingerprint", "secret"):
        assert len({getattr(first, part), *(getattr(one, part) for one in strangers)}) == len(strangers) + 1
    assert "secret" not in repr(first)


# ── transactions ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_claims_that_come_together_share_a_transaction(database: Database) -> None:
    shelf = shelf_on(database)
    began = 0

    def count(_: Any) -> None:
        nonlocal began
        began += 1

    sa.event.listen(database._writer.sync_engine, "commit", count)
    claims = await asyncio.gather(*(claimed(shelf, asked(f"call {number}")) for number in range(100)))
    assert began <= 2
    fates = await asyncio.gather(*(shelf.store(claim, ANSWER) for claim in claims))
    assert set(fates) == {"stored"}
    assert began <= 4
    assert await asyncio.gather(*(shelf.claim(asked(f"call {number}")) for number in range(100))) == [ANSWER] * 100


async def test_who_does_not_wait_any_more_is_not_asked_for(sqlite_database: Database) -> None:
    shelf = shelf_on(sqlite_database)
    async with silent(sqlite_database):
        first = asyncio.create_task(shelf.claim(asked()))
        await asyncio.sleep(0)
        second = asyncio.create_task(shelf.claim(asked("two")))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.wait({second})
    await first
    assert [row.id for row in await rows(sqlite_database)] == [asked().id]


async def rows(database: Database) -> Any:
    async with database.read() as session:
        return (await session.execute(sa.text("SELECT id FROM replay"))).all()
