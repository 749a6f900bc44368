"""A key that stops being good while its stream runs."""

import json

import pytest

from backend.gateway import watch
from backend.identity.principal import system
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
    made = await tenants.create_key(OPERATOR, demo.id, name="short-lived")
    await gateway.runtime.auth.load()
    lines: list[str] = []
    headers = {"authorization": f"Bearer {made.text}"}
    async with gateway.http.stream("POST", "/v1/chat/completions", json={**PLAIN, "stream": True}, headers=headers) as response:
        assert response.status_code == 200
        async for line in response.aiter_lines():
            lines.append(line)
            if WORDS[3] in line:
                if how == "revoked":
                    await tenants.revoke_key(OPERATOR, demo.id, made.view.id)
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
