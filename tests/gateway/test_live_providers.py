"""Providers that come, change and go while calls run: their models answer at once, and nobody else notices."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.identity.principal import system
from backend.kernel.errors import BadRequest
from tests.conftest import sqlite_url
from tests.fakes import anthropic_upstream as anthropic
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, _whole, answer, canonical_chunks, completion, sse, status
from tests.gateway.conftest import KEY, PLAIN, Rig, configuration, open_gateway

OPERATOR = system("test")
LATE_KEY = "sk-late-0123456789-wxyz"
DIRECT = {**PLAIN, "model": "late/gpt-late"}


@pytest.fixture
async def late() -> AsyncIterator[OpenAIUpstream]:
    """A server that nobody has configured."""
    async with OpenAIUpstream() as server:
        yield server


async def models(gateway: Rig) -> list[str]:
    listed = await gateway.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
    return [model["id"] for model in listed.json()["data"]]


def held(until: asyncio.Event, begun: asyncio.Event) -> Step:
    """An answer that is begun, and goes on when it may."""

    async def step(exchange: Exchange) -> None:
        begun.set()
        await until.wait()
        await _whole(exchange, 200, completion("late but whole"))

    return step


async def test_its_models_answer_at_once_whole_and_streamed_with_its_key(gateway: Rig, late: OpenAIUpstream) -> None:
    edits = gateway.runtime.provider_edits
    assert (await gateway.post(DIRECT)).status_code == 404
    await edits.add(OPERATOR, "late", {"base_url": late.base_url, "models": ["gpt-late"], "headers": {"x-team": "a"}}, key=LATE_KEY)
    whole = await gateway.post(DIRECT)
    assert (whole.status_code, whole.json()["bourse"]["provider"]) == (200, "late")
    assert late.requests[0].headers["authorization"] == f"Bearer {LATE_KEY}"
    assert (late.requests[0].headers["x-team"], late.requests[0].body["model"]) == ("a", "gpt-late")
    _, streamed = await gateway.events(model="late/gpt-late")
    assert streamed[-1] == "[DONE]"
    assert "late/gpt-late" in await models(gateway)
    assert (await gateway.post({**DIRECT, "model": "late/other"})).status_code == 404
    assert [row["provider"] for row in await gateway.rows() if row["outcome"] == "completed"] == ["late", "late"]


async def test_who_did_not_change_keeps_his_connection_and_what_is_known_of_him(
    gateway: Rig, upstream: OpenAIUpstream, late: OpenAIUpstream
) -> None:
    runtime = gateway.runtime
    assert (await gateway.post(PLAIN)).status_code == 200
    adapter, health = runtime.connections.shared["acme"], runtime.health.provider("acme")
    await runtime.provider_edits.add(OPERATOR, "late", {"base_url": late.base_url})
    await runtime.provider_edits.change(OPERATOR, "acme", {"max_parallel": 7})
    await runtime.provider_edits.remove(OPERATOR, "late")
    assert runtime.connections.shared["acme"] is adapter
    assert runtime.health.provider("acme") is health
    assert health is not None
    assert health.bulkhead.limit == 7
    assert (await gateway.post(PLAIN)).status_code == 200
    assert {seen.connection for seen in upstream.requests} == {1}


async def test_one_that_is_switched_off_and_one_without_a_key_say_so(gateway: Rig) -> None:
    runtime = gateway.runtime
    edits = runtime.provider_edits
    await edits.change(OPERATOR, "acme", {"enabled": False})
    refused = await gateway.post(PLAIN)
    assert (refused.status_code, "acme is switched off" in refused.text) == (503, True)
    assert (await gateway.post({**PLAIN, "model": "pair"})).json()["bourse"]["provider"] == "backup"
    assert "fast" not in await models(gateway)
    await edits.reset(OPERATOR, "acme")
    assert (await gateway.post(PLAIN)).status_code == 200
    await edits.add(OPERATOR, "claude", {"protocol": "anthropic"})
    view = runtime.providers.get(OPERATOR, "claude")
    assert (view.key, view.usable, view.origin) == ("missing", False, "database")
    refused = await gateway.post({**PLAIN, "model": "claude/claude-haiku-4-5"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_available_provider")
    assert "claude has no key" in refused.json()["error"]["message"]


async def test_calls_under_way_end_and_the_next_are_told_why(gateway: Rig, late: OpenAIUpstream) -> None:
    runtime = gateway.runtime
    candidate = {"provider": "late", "model": "gpt-late", "price": {"input": 1, "output": 2}}
    await runtime.provider_edits.add(OPERATOR, "late", {"base_url": late.base_url}, key=LATE_KEY)
    await runtime.routing.edits.create(OPERATOR, "mine", {"candidates": [candidate]})
    await runtime.routing.refresh()
    until, begun = asyncio.Event(), asyncio.Event()
    late.script(held(until, begun))
    running = asyncio.create_task(gateway.post({**PLAIN, "model": "mine"}))
    await begun.wait()
    assert await runtime.provider_edits.remove(OPERATOR, "late") == 1
    until.set()
    ended = await running
    assert (ended.status_code, ended.json()["choices"][0]["message"]["content"]) == (200, "late but whole")
    refused = await gateway.post({**PLAIN, "model": "mine"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_available_provider")
    assert "taken the provider late away" in refused.json()["error"]["message"]
    assert "mine" not in await models(gateway)
    assert (await gateway.post(DIRECT)).status_code == 404
    view = runtime.routing.get(OPERATOR, "mine")
    assert "There is no provider 'late'" in view.why
    assert await runtime.credentials.keys(OPERATOR) == [key for key in await runtime.credentials.keys(OPERATOR) if key.provider != "late"]


async def test_another_address_is_another_server_without_the_key_and_the_faults_of_the_old_one(
    gateway: Rig, late: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    runtime = gateway.runtime
    until, begun = asyncio.Event(), asyncio.Event()

    async def refuses_late(exchange: Exchange) -> None:
        begun.set()
        await until.wait()
        await status(401)(exchange)

    await runtime.provider_edits.add(OPERATOR, "late", {"base_url": late.base_url}, key=LATE_KEY)
    late.script(refuses_late, status(401))
    running = asyncio.create_task(gateway.post(DIRECT))
    await begun.wait()
    refused = [(await gateway.post(DIRECT)).status_code for _ in range(3)]
    assert (refused, len(late.requests)) == ([502, 502, 502], 2)
    await runtime.provider_edits.change(OPERATOR, "late", {"base_url": other.base_url})
    missing = await gateway.post(DIRECT)
    assert (missing.status_code, "has no key" in missing.text) == (503, True)
    assert not other.requests
    await runtime.credentials.add(OPERATOR, "late", LATE_KEY, replace=True)
    until.set()
    assert (await running).status_code == 502
    assert (await gateway.post(DIRECT)).status_code == 200
    assert other.requests[0].headers["authorization"] == f"Bearer {LATE_KEY}"
    moved = runtime.health.provider("late")
    assert moved is not None
    assert (moved.credentials.failures, moved.bulkhead.running) == (0, 0)


async def test_more_places_go_to_who_waits(gateway: Rig, late: OpenAIUpstream) -> None:
    edits = gateway.runtime.provider_edits
    await edits.add(OPERATOR, "late", {"base_url": late.base_url, "max_parallel": 1})
    until, begun = asyncio.Event(), asyncio.Event()
    late.script(held(until, begun), answer("second"))
    first = asyncio.create_task(gateway.post(DIRECT))
    await begun.wait()
    second = asyncio.create_task(gateway.post(DIRECT))
    health = gateway.runtime.health.provider("late")
    assert health is not None
    while not health.bulkhead.waiting:
        await asyncio.sleep(0)
    await edits.change(OPERATOR, "late", {"max_parallel": 2})
    assert (await second).json()["choices"][0]["message"]["content"] == "second"
    until.set()
    assert (await first).status_code == 200
    assert health.bulkhead.running == 0


async def test_a_file_that_gains_the_name_is_never_overruled_about_where_its_key_goes(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream, late: OpenAIUpstream
) -> None:
    values: dict[str, Any] = configuration(upstream.base_url, other.base_url)
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(values))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        await rig.runtime.provider_edits.add(OPERATOR, "late", {"base_url": late.base_url})
        with pytest.raises(BadRequest, match="its key goes there alone"):
            await rig.runtime.provider_edits.change(OPERATOR, "acme", {"base_url": late.base_url})
    values["providers"]["late"] = {"base_url": other.base_url, "api_key": "sk-of-the-file-0123456789"}
    file.write_text(yaml.safe_dump(values))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        await rig.runtime.provider_book.load()
        await rig.runtime.connections.load()
        await rig.runtime.routes.load()
        view = rig.runtime.providers.get(OPERATOR, "late")
        assert (view.usable, view.origin, "do not fit together" in view.why) == (False, "both", True)
        assert (await rig.post(DIRECT)).status_code == 404
        assert not late.requests
        await rig.runtime.provider_edits.reset(OPERATOR, "late")
        assert (await rig.post(DIRECT)).status_code == 200
        assert other.requests[-1].headers["authorization"] == "Bearer sk-of-the-file-0123456789"


def only_of_anthropic(catalog: Path) -> None:
    """Loading all of it takes longer than the test."""
    with closing(sqlite3.connect(catalog)) as database, database:
        database.execute("DELETE FROM price WHERE offer_id NOT LIKE 'anthropic/%'")
        database.execute("DELETE FROM offer WHERE provider_id <> 'anthropic'")
        database.execute("DELETE FROM model WHERE id NOT IN (SELECT model_id FROM offer)")
        database.execute("DELETE FROM alias WHERE target NOT IN (SELECT id FROM model UNION SELECT id FROM offer)")


async def test_a_vendor_under_the_stores_name_answers_by_the_stores_names_at_the_stores_prices(
    tmp_path: Path, catalog_file: Path, late: OpenAIUpstream
) -> None:
    (tmp_path / "bourse.yaml").write_text("{}\n")
    database = sqlite_url(Path(shutil.copy(catalog_file, tmp_path / "bourse.db")))
    only_of_anthropic(tmp_path / "bourse.db")
    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, database) as rig:
        await rig.runtime.catalog.load()
        await rig.runtime.prices.load()
        settings = {"protocol": "anthropic", "base_url": late.base_url.removesuffix("/v1")}
        await rig.runtime.provider_edits.add(OPERATOR, "anthropic", settings, key=LATE_KEY)
        assert "anthropic/claude-sonnet-4-5" in await models(rig)
        late.script(anthropic.message(anthropic.text("Hello there.")))
        for model in ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5"):
            answered = await rig.post({**PLAIN, "model": model})
            assert answered.json()["choices"][0]["message"]["content"] == "Hello there."
            _, streamed = await rig.events(model=model)
            assert streamed[-1] == "[DONE]"
        assert {seen.headers["x-api-key"] for seen in late.requests} == {LATE_KEY}
        rows = await rig.rows()
        assert [(row["provider"], row["outcome"]) for row in rows] == [("anthropic", "completed")] * 4
        buckets = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
        assert {tuple(row[bucket] for bucket in buckets) for row in rows} == {(20, 40, 30, 7, 5)}
        assert len({row["charged_nano"] for row in rows}) == 1
        assert rows[0]["charged_nano"] > 0


@pytest.mark.parametrize("moves", [True, False])
async def test_who_waits_for_a_place_does_not_wait_for_one_that_is_gone(
    gateway: Rig, late: OpenAIUpstream, other: OpenAIUpstream, moves: bool
) -> None:
    edits = gateway.runtime.provider_edits
    await edits.add(OPERATOR, "late", {"base_url": late.base_url, "max_parallel": 1})
    until, begun = asyncio.Event(), asyncio.Event()
    late.script(held(until, begun))
    first = asyncio.create_task(gateway.post(DIRECT))
    await begun.wait()
    waiting = [asyncio.create_task(gateway.post(DIRECT)) for _ in range(3)]
    health = gateway.runtime.health.provider("late")
    assert health is not None
    while health.bulkhead.waiting < 3:
        await asyncio.sleep(0)
    if moves:
        await edits.change(OPERATOR, "late", {"base_url": other.base_url})
    else:
        await edits.remove(OPERATOR, "late")
    answers = [(await call).status_code for call in waiting]
    assert answers == ([200] * 3 if moves else [503] * 3)
    assert (len(other.requests), len(late.requests)) == (3 if moves else 0, 1)
    until.set()
    assert (await first).status_code == 200
    assert health.bulkhead.running == 0


async def test_a_stream_that_breaks_after_its_provider_is_gone_goes_on_elsewhere(
    gateway: Rig, late: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    runtime = gateway.runtime
    price = {"input": 1, "output": 2}
    candidates = [{"provider": name, "model": "gpt-x", "price": price} for name in ("late", "backup")]
    await runtime.provider_edits.add(OPERATOR, "late", {"base_url": late.base_url})
    await runtime.routing.edits.create(OPERATOR, "mine", {"candidates": candidates, "strategy": "ordered"})
    await runtime.routing.refresh()
    until, begun = asyncio.Event(), asyncio.Event()

    async def breaks(exchange: Exchange) -> None:
        await exchange.head(content_type="text/event-stream")
        for value in canonical_chunks()[:4]:
            await exchange.chunk(sse(value))
        begun.set()
        await until.wait()
        exchange.reset()

    late.script(breaks)
    running = asyncio.create_task(gateway.events(model="mine"))
    await begun.wait()
    await runtime.provider_edits.remove(OPERATOR, "late")
    until.set()
    _, streamed = await running
    assert streamed[-1] == "[DONE]"
    assert [row["provider"] for row in await gateway.rows("call_attempt")] == ["late", "backup"]
    assert other.requests
