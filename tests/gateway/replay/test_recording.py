"""The recording of an answer: readers at any pace, memory that is bounded, ends of every kind."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from backend.gateway.replay import service
from backend.gateway.replay.answer import Answer
from backend.gateway.replay.recording import PORTION_BYTES, WINDOW_BYTES, Reader, Recording, Room, TooSlow
from backend.gateway.replay.remembered import Remembered
from backend.gateway.responses import CUT
from backend.kernel.clock import FixedClock
from backend.kernel.errors import Restarting
from backend.kernel.header_lines import EXTENSION

EVENTS = ((b"content-type", b"text/event-stream"), (b"x-budget-used", b"0.1"), (b"openai-processing-ms", b"3"))


def recording(most_bytes: int = 1_000_000, room: Room | None = None) -> Recording:
    return Recording("print", "req_first", room or Room(10_000_000), most_bytes=most_bytes)


async def head(tape: Recording, status: int = 200) -> None:
    lines = [(b"x-bourse-model: m\r\nx-ratelimit-limit-requests: 9\r\n", 2)]
    await tape.take({"type": "http.response.start", "status": status, "headers": EVENTS, EXTENSION: lines})


async def say(tape: Recording, data: bytes, *, more: bool = True, **extra: Any) -> None:
    await tape.take({"type": "http.response.body", "body": data, "more_body": more, **extra})


async def read(tape: Recording, reader: Reader) -> bytes:
    pieces, is_last = [], False
    while not is_last:
        data, is_last = await tape.portion(reader)
        assert len(data) <= PORTION_BYTES
        pieces.append(data)
        tape.advance(reader, len(data))
    return b"".join(pieces)


async def test_everybody_reads_the_same_from_the_first_byte_whenever_he_comes() -> None:
    tape = recording()
    first = asyncio.create_task(read(tape, tape.join(made_it=True)))
    await head(tape)
    for piece in (b"a", b"", b"b" * (2 * PORTION_BYTES + 7), b"c"):
        await say(tape, piece)
        await asyncio.sleep(0)
    between = asyncio.create_task(read(tape, tape.join(made_it=False)))
    await asyncio.sleep(0)
    await say(tape, b"last", more=False)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not first.done(), "the last piece waits for what becomes of the answer"
    tape.end(kept=True)
    whole = b"a" + b"b" * (2 * PORTION_BYTES + 7) + b"clast"
    assert await first == await between == await read(tape, tape.join(made_it=False)) == whole
    assert tape.answer().body == whole


async def test_what_was_true_of_that_moment_is_not_said_again() -> None:
    tape = recording()
    await head(tape)
    mine, twins = tape.start(tape.join(made_it=True)), tape.start(tape.join(made_it=False))
    assert mine["headers"] == EVENTS
    assert len(mine[EXTENSION]) == 1
    assert dict(twins["headers"]) == {
        b"content-type": b"text/event-stream",
        b"x-bourse-model": b"m",
        b"idempotency-replayed": b"true",
        b"x-bourse-replay-of": b"req_first",
    }


@pytest.mark.parametrize(
    ("status", "extra", "complete"),
    [(200, {}, True), (201, {}, True), (200, {CUT: True}, False), (200, {CUT: False}, True), (400, {}, False)],
)
async def test_a_success_is_an_answer_below_300_that_came_to_its_end(status: int, extra: dict[str, Any], complete: bool) -> None:
    tape = recording()
    await head(tape, status)
    await say(tape, b"part")
    assert not tape.complete
    await say(tape, b"end", more=False, **extra)
    assert tape.complete is complete


async def test_the_call_ends_when_the_last_reader_leaves_and_not_before() -> None:
    tape = recording()
    readers = [tape.join(made_it=True), tape.join(made_it=False)]
    hanging_up = asyncio.create_task(tape.hang_up())
    tape.leave(readers[0])
    await asyncio.sleep(0)
    assert not hanging_up.done()
    assert tape.joinable
    tape.leave(readers[1])
    assert await hanging_up == {"type": "http.disconnect"}
    assert not tape.joinable


async def test_an_answer_that_came_although_all_had_left_is_there_for_who_comes_back() -> None:
    tape = recording()
    tape.leave(tape.join(made_it=True))
    await head(tape)
    await say(tape, b"all", more=False)
    tape.end(kept=True)
    assert tape.joinable
    assert await read(tape, tape.join(made_it=False)) == b"all"


async def test_a_stream_that_ends_early_ends_in_an_event_that_says_why() -> None:
    tape = recording()
    reader = tape.join(made_it=True)
    await head(tape)
    await say(tape, b"data: 1\n\n")
    tape.end(Restarting())
    assert await read(tape, reader) == (
        b'data: 1\n\ndata: {"error":{"message":"Bourse is restarting.","type":"api_error","param":null,"code":"unavailable"}}\n\n'
    )


async def test_what_failed_before_a_byte_is_raised_in_everybody() -> None:
    tape = recording()
    readers = [tape.join(made_it=True), tape.join(made_it=False)]
    waiting = [asyncio.create_task(read(tape, reader)) for reader in readers]
    await head(tape)
    await say(tape, b"whole", more=False)
    tape.refuse(Restarting())
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, Restarting)
    assert not tape.joinable


# ── memory ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_slow_reader_holds_up_nobody() -> None:
    tape = recording()
    fast, slow = tape.join(made_it=True), tape.join(made_it=False)
    reading = asyncio.create_task(read(tape, fast))
    await head(tape)
    for number in range(200):
        await say(tape, b"%d " % number)
    await say(tape, b"end", more=False)
    tape.end()
    whole = b"".join(b"%d " % number for number in range(200)) + b"end"
    assert await reading == whole
    assert await read(tape, slow) == whole


async def test_beyond_its_bound_only_a_window_of_an_answer_is_held() -> None:
    room = Room(10_000_000)
    tape = recording(most_bytes=1000, room=room)
    reader = tape.join(made_it=True)
    await head(tape)
    read_so_far = 0
    reading = asyncio.create_task(read(tape, reader))
    for _ in range(100):
        await say(tape, b"x" * PORTION_BYTES)
        read_so_far += PORTION_BYTES
        assert sum(map(len, tape._pieces)) <= WINDOW_BYTES + 2 * PORTION_BYTES
    assert not tape.joinable
    await say(tape, b"end", more=False)
    tape.end()
    assert await reading == b"x" * read_so_far + b"end"
    tape.leave(reader)
    assert room.left == 10_000_000


async def test_the_endpoint_waits_for_the_fastest_and_who_falls_behind_him_loses_the_thread() -> None:
    tape = recording(most_bytes=1000)
    fast, slow = tape.join(made_it=True), tape.join(made_it=False)
    await head(tape)
    saying = asyncio.create_task(_say_much(tape, 20))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not saying.done()
    assert tape.size <= WINDOW_BYTES + 2 * PORTION_BYTES
    assert (await tape.portion(slow))[0] == b"x" * PORTION_BYTES
    reading = asyncio.create_task(read(tape, fast))
    await saying
    with pytest.raises(TooSlow):
        await tape.portion(slow)
    tape.leave(slow)
    await say(tape, b"end", more=False)
    tape.end()
    assert await reading == b"x" * (20 * PORTION_BYTES) + b"end"


async def test_the_endpoint_waits_for_nobody_once_all_have_gone() -> None:
    tape = recording(most_bytes=1000)
    reader = tape.join(made_it=True)
    await head(tape)
    saying = asyncio.create_task(_say_much(tape, 50))
    await asyncio.sleep(0)
    tape.leave(reader)
    await saying
    assert sum(map(len, tape._pieces)) == 0


async def _say_much(tape: Recording, portions: int) -> None:
    for _ in range(portions):
        await say(tape, b"x" * PORTION_BYTES)


async def test_all_recordings_share_one_room_and_give_back_what_they_took() -> None:
    room = Room(100)
    one, other = recording(room=room), recording(room=room)
    readers = [one.join(made_it=True), other.join(made_it=True)]
    for tape in (one, other):
        await head(tape)
        await say(tape, b"x" * 60, more=False)
    assert one.whole
    assert not other.whole, "there was no room for all of it"
    one.end(kept=True)
    other.end()
    assert [await read(tape, reader) for tape, reader in zip((one, other), readers, strict=True)] == [b"x" * 60] * 2
    one.leave(readers[0])
    other.leave(readers[1])
    assert room.left == 40, "what is remembered takes room"
    one.forget()
    assert room.left == 100


async def test_one_tenant_has_no_more_than_its_share_of_the_room() -> None:
    room = Room(100, 25)
    assert room.take("one", 25)
    assert not room.take("one", 1)
    assert room.take("other", 20)
    room.give_back("one", 5)
    assert room.take("one", 5)
    assert room.left == 55


async def test_who_keeps_more_than_his_share_pushes_out_his_own() -> None:
    memory = Remembered(FixedClock(datetime.now(UTC)), seconds=60, most_bytes=250, most_of_one=100)

    async def kept(name: str, tenant_id: str, size: int) -> bool:
        tape = recording()
        await head(tape)
        await say(tape, b"x" * size, more=False)
        return memory.put(name, tenant_id, tape)

    def left() -> list[str]:
        return [name for name in "abcdefg" if memory.get(name) is not None]

    assert not await kept("a", "one", 101)
    for name in "abc":
        assert await kept(name, "one", 50)
    assert await kept("d", "two", 60)
    assert left() == ["b", "c", "d"], "the first was its own tenant's to lose"
    memory.get("b")
    assert await kept("e", "three", 100)
    assert left() == ["b", "d", "e"], "all together had too much"


async def test_a_reader_who_takes_nothing_for_a_minute_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "STALL_SECONDS", 0.02)
    tape = recording()
    reader = tape.join(made_it=True)
    await head(tape)
    await say(tape, b"one")

    async def stalls(_message: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TooSlow):
        await asyncio.wait_for(service.Replays._deliver(tape, reader, stalls), 20)


async def test_an_answer_from_the_shelf_is_nobodys_own() -> None:
    tape = recording()
    reader = tape.join(made_it=True)
    tape.load(Answer(200, (), "req_of_old", b"old"))
    tape.end()
    assert not reader.made_it
    assert await read(tape, reader) == b"old"
    assert (b"x-bourse-replay-of", b"req_of_old") in tape.start(reader)["headers"]
