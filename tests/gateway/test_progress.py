"""What the journal is told of running calls, and that a hang-up is charged by the same rule."""

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from backend.gateway.progress import TOKENS
from backend.metering.journal import lines_of
from backend.metering.record import ATTEMPT_FIELDS, CALL_FIELDS
from backend.metering.replay import Replay
from tests.fakes.openai_upstream import WORDS, Exchange, OpenAIUpstream, chunk, events, hang, sse, status
from tests.gateway.conftest import KEY, PLAIN, Rig

Told = list[tuple[dict[str, Any], list[Any]]]
WORD = chunk({"content": WORDS[1]})
HEADERS = {"authorization": f"Bearer {KEY}"}


def told(rig: Rig) -> Told:
    """The progress lines so far: the columns of the row, and the attempts."""
    journal = rig.runtime.metering._journal
    found = [orjson.loads(line) for line in lines_of(journal.directory) if line.startswith(b'["progress"')]
    return [(columns, attempts) for _, _, columns, _, attempts in found]


async def until(rig: Rig, is_so: Callable[[Told], object]) -> Told:
    async with asyncio.timeout(20):
        while not is_so(found := told(rig)):
            await asyncio.sleep(0.02)
    return found


async def stream_until(rig: Rig, is_so: Callable[[Told], object], **body: Any) -> Told:
    """Open a stream and hang up once the journal was told what is waited for."""
    async with rig.http.stream("POST", "/v1/chat/completions", json={**PLAIN, "stream": True, **body}, headers=HEADERS) as response:
        assert response.status_code == 200
        return await until(rig, is_so)


@pytest.mark.case("D1")
async def test_what_the_journal_was_told_last_is_what_a_hang_up_is_charged(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*[WORD] * 3, end="hang"))
    lines = await stream_until(gateway, lambda found: found and found[-1][0]["output_tokens"] == 3)
    row = await gateway.last_row("client_closed")
    columns, [attempt] = lines[-1]
    assert columns["charged_nano"] == columns["input_tokens"] * 1000 + 3 * 2000 > 6000
    assert columns["usage_source"] == "estimated"
    assert columns["status"] == 200
    same = set(columns) - {"latency_ms", "price_ids"}
    assert {name: row[name] for name in same} == {name: columns[name] for name in same}
    assert orjson.loads(row["price_ids"]) == columns["price_ids"]
    assert attempt[1] == "acme"


async def test_the_first_token_is_told_at_once_and_then_every_64th(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """Ten times 64 tokens come in pieces of 16, faster than the half seconds. Pieces that are read together are told together."""
    upstream.script(events(*[b"".join([sse(WORD)] * 16)] * 40, end="hang", gap=0.02))
    lines = await stream_until(gateway, lambda found: found and found[-1][0]["output_tokens"] == 640)
    counts = [columns["output_tokens"] for columns, _ in lines]
    assert counts == sorted(set(counts))
    assert all(later - earlier <= TOKENS + 15 for earlier, later in pairwise(counts)), counts
    assert len(counts) >= 8


async def test_a_provider_that_counts_as_it_goes_is_believed(gateway: Rig, upstream: OpenAIUpstream) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, "prompt_tokens_details": {"cached_tokens": 40}}
    upstream.script(events(WORD, chunk({"content": WORDS[2]}, usage=usage), end="hang"))
    lines = await stream_until(gateway, lambda found: found and found[-1][0]["usage_source"] == "provider")
    columns = lines[-1][0]
    assert (columns["input_tokens"], columns["cache_read_tokens"], columns["output_tokens"]) == (60, 40, 7)
    assert columns["charged_nano"] == 100 * 1000 + 7 * 2000


async def test_who_answers_after_another_has_failed_is_who_is_told_of(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(status(500))
    other.script(events(WORD, end="hang"))
    lines = await stream_until(gateway, lambda found: found, model="pair")
    columns, attempts = lines[-1]
    assert (columns["provider"], columns["offer_id"]) == ("backup", "backup/gpt-other")
    assert columns["charged_nano"] == columns["input_tokens"] * 10_000 + 20_000
    assert [(attempt[0], attempt[1], attempt[5]) for attempt in attempts] == [(1, "acme", 500), (2, "backup", 200)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_provider_that_has_taken_the_call_and_says_nothing_yet_is_told_with_the_prompt(
    gateway: Rig, upstream: OpenAIUpstream, stream: bool
) -> None:
    upstream.script(events(end="hang") if stream else hang())
    waiting = asyncio.create_task(gateway.post({**PLAIN, "stream": stream}, timeout=15))
    [(columns, _)] = await until(gateway, lambda found: found)
    assert (columns["status"], columns["output_tokens"]) == (0, 0)
    assert columns["charged_nano"] == columns["input_tokens"] * 1000 > 0
    waiting.cancel()
    row = await gateway.last_row("client_closed")
    assert row["charged_nano"] == columns["charged_nano"]


async def test_a_call_that_ends_at_once_says_nothing_in_between(gateway: Rig, upstream: OpenAIUpstream) -> None:
    assert (await gateway.post(PLAIN)).status_code == 200
    assert told(gateway) == []


async def test_what_was_told_of_an_attempt_is_not_charged_when_all_fail(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    """Both are silent after their status; the first is told of, and then given up."""
    upstream.script(events(end="hang"))
    other.script(events(end="hang"))
    response = await gateway.post({**PLAIN, "stream": True, "model": "slow-pair"})
    assert response.status_code == 504
    assert len(told(gateway)) == 2
    row = await gateway.last_row("failed")
    assert (row["charged_nano"], row["usage_source"], row["input_tokens"]) == (0, "none", 0)
    # Both have taken the prompt, and are going to bill it.
    costs = [attempt["provider_cost_nano"] for attempt in await gateway.rows("call_attempt")]
    assert costs[1] == 10 * costs[0] > 0
    assert row["provider_cost_nano"] == sum(costs)


@pytest.mark.case("D1")
async def test_what_was_told_of_an_attempt_that_failed_is_not_charged_when_the_process_is_killed(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    """The first takes the call and then breaks off; the second takes it after a while, too."""
    breaks_off, goes_on = asyncio.Event(), asyncio.Event()

    async def first(exchange: Exchange) -> None:
        await exchange.head(200, "text/event-stream")
        await breaks_off.wait()
        exchange.reset()

    async def second(exchange: Exchange) -> None:
        await goes_on.wait()
        await exchange.head(200, "text/event-stream")
        await exchange.until_hang_up()

    def killed_now() -> dict[str, Any]:
        replay = Replay(gateway.runtime.metering._journal.directory)
        assert list(replay.finished()) == []
        [(row, attempts)] = replay.interrupted()
        return dict(zip(CALL_FIELDS, row, strict=True)) | {"tries": [dict(zip(ATTEMPT_FIELDS, one, strict=True)) for one in attempts]}

    upstream.script(first)
    other.script(second)
    waiting = asyncio.create_task(gateway.post({**PLAIN, "stream": True, "model": "pair"}, timeout=25))
    await until(gateway, lambda found: found)
    prompt = killed_now()["input_tokens"]
    assert killed_now()["charged_nano"] == prompt * 1000 > 0
    breaks_off.set()
    await until(gateway, lambda found: len(found) == 2)
    row = killed_now()
    assert (row["charged_nano"], row["input_tokens"], row["usage_source"]) == (0, 0, "none")
    # The provider bills the prompt that it had taken; the caller got nothing for it.
    assert row["provider_cost_nano"] == prompt * 1000
    assert [(attempt["provider"], attempt["provider_cost_nano"]) for attempt in row["tries"]] == [("acme", prompt * 1000), ("backup", 0)]
    goes_on.set()
    await until(gateway, lambda found: len(found) == 3)
    row = killed_now()
    assert (row["provider"], row["input_tokens"], row["charged_nano"]) == ("backup", prompt, prompt * 10_000)
    assert [attempt["provider_cost_nano"] for attempt in row["tries"]] == [prompt * 1000, prompt * 10_000]
    assert row["provider_cost_nano"] == prompt * 11_000
    waiting.cancel()
    await gateway.last_row("client_closed")


@pytest.mark.case("C1")
async def test_a_hundred_hang_ups_at_any_byte_close_the_upstream_free_their_slots_and_charge_what_had_come(
    gateway: Rig, upstream: OpenAIUpstream
) -> None:
    waves, chance = [50, 50], random.Random(7)
    upstream.script(events(*[WORD] * 20, end="hang"))
    body = orjson.dumps({**PLAIN, "stream": True, "max_tokens": 50})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    where = urlsplit(gateway.url)

    async def hang_up(at: int) -> int:
        """Words that were read before."""
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(head.encode() + body)
        data = await reader.readexactly(at)
        if at % 2:
            writer.close()
        else:
            writer.transport.abort()
        return data.count(WORDS[1].encode())

    read: list[int] = []
    for count in waves:
        read += await asyncio.gather(*(hang_up(chance.randrange(1, 4000)) for _ in range(count)))
        await asyncio.wait_for(asyncio.gather(*(request.hung_up.wait() for request in upstream.requests)), 20)
        async with asyncio.timeout(20):
            while len(rows := await gateway.rows()) < len(read):
                await asyncio.sleep(0.02)
    assert len(upstream.requests) == sum(waves)
    assert [row["outcome"] for row in rows] == ["client_closed"] * sum(waves)
    assert all(row["charged_nano"] == row["input_tokens"] * 1000 + row["output_tokens"] * 2000 > 0 for row in rows)
    assert sum(row["output_tokens"] for row in rows) >= sum(read)
    assert not any(part.reserved for part in gateway.runtime.keeper._books.slices.values())
    upstream.script(events(*[WORD] * 2, chunk({}, "stop"), end="done"))
    answers = await asyncio.gather(*(_whole_stream(gateway) for _ in range(64)))
    assert answers == [200] * 64, "as many as a key may have at the same time"


async def _whole_stream(rig: Rig) -> int:
    response: httpx.Response = await rig.post({**PLAIN, "stream": True, "max_tokens": 50})
    return response.status_code
