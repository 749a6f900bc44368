"""Requests with one `Idempotency-Key` are one call: same bytes for everybody, one call upstream, one row."""

import asyncio
import gzip
import itertools
from typing import Any

import httpx
import openai
import pytest
import sqlalchemy as sa

from tests.fakes.openai_upstream import (
    TEXT,
    Exchange,
    OpenAIUpstream,
    Step,
    answer,
    canonical_chunks,
    completion,
    events,
    hang,
    sse,
    status,
    whole,
)
from tests.gateway.conftest import KEY, LIMITED_KEY, PLAIN, Rig
from tests.gateway.errors import assert_error
from tests.gateway.replay.conftest import LARGEST, STREAM, under

pytestmark = pytest.mark.asyncio(loop_scope="module")
_names = (f"key-{number}" for number in itertools.count())


@pytest.fixture
def name() -> str:
    """An idempotency key that no other test used."""
    return next(_names)


async def rows_of(gateway: Rig, *answers: httpx.Response) -> list[dict[str, Any]]:
    """The rows of these requests."""
    ids = {response.headers["x-request-id"] for response in answers}
    return [row for row in await gateway.rows() if row["request_id"] in ids]


def after_three(go_on: asyncio.Event) -> Step:
    """A stream that stops after three chunks until it may go on."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        for number, value in enumerate(canonical_chunks()):
            if number == 3:
                await go_on.wait()
            await exchange.chunk(sse(value))
        await exchange.chunk(sse("[DONE]"))
        await exchange.end()

    return step


@pytest.mark.case("I1")
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_a_hundred_twins_are_one_call_and_read_the_same_bytes(
    gateway: Rig, upstream: OpenAIUpstream, name: str, body: dict[str, Any]
) -> None:
    answers = await asyncio.gather(*(gateway.post(body, headers=under(name)) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert TEXT in answers[0].text or body is STREAM
    assert len(upstream.requests) == 1
    rows = await rows_of(gateway, *answers)
    assert [(row["outcome"], row["attempts"]) for row in rows] == [("completed", 1)]
    first = [answer for answer in answers if "idempotency-replayed" not in answer.headers]
    assert [answer.headers["x-request-id"] for answer in first] == [rows[0]["request_id"]]
    assert {answer.headers.get("x-bourse-replay-of") for answer in answers} == {None, rows[0]["request_id"]}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 100


@pytest.mark.case("I5")
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_an_answer_is_given_again_as_it_was(gateway: Rig, upstream: OpenAIUpstream, name: str, body: dict[str, Any]) -> None:
    first = await gateway.post(body, headers=under(name))
    again = await gateway.post(body, headers=under(name))
    assert again.content == first.content
    assert len(upstream.requests) == 1
    assert [row["outcome"] for row in await rows_of(gateway, first, again)] == ["completed"]
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-bourse-replay-of"] == first.headers["x-request-id"] != again.headers["x-request-id"]
    for told_again in ("content-type", "x-bourse-model", "x-bourse-provider", "x-bourse-attempts"):
        assert again.headers[told_again] == first.headers[told_again]
    assert "x-budget-used" in first.headers
    assert not [header for header in again.headers if header.startswith(("x-budget", "x-ratelimit", "openai-processing"))]


async def test_the_sdk_asks_twice(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    async def ask() -> str | None:
        made = await gateway.client.chat.completions.create(
            model="fast", messages=[{"role": "user", "content": "hi"}], extra_headers={"Idempotency-Key": name}
        )
        return made.choices[0].message.content

    assert [await ask(), await ask()] == [TEXT, TEXT]
    assert len(upstream.requests) == 1
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        await gateway.client.chat.completions.create(
            model="fast", messages=[{"role": "user", "content": "bye"}], extra_headers={"Idempotency-Key": name}
        )
    assert refused.value.code == "idempotency_mismatch"


@pytest.mark.case("I5")
async def test_who_comes_while_a_stream_runs_reads_it_from_its_first_byte(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    go_on = asyncio.Event()
    upstream.script(after_three(go_on))
    read: list[bytes] = []

    async def one() -> bytes:
        pieces = []
        async with gateway.http.stream(
            "POST", "/v1/chat/completions", json=STREAM, headers={"authorization": f"Bearer {KEY}", **under(name)}
        ) as response:
            async for piece in response.aiter_raw():
                pieces.append(piece)
                read.append(piece)
        return b"".join(pieces)

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(one())
        while b"".join(read).count(b"data:") < 2:
            await asyncio.sleep(0.01)
        begun = b"".join(read)
        read.clear()
        second = tasks.create_task(one())
        while not b"".join(read).startswith(begun):
            await asyncio.sleep(0.01)
        go_on.set()
    assert first.result() == second.result()
    assert first.result().endswith(b"data: [DONE]\n\n")
    assert len(upstream.requests) == 1


@pytest.mark.case("I2")
@pytest.mark.parametrize(
    ("body", "query"),
    [({**PLAIN, "temperature": 0.5}, ""), ({**PLAIN, "model": "pair"}, ""), (STREAM, ""), (PLAIN, "?bourse=0")],
    ids=["another body", "another model", "a stream", "another query"],
)
async def test_a_key_is_for_one_request(gateway: Rig, upstream: OpenAIUpstream, name: str, body: dict[str, Any], query: str) -> None:
    first = await gateway.post(PLAIN, headers=under(name))
    other = await gateway.post(body, query=query, headers=under(name))
    assert_error(other, 422, "invalid_request_error", "idempotency_mismatch", "Idempotency-Key")
    assert len(upstream.requests) == 1
    assert len(await rows_of(gateway, first, other)) == 1
    assert (await gateway.post(PLAIN, headers=under(name))).content == first.content


@pytest.mark.case("I2")
async def test_a_key_is_for_one_request_also_while_it_runs(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    go_on = asyncio.Event()
    upstream.script(after_three(go_on))
    running = asyncio.create_task(gateway.post(STREAM, headers=under(name)))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    assert_error(await gateway.post(PLAIN, headers=under(name)), 422, "invalid_request_error", "idempotency_mismatch", "Idempotency-Key")
    go_on.set()
    assert (await running).status_code == 200
    assert len(upstream.requests) == 1


@pytest.mark.case("I3")
async def test_the_same_word_of_another_tenant_is_another_key(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    upstream.script(answer("for one"), answer("for the other"))
    one = await gateway.post(PLAIN, headers=under(name))
    other = await gateway.post(PLAIN, key=LIMITED_KEY, headers=under(name))
    assert "for one" in one.text
    assert "for the other" in other.text
    assert len(await rows_of(gateway, one, other)) == 2
    assert (await gateway.post(PLAIN, key=LIMITED_KEY, headers=under(name))).content == other.content
    assert (await gateway.post(PLAIN, key="sk-demo.wrong", headers=under(name))).status_code == 401


@pytest.mark.case("I6")
@pytest.mark.parametrize("key", [b"x" * 256, b"", b"two words", "Schlüssel".encode()], ids=["256", "empty", "a space", "not ASCII"])
async def test_a_key_is_1_to_255_visible_ascii_characters(gateway: Rig, upstream: OpenAIUpstream, key: bytes) -> None:
    headers = [(b"idempotency-key", key), (b"authorization", f"Bearer {KEY}".encode())]
    assert_error(
        await gateway.http.post("/v1/chat/completions", json=PLAIN, headers=headers), 400, "invalid_request_error", None, "Idempotency-Key"
    )
    assert not upstream.requests
    assert (await gateway.post(PLAIN, headers=under("x" * 255))).status_code == 200


@pytest.mark.case("I6")
@pytest.mark.parametrize(
    ("step", "body", "expected"),
    [
        pytest.param(answer(), {"model": "fast"}, 400, id="not valid"),
        pytest.param(answer(), {**PLAIN, "model": "nobody"}, 404, id="no such model"),
        pytest.param(answer(), {**PLAIN, "max_tokens": 10**9}, 403, id="beyond the budget"),
        pytest.param(status(500), PLAIN, 502, id="the provider failed"),
        pytest.param(status(400), PLAIN, 400, id="the provider refused"),
    ],
)
async def test_what_failed_is_not_kept(gateway: Rig, upstream: OpenAIUpstream, name: str, step: Step, body: Any, expected: int) -> None:
    upstream.script(step)
    failed = await gateway.post(body, headers=under(name))
    assert failed.status_code == expected
    assert "idempotency-replayed" not in failed.headers
    upstream.script(answer())
    made = await gateway.post(PLAIN, headers=under(name))
    assert made.status_code == 200
    assert "idempotency-replayed" not in made.headers
    assert len(await rows_of(gateway, failed, made)) == 2


@pytest.mark.case("I6")
async def test_a_stream_that_was_cut_is_not_kept(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    upstream.script(events(*canonical_chunks()[:4], end="reset"))
    cut = await gateway.post(STREAM, headers=under(name))
    assert '"error"' in cut.text
    assert "[DONE]" not in cut.text
    upstream.script(answer())
    assert (await gateway.post(STREAM, headers=under(name))).text.endswith("data: [DONE]\n\n")


async def test_a_body_that_cannot_be_read_is_refused_as_ever_and_has_its_row(gateway: Rig, name: str) -> None:
    refused = await gateway.post(PLAIN, headers={**under(name), "content-encoding": "br"})
    assert_error(refused, 415, "invalid_request_error", "unsupported_encoding")
    assert [row["outcome"] for row in await rows_of(gateway, refused)] == ["refused"]


async def test_how_a_body_was_compressed_does_not_matter(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    body = b'{"model": "fast", "messages": [{"role": "user", "content": "hi"}]}'
    plain = await gateway.post(body, headers=under(name))
    packed = await gateway.post(gzip.compress(body), headers={**under(name), "content-encoding": "gzip"})
    assert plain.status_code == 200
    assert packed.content == plain.content
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_an_answer_that_is_too_large_is_passed_on_and_not_kept(
    gateway: Rig, upstream: OpenAIUpstream, name: str, body: dict[str, Any]
) -> None:
    words = "word " * (LARGEST // 5)
    chunks = canonical_chunks()
    chunks[2]["choices"][0]["delta"]["content"] = words
    upstream.script(events(*chunks, end="done") if body is STREAM else whole(completion(words)))
    answers = await asyncio.gather(*(gateway.post(body, headers=under(name)) for _ in range(3)))
    assert len(answers[0].content) > LARGEST
    assert len({answer.content for answer in answers}) == 1
    assert len(upstream.requests) == 1
    again = await gateway.post(body, headers=under(name))
    assert "idempotency-replayed" not in again.headers
    assert len(upstream.requests) == 2


async def test_when_one_hangs_up_the_others_go_on_and_when_the_last_one_does_the_call_ends(
    gateway: Rig, upstream: OpenAIUpstream, name: str
) -> None:
    go_on = asyncio.Event()
    upstream.script(after_three(go_on), answer())

    async def until_it_begins(begun: asyncio.Event) -> str:
        async with gateway.http.stream(
            "POST", "/v1/chat/completions", json=STREAM, headers={"authorization": f"Bearer {KEY}", **under(name)}
        ) as response:
            async for _ in response.aiter_raw():
                begun.set()
        return str(response.headers["x-request-id"])

    begun = [asyncio.Event() for _ in range(2)]
    first, second = (asyncio.create_task(until_it_begins(event)) for event in begun)
    await asyncio.gather(*(event.wait() for event in begun))
    first.cancel()
    await asyncio.wait({first})
    # Whoever joins now shows that the call still runs.
    third = asyncio.create_task(gateway.post(STREAM, headers=under(name)))
    await asyncio.sleep(0)
    assert not upstream.requests[0].hung_up.is_set()
    third.cancel()
    second.cancel()
    await asyncio.wait({second, third})
    # The key is free once the call has ended, for which a new one waits.
    anew = await gateway.post(STREAM, headers=under(name))
    assert anew.text.endswith("data: [DONE]\n\n")
    assert "idempotency-replayed" not in anew.headers
    go_on.set()
    assert [row["outcome"] for row in await gateway.rows()][-2:] == ["client_closed", "completed"]
    assert len(upstream.requests) == 2


@pytest.mark.case("D2")
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_who_reads_when_the_process_is_told_to_end_hears_of_it_and_the_key_is_free(
    gateway: Rig, upstream: OpenAIUpstream, name: str, body: dict[str, Any]
) -> None:
    upstream.script(events(*canonical_chunks()[:4], end="hang") if body is STREAM else hang(), answer())
    first, second = (asyncio.create_task(gateway.post(body, headers=under(name))) for _ in range(2))
    while not upstream.requests or len(serving()) < 2:
        await asyncio.sleep(0.01)
    if body is STREAM:
        # Some of it is out, so that the rest is an event.
        await until_begun(gateway, name)
    for task in serving():
        task.cancel()
    for told in await asyncio.gather(first, second):
        if body is PLAIN:
            assert_error(told, 503, "api_error", "unavailable")
        else:
            assert '"code":"unavailable"' in told.text
            assert "[DONE]" not in told.text
    await asyncio.wait_for(upstream.requests[0].hung_up.wait(), 10)
    # On a connection of its own: those of requests that were cancelled are being closed.
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        headers = {"authorization": f"Bearer {KEY}", **under(name)}
        while (anew := await client.post("/v1/chat/completions", json=body, headers=headers)).status_code == 409:
            await asyncio.sleep(0.01)
    assert anew.status_code == 200
    assert "idempotency-replayed" not in anew.headers
    assert [row["outcome"] for row in await gateway.rows()][-2:] == ["interrupted", "completed"]


def serving() -> list[asyncio.Task[Any]]:
    """The tasks of requests, which a server cancels when its patience is over."""
    return [task for task in asyncio.all_tasks() if "run_asgi" in getattr(task.get_coro(), "__qualname__", "")]


async def until_begun(gateway: Rig, name: str) -> None:
    """Read along until there is something."""
    async with gateway.http.stream(
        "POST", "/v1/chat/completions", json=STREAM, headers={"authorization": f"Bearer {KEY}", **under(name)}
    ) as response:
        async for _ in response.aiter_raw():
            return


async def test_nothing_that_is_kept_can_be_read_without_the_callers_keys(gateway: Rig, upstream: OpenAIUpstream) -> None:
    secret = "the-moon-is-made-of-cheese"
    upstream.script(answer(secret))
    asked = {"model": "fast", "messages": [{"role": "user", "content": f"say {secret}"}]}
    assert secret in (await gateway.post(asked, headers=under("a-key-that-tells-something"))).text
    async with gateway.runtime.db.read() as session:
        rows = list((await session.execute(sa.text("SELECT * FROM replay"))).mappings())
    kept = b"".join(str(value).encode() if not isinstance(value, bytes) else value for row in rows for value in row.values())
    assert len(rows) > 0
    for text in (secret, "a-key-that-tells-something", "application/json", "chat.completion", "my-secret"):
        assert text.encode() not in kept


async def test_replays_and_refusals_are_counted(gateway: Rig, name: str) -> None:
    def count(event: str) -> float:
        return gateway.runtime.metrics.registry.get_sample_value("bourse_replays_total", {"event": event}) or 0.0

    before = {event: count(event) for event in ("stored", "replayed", "idempotency_mismatch")}
    for body in (PLAIN, PLAIN, STREAM):
        await gateway.post(body, headers=under(name))
    assert {event: count(event) - value for event, value in before.items()} == {"stored": 1, "replayed": 1, "idempotency_mismatch": 1}
