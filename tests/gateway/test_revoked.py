"""A key that stops being good: between two calls, and while its stream runs."""

import asyncio
import json

import pytest

from backend.gateway import watch
from backend.identity.principal import system
from backend.kernel import changes
from backend.kernel.changes import ChangeFeed
from tests.fakes.openai_upstream import WORDS, OpenAIUpstream, canonical_chunks, events
from tests.gateway.conftest import PLAIN, Rig

OPERATOR = system("test")


@pytest.mark.case("A1")
@pytest.mark.parametrize("how", ["revoked", "suspended"])
async def test_the_running_stream_of_a_key_that_is_not_good_any_more_ends_in_an_error_event(
    gateway: Rig, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watch, "RECHECK_SECONDS", 0.02)
    upstream.script(events(*canonical_chunks()[:6], end="hang"))
    tenants = gateway.runtime.identity.tenants
    demo = next(tenant for tenant in await tenants.of(OPERATOR) if tenant.slug == "demo")
    made = await gateway.runtime.identity.keys.create(OPERATOR, demo.id, name="short-lived")
    await gateway.runtime.auth.load()
    lines: list[str] = []
    headers = {"authorization": f"Bearer {made.text}"}
    async with gateway.http.stream("POST", "/v1/chat/completions", json={**PLAIN, "stream": True}, headers=headers) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            lines.append(line)
            if WORDS[3] in line:
                if how == "revoked":
                    await gateway.runtime.identity.keys.revoke(OPERATOR, demo.id, made.view.id)
                else:
                    await tenants.set_status(OPERATOR, demo.id, "suspended")
                await gateway.runtime.auth.load()
    last = json.loads([line for line in lines if line.startswith("data: ")][-1].removeprefix("data: "))
    code = {"revoked": "invalid_api_key", "suspended": "tenant_suspended"}[how]
    assert last["error"]["code"] == code
    await upstream.requests[0].hung_up.wait()
    row = await gateway.last_row("interrupted")
    assert (row["error_code"], row["status"]) == (code, 200)
    assert row["charged_nano"] > 0


@pytest.mark.case("A1")
async def test_a_key_revoked_on_this_node_is_refused_without_waiting_for_the_next_look(gateway: Rig) -> None:
    runtime = gateway.runtime
    feed = ChangeFeed(runtime.db, runtime.clock, poll_seconds=3600)
    feed.subscribe(runtime.auth.load, vital=True)
    await feed.start()
    try:
        demo = await runtime.identity.tenants.get(OPERATOR, "demo")
        made = await runtime.identity.keys.create(OPERATOR, demo.id, name="short-lived")
        for wanted in (200, 401):
            async with asyncio.timeout(20):
                while (await gateway.post(PLAIN, key=made.text)).status_code != wanted:
                    await asyncio.sleep(0.01)
            await runtime.identity.keys.revoke(OPERATOR, demo.id, made.view.id)
    finally:
        await feed.stop()


@pytest.mark.case("A1")
async def test_a_node_that_could_not_confirm_its_keys_for_long_takes_no_new_call(gateway: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await gateway.runtime.change_feed.check()
    assert (await gateway.post(PLAIN)).status_code == 200
    with monkeypatch.context() as long_after:
        long_after.setattr(changes, "LOST_SECONDS", 0.0)
        refused = await gateway.post(PLAIN)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        ready = await gateway.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "out of date")
        assert (await gateway.http.get("/livez")).status_code == 200
    assert (await gateway.post(PLAIN)).status_code == 200
