"""What is kept, for whom and for how long, on both databases."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.credentials.master import MasterKeys
from backend.gateway.responses_api import service
from backend.gateway.responses_api.kept import Kept, written
from backend.gateway.responses_api.service import MOST_OF_A_TENANT, Earlier, ResponseStore
from backend.identity.snapshot import KeyRecord
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, NotFound, RateLimited, UnsupportedParameter
from backend.kernel.ids import new_id
from backend.kernel.request import RequestContext
from backend.observability.metrics import Metrics
from backend.settings import ResponsesSettings, Settings

OLD_SECRET, NEW_SECRET = "the secret of last year, " * 2, "the secret of this year, " * 2
NOBODY = RequestContext("req_test", "127.0.0.1", "0" * 32, None, "00", 0.0)


def key_of(tenant: str, name: str = "key_1") -> KeyRecord:
    return KeyRecord(name, name, name, tenant, tenant, None, None, None, (), False, None, None)


MINE, THEIRS = key_of("ten_mine"), key_of("ten_theirs", "key_2")


def store_on(database: Database, clock: FixedClock, folder: Path, secrets: dict[str, str] | None = None, **settings: Any) -> ResponseStore:
    masters = MasterKeys(Settings.model_validate({"data_dir": str(folder), **(secrets or {})}))
    return ResponseStore(database, clock, ResponsesSettings.model_validate(settings), masters, Metrics())


def turn(word: str, previous: str | None = None) -> Kept:
    output: list[dict[str, Any]] = [
        {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": word}]}
    ]
    response = {"id": new_id("response"), "object": "response", "output": output, "previous_response_id": previous}
    return Kept(response, [{"role": "user", "content": f"say {word}"}])


async def kept(store: ResponseStore, word: str, previous: str | None = None, key: KeyRecord = MINE) -> str:
    one = turn(word, previous)
    earlier = await store.earlier(key, previous) if previous is not None else Earlier()
    assert await store.keep(key, one, earlier)
    return str(one.response["id"])


async def bodies(database: Database) -> list[bytes]:
    async with database.read() as session:
        return [bytes(body) for body in (await session.execute(sa.text("SELECT body FROM stored_response ORDER BY id"))).scalars()]


async def test_a_conversation_is_put_together_from_its_first_turn_on(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path)
    first = await kept(store, "one")
    second = await kept(store, "two", first)
    third = await kept(store, "three", second)
    earlier = await store.earlier(MINE, third)
    assert earlier.ids == [first, second, third]
    assert [item.get("content") for item in earlier.items if item["role"] == "user"] == ["say one", "say two", "say three"]
    assert (await store.find(MINE, second)).output == turn("two").output


async def test_another_tenant_finds_nothing(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path)
    mine = await kept(store, "one")
    for refused in (store.find(THEIRS, mine), store.delete(THEIRS, mine, NOBODY)):
        with pytest.raises(NotFound):
            await refused
    with pytest.raises(BadRequest) as error:
        await store.earlier(THEIRS, mine)
    assert (error.value.code, error.value.param) == ("previous_response_not_found", "previous_response_id")
    assert await store.referred(THEIRS, [f"msg_{mine[5:]}o0"]) == {}
    assert (await store.find(key_of("ten_mine", "key_3"), mine)).response["id"] == mine, "another key of the tenant does"


async def test_a_conversation_whose_middle_is_gone_cannot_go_on(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path)
    first = await kept(store, "one")
    second = await kept(store, "two", first)
    await store.delete(MINE, first, NOBODY)
    with pytest.raises(NotFound):
        await store.delete(MINE, first, NOBODY)
    with pytest.raises(BadRequest, match=first):
        await store.earlier(MINE, second)
    assert (await store.find(MINE, second)).response["id"] == second
    async with database.read() as session:
        [line] = (await session.execute(sa.text("SELECT action, target, tenant_id, actor FROM audit_entry"))).all()
    assert tuple(line) == ("response.delete", first, "ten_mine", "key_1")


async def test_it_goes_after_its_time_and_what_goes_on_from_it_keeps_it(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path, keep="30d")
    alone = await kept(store, "alone")
    first = await kept(store, "one")
    clock.advance(timedelta(days=20))
    second = await kept(store, "two", first)
    clock.advance(timedelta(days=11))
    with pytest.raises(NotFound):
        await store.find(MINE, alone)
    assert (await store.earlier(MINE, second)).ids == [first, second]
    assert await store.sweep() == 1
    assert len(await bodies(database)) == 2
    assert await store.sweep() == 0


async def test_a_tenant_that_keeps_too_much_loses_its_oldest(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    size = 0
    ids: list[str] = []
    store = store_on(database, clock, tmp_path)
    for day in range(4):
        clock.advance(timedelta(days=1))
        ids.append(await kept(store, f"day {day}"))
        size = len(written(turn(f"day {day}")))
    others = await kept(store, "another tenant's", key=THEIRS)
    store = store_on(database, clock, tmp_path, max_tenant_bytes=size * 2)
    assert await store.sweep() == 2
    for gone in ids[:2]:
        with pytest.raises(NotFound):
            await store.find(MINE, gone)
    assert (await store.find(MINE, ids[2])).response["id"] == ids[2]
    assert (await store.find(THEIRS, others)).response["id"] == others


async def sums(database: Database) -> dict[str, tuple[int, int]]:
    """By tenant: what its sum says, and what it is."""
    real = "SELECT COALESCE(SUM(size), 0) FROM stored_response r WHERE r.tenant_id = b.tenant_id"
    query = f"SELECT tenant_id, bytes, ({real}) FROM stored_bytes b"
    async with database.read() as session:
        return {tenant: (int(said), int(real)) for tenant, said, real in (await session.execute(sa.text(query))).all()}


async def test_the_oldest_go_as_soon_as_something_is_written(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    size = len(written(turn("day 0")))
    store = store_on(database, clock, tmp_path, max_tenant_bytes=size * 2)
    ids: list[str] = []
    for day in range(4):
        clock.advance(timedelta(days=1))
        ids.append(await kept(store, f"day {day}"))
        await kept(store, f"day {day}", key=THEIRS) if day == 0 else None
        await asyncio.gather(*store._trimming.values())
    assert await sums(database) == {"ten_mine": (size * 2, size * 2), "ten_theirs": (size, size)}
    assert (await store.find(MINE, ids[2])).response["id"] == ids[2]
    with pytest.raises(NotFound):
        await store.find(MINE, ids[1])


async def test_a_tenant_that_writes_faster_than_its_oldest_go_keeps_nothing_meanwhile(
    database: Database, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(written(turn("one 00")))
    most = size * 4
    store = store_on(database, clock, tmp_path, max_tenant_bytes=most)
    may_go_on, trim = asyncio.Event(), store._trim

    async def slow(tenant_id: str) -> int:
        await may_go_on.wait()
        return await trim(tenant_id)

    monkeypatch.setattr(store, "_trim", slow)
    monkeypatch.setattr(service, "MOST_OF_A_ROUND", size)
    fates = await asyncio.gather(*[store.keep(MINE, turn(f"one {number:02}"), Earlier()) for number in range(8)])
    assert fates == [True] * 5 + [False] * 3
    [(said, real)] = (await sums(database)).values()
    assert said == real == most + size
    assert await store.keep(THEIRS, turn("one 00"), Earlier()), "another tenant has nothing to do with it"
    may_go_on.set()
    await asyncio.gather(*store._trimming.values())
    assert (await sums(database))["ten_mine"] == (most, most)
    assert await store.keep(MINE, turn("one 99"), Earlier())


async def test_sums_follow_whatever_is_deleted(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path, keep="30d")
    first, _, others = await kept(store, "one"), await kept(store, "two"), await kept(store, "three", key=THEIRS)
    await store.delete(MINE, first, NOBODY)
    size = len(written(turn("two")))
    assert (await sums(database))["ten_mine"] == (size, size)
    clock.advance(timedelta(days=31))
    await kept(store, "one more")
    assert await store.sweep() == 2
    size = len(written(turn("one more")))
    assert await sums(database) == {"ten_mine": (size, size), "ten_theirs": (0, 0)}
    with pytest.raises(NotFound):
        await store.find(THEIRS, others)


async def test_one_tenants_flood_of_long_conversations_lets_others_in(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> None:
    """A round has room for one conversation of the largest: the others' come before the next of the same tenant."""
    store = store_on(sqlite_database, clock, tmp_path)
    large, small = await kept(store, "a" * 3_500_000), await kept(store, "small", key=THEIRS)
    order: list[str] = []

    async def read(name: str, key: KeyRecord, response_id: str) -> None:
        await store.find(key, response_id)
        order.append(name)

    flood = [asyncio.create_task(read("flood", MINE, large)) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.gather(*flood, read("other", THEIRS, small))
    assert order.index("other") < 4


@pytest.mark.parametrize("odd", ["", "resp_", "resp_\0" + "0" * 25, "resp_" + "é" * 26, "resp_" + "0" * 27, "msg_" + "0" * 26, "'"])
async def test_ids_of_strangers_are_not_there(database: Database, clock: FixedClock, tmp_path: Path, odd: str) -> None:
    store = store_on(database, clock, tmp_path)
    for refused in (store.find(MINE, odd), store.delete(MINE, odd, NOBODY)):
        with pytest.raises(NotFound):
            await refused
    with pytest.raises(BadRequest):
        await store.earlier(MINE, odd)


async def test_what_unpacks_to_too_much_is_not_read(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    """Compressed it is nothing: what counts is what would be held in memory."""
    store = store_on(database, clock, tmp_path, {"secret_key": OLD_SECRET})
    previous: str | None = None
    ids: list[str] = []
    for _ in range(3):
        large = turn("a" * 4_000_000, previous)
        large.response["output"][0]["id"] = f"msg_{large.response['id'][5:]}o0"
        earlier = await store.earlier(MINE, previous) if previous is not None and len(ids) < 3 else Earlier()
        assert await store.keep(MINE, large, earlier)
        previous = large.response["id"]
        ids.append(previous)
    assert sum(map(len, await bodies(database))) < 200_000
    with pytest.raises(BadRequest, match="too long"):
        await store.earlier(MINE, ids[-1])
    assert (await store.earlier(MINE, ids[1])).ids == ids[:2]
    with pytest.raises(BadRequest, match="too large"):
        await store.referred(MINE, [f"msg_{one[5:]}o0" for one in ids])
    assert len(await store.referred(MINE, [f"msg_{ids[0][5:]}o0"])) == 1


async def test_one_tenant_cannot_wait_for_everything(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(sqlite_database, clock, tmp_path)
    one = await kept(store, "one")
    others = await kept(store, "others", key=THEIRS)
    asked = [store.find(MINE, one) for _ in range(MOST_OF_A_TENANT + 5)]
    found = await asyncio.gather(*asked, store.find(THEIRS, others), return_exceptions=True)
    refused = [error for error in found if isinstance(error, RateLimited)]
    assert len(refused) == 5
    assert isinstance(found[-1], Kept)
    assert (await store.find(MINE, one)).response["id"] == one


async def test_what_is_too_large_is_not_kept(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path, max_bytes=1000)
    assert not await store.keep(MINE, turn("word " * 1000), Earlier())
    assert await bodies(database) == []


async def test_a_database_that_cannot_keep_it_does_not_take_the_answer_away(database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(database, clock, tmp_path)
    async with database.write() as unit:
        await unit.session.execute(sa.text("DROP TABLE stored_response"))
    assert not await store.keep(MINE, turn("one"), Earlier())


@pytest.mark.parametrize(
    ("setting", "wished", "keeps"),
    [("default", None, True), ("default", False, False), ("asked", None, False), ("asked", True, True), ("never", None, False)],
)
async def test_what_is_kept_is_the_operators_to_say(
    sqlite_database: Database, clock: FixedClock, tmp_path: Path, setting: str, wished: bool | None, keeps: bool
) -> None:
    assert store_on(sqlite_database, clock, tmp_path, store=setting).keeps(wished) is keeps


async def test_who_wants_it_kept_where_nothing_is_kept_is_told(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedParameter) as error:
        store_on(sqlite_database, clock, tmp_path, store="never").keeps(True)
    assert error.value.param == "store"


async def test_what_is_kept_is_sealed_where_there_is_a_master_key(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> None:
    plain = store_on(sqlite_database, clock, tmp_path)
    sealing = store_on(sqlite_database, clock, tmp_path, secrets={"secret_key": OLD_SECRET})
    changed = store_on(sqlite_database, clock, tmp_path, secrets={"secret_key": NEW_SECRET, "secret_key_previous": OLD_SECRET})
    lost = store_on(sqlite_database, clock, tmp_path, secrets={"secret_key": NEW_SECRET})
    first = await kept(plain, "in the open")
    second = await kept(sealing, "in secret " * 40_000)
    assert [b"in secret" in body for body in await bodies(sqlite_database)] == [False, False]
    assert b"in the open" in (await bodies(sqlite_database))[0]
    for store in (sealing, changed):
        assert (await store.find(MINE, first)).output == turn("in the open").output
        assert (await store.find(MINE, second)).output == turn("in secret " * 40_000).output
    for unable in (plain, lost):
        with pytest.raises(NotFound):
            await unable.find(MINE, second)
        with pytest.raises(BadRequest):
            await unable.earlier(MINE, second)


async def test_a_sealed_row_in_the_place_of_another_cannot_be_read(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> None:
    store = store_on(sqlite_database, clock, tmp_path, secrets={"secret_key": OLD_SECRET})
    one, other = await kept(store, "one"), await kept(store, "other")
    async with sqlite_database.write() as unit:
        await unit.session.execute(sa.text(f"UPDATE stored_response SET body = (SELECT body FROM stored_response WHERE id = '{one}')"))
    assert (await store.find(MINE, one)).response["id"] == one
    with pytest.raises(NotFound):
        await store.find(MINE, other)
