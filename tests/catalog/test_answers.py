"""What is kept of answers, for how long, and how much of it."""

import asyncio

from fastapi import Request

from backend.catalog import answers
from backend.catalog.answers import Answer, Answers, etag, is_known
from backend.kernel.db import CALLERS_PATIENCE, patience
from backend.kernel.errors import StorageUnavailable


def asked(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw, "query_string": b""})


class Kitchen:
    def __init__(self) -> None:
        self.made = 0

    async def make(self) -> Answer:
        self.made += 1
        body = b"%d" % self.made
        return Answer(body, etag(body))


async def test_an_answer_is_made_once_per_version_of_the_store() -> None:
    kept, kitchen = Answers(public=True), Kitchen()
    first = await kept.answer(asked(), "v1", "key", kitchen.make)
    second = await kept.answer(asked(), "v1", "key", kitchen.make)
    assert (first.body, second.body, kitchen.made) == (b"1", b"1", 1)
    known = await kept.answer(asked(if_none_match=first.headers["etag"]), "v1", "key", kitchen.make)
    assert (known.status_code, known.body) == (304, b"")
    changed = await kept.answer(asked(if_none_match=first.headers["etag"]), "v2", "key", kitchen.make)
    assert (changed.status_code, changed.body) == (200, b"2")


async def test_those_who_ask_at_once_wait_for_one_making() -> None:
    kept, ready, made = Answers(public=True), asyncio.Event(), 0

    async def slow() -> Answer:
        nonlocal made
        made += 1
        await ready.wait()
        return Answer(b"slow", '"slow"')

    first, *others = [asyncio.create_task(kept.answer(asked(), "v1", "key", slow)) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    ready.set()
    assert {bytes((await other).body) for other in others} == {b"slow"}
    assert (first.cancelled(), made, kept._making) == (True, 1, {})


async def test_what_failed_is_made_anew() -> None:
    kept, kitchen = Answers(public=True), Kitchen()

    async def burnt() -> Answer:
        await asyncio.sleep(0)
        raise StorageUnavailable

    asks = [kept.answer(asked(), "v1", "key", burnt) for _ in range(3)]
    failed = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(error) for error in failed] == [StorageUnavailable] * 3
    assert (await kept.answer(asked(), "v1", "key", kitchen.make)).body == b"1"


async def test_a_flood_of_different_questions_is_kept_within_bounds() -> None:
    kept = Answers(public=False)

    async def large() -> Answer:
        return Answer(b"x" * 100_000, '"x"')

    for number in range(3000):
        await kept.answer(asked(), "v1", number, large)
    assert len(kept._kept) <= answers.MAX_ANSWERS
    assert kept._bytes == sum(len(answer.body) for answer in kept._kept.values()) <= answers.MAX_BYTES
    assert 2999 in kept._kept
    assert 0 not in kept._kept


async def test_only_answers_that_anybody_may_see_may_be_shared() -> None:
    for public, control, vary in ((True, "public, no-cache", "Accept"), (False, "private, no-cache", "Accept, Authorization, Cookie")):
        answer = await Answers(public=public).answer(asked(), "v1", "key", Kitchen().make)
        assert (answer.headers["cache-control"], answer.headers["vary"]) == (control, vary)


def test_validators_are_compared_weakly() -> None:
    assert is_known('"a", W/"b"', 'W/"b"')
    assert is_known('"b"', 'W/"b"')
    assert is_known(" * ", 'W/"b"')
    assert not is_known('W/"a"', 'W/"b"')
    assert not is_known("b", 'W/"b"')
    assert not is_known(None, 'W/"b"')


async def test_what_is_made_for_all_is_waited_for_longer_than_one_caller_would() -> None:
    kept = Answers(public=True)
    before = patience.set(CALLERS_PATIENCE)

    async def read() -> Answer:
        return Answer(str(patience.get()).encode(), '"read"')

    assert float((await kept.answer(asked(), "v1", "key", read)).body) > CALLERS_PATIENCE
    assert patience.get() == CALLERS_PATIENCE, "the caller's own is as it was"
    patience.reset(before)
