"""What is kept, how much room it takes, and who can read it."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from os import urandom
from typing import Any, cast

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.cache.entry import Entry, unpacked, why_not_kept
from backend.gateway.cache.key import key_of, wants_more_than_an_answer
from backend.gateway.cache.memory import MemoryStore
from backend.gateway.cache.redis_store import RedisStore
from backend.gateway.cache.wish import Wish, wish_of
from backend.gateway.call import Call
from backend.metering.record import CallRecord
from backend.observability.metrics import Metrics
from backend.routing.route import Candidate, Route
from tests.rig.redis import RedisServer

ENTRY = Entry(b'{"id":"chatcmpl-1","choices":[]}', 1_790_000_000.25, 44_000, "acme", "m", "acme/m", "provider", False)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
PATIENT = 5.0


def sized(body_bytes: int) -> Entry:
    return replace(ENTRY, body=bytes(body_bytes))


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(steps=st.lists(st.tuples(st.sampled_from("pgd"), st.integers(0, 9), st.integers(0, 4000)), max_size=60))
@settings(max_examples=60, deadline=None)
def test_the_bytes_are_always_those_of_what_is_there_and_never_too_many(steps: list[tuple[str, int, int]]) -> None:
    store, kept = MemoryStore(6000), {}
    for what, name, size in steps:
        key = b"%d" % name
        if what == "p":
            store.put(key, sized(size))
            kept[key] = size
        elif what == "d":
            store.drop(key)
        found = store.get(key)
        assert found is None or len(found.body) == kept[key]
        assert store.bytes == sum(entry.size for entry in store._entries.values()) <= 6000


def test_what_was_asked_for_least_lately_makes_room() -> None:
    store = MemoryStore(3 * sized(1000).size)
    for name in (b"a", b"b", b"c"):
        assert store.put(name, sized(1000)) == 0
    store.get(b"a")
    assert store.put(b"d", sized(1000)) == 1
    assert [name for name in (b"a", b"b", b"c", b"d") if store.get(name) is not None] == [b"a", b"c", b"d"]
    assert store.put(b"e", sized(3000)) == 3
    assert len(store) == 1


def test_what_is_larger_than_all_there_may_be_drives_nobody_out() -> None:
    store = MemoryStore(5000)
    store.put(b"a", sized(1000))
    assert store.put(b"b", sized(5000)) == 0
    assert store.get(b"a") is not None
    assert store.get(b"b") is None


def test_bytes_are_counted_as_they_are_taken() -> None:
    """Within a fifth, for answers of the usual sizes; nothing that an entry holds is shared, as it is not in a gateway."""
    store = MemoryStore(10**9)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(500):
            text = f"{number:09d}"
            store.put(urandom(32), Entry(bytes(500 + number), float(number), number, "p" + text, "m" + text, "o" + text, "provider", False))
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.8 < store.bytes / taken < 1.2


# ── entries ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_is_the_same_after_it_was_packed() -> None:
    for entry in (ENTRY, sized(400_000), replace(ENTRY, offer_id=None, model="mödel\n")):
        assert unpacked(entry.packed()) == entry
    assert unpacked(b"[1]\n{}") is None
    assert unpacked(b"") is None


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (message(content="hi"), None),
        (message(content=None, tool_calls=[{"id": "a"}]), None),
        (message(content=None, refusal="no"), None),
        (message(content=""), "empty"),
        (message(content="hi", audio={"id": "a"}), "sound"),
        (message(content="hi", tool_calls="x"), "malformed"),
        (message(content="hi", tool_calls=["x"]), "malformed"),
        ({"choices": []}, "empty"),
        ({"choices": [3]}, "malformed"),
        ({"choices": [{"message": None, "finish_reason": "stop"}]}, "malformed"),
        ({"choices": [{"message": {"content": "hi"}, "finish_reason": None}]}, "unfinished"),
        ({"choices": [{"message": {"content": "hi"}, "finish_reason": "error"}]}, "unfinished"),
    ],
)
def test_only_whole_answers_are_kept(answer: dict[str, Any], reason: str | None) -> None:
    assert why_not_kept(answer) == reason


# ── keys and wishes ──────────────────────────────────────────────────────────────────────────────────────────────────

ACME, BACKUP = Candidate("acme", "m", "acme/m"), Candidate("backup", "m", "backup/m")
BODY = {"model": "kept", "messages": [{"role": "user", "content": "hi"}]}


def key(
    *candidates: Candidate,
    tenant: str = "ten_1",
    servers: Mapping[str, str] | None = None,
    generation: tuple[int, int] = (0, 0),
    body: Mapping[str, Any] = BODY,
    **route: Any,
) -> bytes:
    record = CallRecord("evt_1", "req_1", tenant, None, "key_1", "chat.completions", 0)
    call = Call(cast(Any, None), cast(Any, None), cast(Any, None), record, datetime(2026, 1, 1, tzinfo=UTC), True, body=body)
    call.route, call.candidates = Route("kept", candidates or (ACME,), **route), candidates or (ACME,)
    return key_of(call, servers or {"acme": "openai https://acme.example"}, generation)


def test_the_key_moves_on_with_who_may_answer_and_for_whom() -> None:
    keys = [
        key(),
        key(tenant="ten_2"),
        key(BACKUP),
        key(ACME, BACKUP),
        key(Candidate("acme", "m2", "acme/m2")),
        key(servers={"acme": "openai https://elsewhere.example"}),
        key(max_output_tokens=100),
        key(generation=(0, 1)),
        key(generation=(1, 0)),
        key(body={**BODY, "temperature": 1}),
        key(body={**BODY, "temperature": 1.0}),
    ]
    assert len({*keys}) == len(keys)
    assert {len(one) for one in keys} == {32}


def test_the_key_stays_where_nothing_changes_for_the_caller() -> None:
    assert key(ACME, BACKUP) == key(BACKUP, ACME) == key(replace(ACME, weight=7), BACKUP)
    body = {"messages": [{"content": "hi", "role": "user"}], "stream": True, "stream_options": {}, "user": "a", "top_p": None}
    assert key() == key(body=body) == key(strategy="weighted")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, False),
        ({"store": False}, False),
        ({"store": True}, True),
        ({"audio": {"voice": "a"}}, True),
        ({"web_search_options": {"search_context_size": "low"}}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, False),
    ],
)
def test_which_calls_are_to_do_more_than_answer(body: dict[str, Any], expected: bool) -> None:
    assert wants_more_than_an_answer({**BODY, **body}) is expected


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        (None, Wish()),
        ("", Wish()),
        ("max-stale, private", Wish()),
        ("no-cache", Wish(read=False)),
        ("No-Cache", Wish(read=False)),
        ("no-store", Wish(read=False, store=False)),
        ("no-cache, no-store", Wish(read=False, store=False)),
        ("max-age=60", Wish(max_age=60)),
        ('max-age="60", max-age=5', Wish(max_age=5)),
        ("max-age=0", Wish(read=False, max_age=0)),
        ("max-age=-1", Wish(read=False, max_age=0)),
        ("max-age", Wish(read=False, max_age=0)),
    ],
)
def test_what_callers_ask_of_the_cache(said: str | None, wish: Wish) -> None:
    assert wish_of(said) == wish


# ── Redis ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    opened = RedisStore(redis_url, Metrics(), answer_seconds=PATIENT)
    await opened.start()
    yield opened
    await opened.stop()


async def test_what_one_replica_bought_another_finds(store: RedisStore, redis_url: str) -> None:
    other = RedisStore(redis_url, Metrics(), answer_seconds=PATIENT)
    await other.start()
    large = replace(ENTRY, body=urandom(500_000))
    store.put(KEY, ENTRY, 59.5)
    store.put(OTHER_KEY, large, 60)
    assert await store.get(KEY) == ENTRY
    assert await other.get(KEY) == ENTRY
    assert await other.get(OTHER_KEY) == large
    assert await other.get(b"x" * 32) is None
    await other.stop()


async def test_redis_alone_tells_nothing_and_what_was_changed_there_is_nothing(store: RedisStore, redis_url: str) -> None:
    store.put(KEY, replace(ENTRY, body=b"a secret " * 100), 60)
    assert await store.get(KEY) is not None
    with redis.Redis.from_url(redis_url) as client:
        (name,) = client.keys()  # type: ignore[misc]
        value: Any = client.get(name)
        assert 50 < cast(int, client.ttl(name)) <= 60
        assert b"secret" not in value
        assert KEY.hex().encode() not in name
        for wrong in (value[:-1] + bytes([value[-1] ^ 1]), b"x", b""):
            client.set(name, wrong)
            assert await store.get(KEY) is None
        store.put(OTHER_KEY, ENTRY, 60)
        assert await store.get(OTHER_KEY) == ENTRY
        (other,) = set(cast(list[bytes], client.keys())) - {name}
        client.set(other, value)
    assert await store.get(OTHER_KEY) is None, "what was kept for one call is none for another"


async def test_a_redis_that_is_silent_is_a_miss_and_soon_nobody_asks_it(redis_server: RedisServer, redis_url: str) -> None:
    metrics = Metrics()
    store = RedisStore(redis_url, metrics, answer_seconds=0.4)
    await store.start()
    store.put(KEY, ENTRY, 60)
    redis_server.freeze()
    try:
        assert await store.get(KEY) is None
        assert metrics.registry.get_sample_value("bourse_cache_redis_up") == 0
        assert await store.get(KEY) is None
        store.put(KEY, ENTRY, 60)
    finally:
        redis_server.freeze(thaw=True)
        await store.stop()
    assert metrics.registry.get_sample_value("bourse_cache_redis_failures_total") == 1


async def test_more_than_redis_takes_is_not_piled_up(store: RedisStore, redis_server: RedisServer) -> None:
    entry = replace(ENTRY, body=urandom(1024 * 1024))
    redis_server.freeze()
    try:
        for _ in range(40):
            store.put(KEY, entry, 60)
        assert 14 * 1024**2 < store._values._under_way <= 16 * 1024**2
    finally:
        redis_server.freeze(thaw=True)
    assert await store.get(KEY) == entry
    assert store._values._under_way == 0
