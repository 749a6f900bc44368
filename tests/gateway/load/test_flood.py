"""Floods and slow callers at a whole gateway: what they cost the others, and what they get themselves."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.kernel.body import read_body
from backend.kernel.json import dump_json
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import UNLIMITED, Rig, configuration, open_gateway

FLOOD, MODEST, FREE = "sk-flood.local-only", "sk-modest.local-only", "sk-free.local-only"
QUEUE = 200


@pytest.fixture
async def busy(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> AsyncIterator[Rig]:
    settings = configuration(upstream.base_url, other.base_url)
    settings["rate_limits"] = UNLIMITED
    settings["overload"] = {"queue": QUEUE, "wait": "60s"}
    settings["bootstrap"] = {
        "tenants": [{"slug": "flood"}, {"slug": "modest"}, {"slug": "free", "tier": "free"}],
        "api_keys": [
            {"tenant": tenant, "name": tenant, "key": key} for tenant, key in (("flood", FLOOD), ("modest", MODEST), ("free", FREE))
        ],
    }
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


def request(key: str, who: str) -> bytes:
    body = dump_json({"model": "fast", "messages": [{"role": "user", "content": who}], "max_tokens": 5})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def ask(rig: Rig, data: bytes, *, when: asyncio.Event | None = None) -> tuple[int, bytes]:
    """Status and headers of the answer, over a connection of its own; connected at once, and sent `when` it is time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
    try:
        if when is not None:
            await when.wait()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), head
    finally:
        writer.close()


def asked(upstream: OpenAIUpstream) -> list[Any]:
    """Whose calls the provider saw, in their order."""
    return [seen.body["messages"][0]["content"] for seen in upstream.requests]


@pytest.mark.case("L6")
async def test_a_tenant_that_floods_waits_behind_itself_and_another_ones_calls_go_first(busy: Rig, upstream: OpenAIUpstream) -> None:
    for key in (FLOOD, MODEST):
        assert (await ask(busy, request(key, "before")))[0] == 200
    go, modest = asyncio.Event(), asyncio.Event()
    flood = [asyncio.create_task(ask(busy, request(FLOOD, "flood"), when=go)) for _ in range(300)]
    another = asyncio.create_task(ask(busy, request(MODEST, "modest"), when=modest))
    gate = busy.runtime.gateway.gate
    await asyncio.sleep(0.1)
    go.set()
    while gate.waiting < QUEUE // 2:
        await asyncio.sleep(0)
    before = len(upstream.requests)
    modest.set()
    status, _ = await another
    assert status == 200
    still_waiting = gate.waiting
    results = await asyncio.gather(*flood)
    place = asked(upstream).index("modest") - before
    assert still_waiting > QUEUE // 4, "it was answered while the flood still waited for its turn"
    assert place <= 100, "what had begun before it, and was on its way to the provider"
    told = Counter(status for status, _ in results)
    # Some had begun before the queue was full; whoever found it so was told when to come back.
    assert set(told) <= {200, 503}
    assert told[200] >= QUEUE
    assert all(b"\r\nretry-after: " in head for status, head in results if status == 503)
    shed = busy.runtime.metrics.registry.get_sample_value("bourse_shed_calls_total", {"reason": "queue"}) or 0
    assert shed == told[503]
    assert len(await busy.rows()) == told[200] + 3, "who was turned away made no call"


async def test_calls_of_the_lowest_tier_are_refused_first_and_before_their_bodies_come(busy: Rig, upstream: OpenAIUpstream) -> None:
    for _ in range(60):
        busy.runtime.load.sampled(0.5, 0.0)
    assert busy.runtime.load.level == "high"
    busy.runtime.gateway.gate.look()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {FREE}\r\ncontent-length: 1000000\r\n\r\n".encode()
    status, told = await ask(busy, head)
    assert status == 503
    assert b"\r\nretry-after: 2" in told
    assert (await ask(busy, request(MODEST, "modest")))[0] == 200
    answer = await busy.post({"model": "fast", "messages": []}, key=FREE)
    assert answer.json()["error"]["code"] == "overloaded"
    metrics = (await busy.http.get("/metrics")).text
    assert 'bourse_shed_calls_total{reason="high"} 2.0' in metrics
    assert "bourse_load_level 1.0" in metrics
    for _ in range(60):
        busy.runtime.load.sampled(0.0, 0.0)
    assert (await ask(busy, request(FREE, "free")))[0] == 200
    assert asked(upstream) == ["modest", "free"]


@pytest.mark.case("C2")
async def test_bodies_that_do_not_come_are_cut_and_hold_up_nobody(busy: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = read_body.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "idle_seconds", 0.5)  # 15 s is what callers get
    whole = request(FLOOD, "slow")
    slow = [asyncio.create_task(ask(busy, whole[: -number - 2])) for number in range(50)]
    while busy.runtime.metrics.registry.get_sample_value("bourse_refusals_total", {"reason": "request_timeout"}) != 50:
        assert (await ask(busy, request(MODEST, "modest")))[0] == 200
    assert {status for status, _ in await asyncio.gather(*slow)} == {408}
