"""Keys of providers on the wire: whose key a call is sent with, several of them, and what changes while calls run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.credentials.events import KeyRefused
from backend.identity.principal import system
from backend.observability.health import health_report
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, answer, status, whole
from tests.fakes.vault_server import ROOT, VaultServer
from tests.gateway.conftest import PLAIN, Rig, open_gateway

OPERATOR = system("test")
RED, BLUE = "sk-red-0123456789abcdef", "sk-blue-0123456789abcdef"
TENANTS_OWN = "sk-tenants-own-0123456789"
SMALL, OTHER = "sk-limited.local-only", "sk-demo.my-secret"
PRICE = {"input": 1, "output": 1}

Open = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def open_with(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> Open:
    """A gateway whose provider `acme` has these settings, and a second one that needs no key."""

    def opened(
        second: bool = False, vault: dict[str, Any] | None = None, masters: dict[str, str] | None = None, **acme: Any
    ) -> AbstractAsyncContextManager[Rig]:
        candidates = [{"provider": name, "model": "m", "price": PRICE} for name in ("acme", *(["backup"] if second else []))]
        values = {
            "providers": {"acme": {"base_url": upstream.base_url, **acme}, "backup": {"base_url": other.base_url}},
            "models": [{"alias": "fast", "strategy": "ordered", "candidates": candidates, "retries": {"per_candidate": 0}}],
            "secrets_file": str(tmp_path / "secrets.yaml"),
            "vault": vault or {},
            **(masters or {}),
            "bootstrap": {
                "tenants": [{"slug": "small", "name": "Small"}],
                "api_keys": [{"tenant": "small", "name": "limited", "key": SMALL}],
            },
        }
        file = tmp_path / "bourse.yaml"
        file.write_text(yaml.safe_dump(values, sort_keys=False))
        return open_gateway(file, tmp_path, sqlite_database_url)

    return opened


@pytest.fixture
async def rig(open_with: Open) -> AsyncIterator[Rig]:
    async with open_with(api_keys={"red": RED, "blue": BLUE}) as opened:
        yield opened


def by_key(**steps: Step) -> Step:
    """Answers by the key that the request came with."""

    async def step(exchange: Exchange) -> None:
        sent = exchange.seen.headers.get("authorization", "")
        name = next((name for name, key in {"red": RED, "blue": BLUE, "own": TENANTS_OWN}.items() if sent == f"Bearer {key}"), "none")
        await steps.get(name, answer())(exchange)

    return step


def sent(upstream: OpenAIUpstream) -> list[str]:
    """The keys of all requests so far."""
    return [seen.headers.get("authorization", "").removeprefix("Bearer ") for seen in upstream.requests]


async def small_tenant(rig: Rig) -> str:
    return (await rig.runtime.identity.tenants.get(OPERATOR, "small")).id


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_key_that_is_limited_makes_way_in_the_same_attempt(rig: Rig, upstream: OpenAIUpstream, stream: bool) -> None:
    upstream.script(by_key(red=status(429, None, "retry-after: 60"), blue=answer()))
    for _ in range(3):
        assert (await rig.post({**PLAIN, "stream": stream})).status_code == 200
    assert sent(upstream) == [RED, BLUE, BLUE, BLUE]
    attempts = await rig.rows("call_attempt")
    assert [(row["outcome"], row["key_name"]) for row in attempts] == [("completed", "blue")] * 3


async def test_a_key_that_is_refused_is_told_and_left_alone_while_the_other_goes_on(
    rig: Rig, upstream: OpenAIUpstream, capfd: pytest.CaptureFixture[str]
) -> None:
    refused: list[KeyRefused] = []
    rig.runtime.events.subscribe(KeyRefused, refused.append)
    upstream.script(by_key(red=status(401, {"error": {"message": f"Incorrect API key provided: {RED}"}}), blue=answer()))
    for _ in range(3):
        assert (await rig.post(PLAIN)).status_code == 200
    assert sent(upstream) == [RED, BLUE, BLUE, BLUE]
    assert [(event.provider, event.key, event.status) for event in refused] == [("acme", "red", 401)]
    said = capfd.readouterr().out
    assert "provider_key.refused" in said
    assert RED not in said
    assert 'bourse_provider_keys_refused_total{provider="acme"} 1.0' in rig.runtime.metrics.render().decode()
    health = rig.runtime.health.provider("acme")
    assert health is not None
    assert not health.credentials.failures


async def test_where_every_key_is_limited_the_caller_hears_when_the_first_is_free(rig: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(by_key(red=status(429, None, "retry-after: 90"), blue=status(429, None, "retry-after: 40")))
    response = await rig.post(PLAIN)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "upstream_rate_limited")
    assert 20 < int(response.headers["retry-after"]) <= 40
    (row,) = await rig.rows()
    assert row["attempts"] == 1


async def test_a_provider_with_one_key_is_asked_by_its_adapter_alone(open_with: Open, upstream: OpenAIUpstream) -> None:
    async with open_with(api_key=RED) as rig:
        assert type(rig.runtime.connections.shared["acme"]).__name__ == "OpenAIProvider"
        await rig.post(PLAIN)
        assert [row["key_name"] for row in await rig.rows("call_attempt")] == [None]
    assert sent(upstream) == [RED]


async def test_without_its_key_a_provider_is_left_out_and_says_why(
    open_with: Open, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    async with open_with(api_key="env:NOT_SET_ANYWHERE") as rig:
        error = (await rig.post(PLAIN)).json()["error"]
        assert error["code"] == "no_available_provider"
        assert "The provider acme has no key" in error["message"]
        assert "NOT_SET_ANYWHERE" not in error["message"]
        listed = {view.name: view for view in rig.runtime.providers.all(OPERATOR)}
        assert (listed["acme"].key, listed["acme"].usable) == ("missing", False)
        assert "NOT_SET_ANYWHERE" in listed["acme"].why
    async with open_with(second=True, api_key="env:NOT_SET_ANYWHERE") as rig:
        response = await rig.post(PLAIN)
        assert (response.status_code, response.headers["x-bourse-provider"]) == (200, "backup")
        assert response.headers["x-bourse-attempts"] == "1"
    assert not upstream.requests
    assert len(other.requests) == 1


async def test_a_key_that_is_stored_counts_at_once_and_one_that_is_removed_counts_no_more(
    open_with: Open, upstream: OpenAIUpstream
) -> None:
    async with open_with(api_key="env:NOT_SET_ANYWHERE") as rig:
        await rig.runtime.connections.load()
        assert (await rig.post(PLAIN)).status_code == 503
        await rig.runtime.credentials.add(OPERATOR, "acme", RED)
        assert (await rig.post(PLAIN)).status_code == 200
        await rig.runtime.credentials.add(OPERATOR, "acme", BLUE, replace=True)
        assert (await rig.post(PLAIN)).status_code == 200
        await rig.runtime.credentials.remove(OPERATOR, "acme", "default")
        assert (await rig.post(PLAIN)).status_code == 503
    assert sent(upstream) == [RED, BLUE]


@pytest.mark.case("S3")
async def test_keys_are_sealed_under_another_master_key_while_calls_run(
    open_with: Open, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.credentials.service.BATCH", 2)
    first, second = "first-master-key-of-at-least-32-signs", "second-master-key-of-at-least-32-signs"
    async with open_with(masters={"secret_key": first}) as rig:
        small = await small_tenant(rig)
        for number in range(10):
            await rig.runtime.credentials.add(OPERATOR, "acme", f"{RED}-{number}", name=f"k{number}")
            await rig.runtime.credentials.add(OPERATOR, "acme", f"{TENANTS_OWN}-{number}", name=f"k{number}", tenant_id=small)
    statuses: list[int] = []
    async with open_with(masters={"secret_key": second, "secret_key_previous": first}) as rig:
        await rig.runtime.connections.load()
        sealing = asyncio.create_task(rig.runtime.credentials.reseal(OPERATOR))
        while not sealing.done():
            answers = await asyncio.gather(*(rig.post(PLAIN, key=key) for key in (SMALL, OTHER) for _ in range(2)))
            await rig.runtime.connections.load()
            statuses += [response.status_code for response in answers]
        assert await sealing == (20, 0)
    async with open_with(masters={"secret_key": second}) as rig:
        await rig.runtime.connections.load()
        statuses += [(await rig.post(PLAIN, key=key)).status_code for key in (SMALL, OTHER)]
    assert len(statuses) > 4
    assert set(statuses) == {200}
    assert {key.rpartition("-")[0] for key in sent(upstream)} == {RED, TENANTS_OWN}


async def test_a_stream_ends_with_the_key_that_it_began_with(open_with: Open, upstream: OpenAIUpstream) -> None:
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await answer()(exchange)

    upstream.script(slow)
    async with open_with(api_key=RED) as rig:
        call = asyncio.create_task(rig.events())
        while not upstream.requests:
            await asyncio.sleep(0.005)
        await rig.runtime.credentials.add(OPERATOR, "acme", BLUE)
        go_on.set()
        _, data = await call
        assert data[-1] == "[DONE]"
        await rig.post(PLAIN)
    assert sent(upstream) == [RED, BLUE]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_tenants_own_key_serves_its_calls_and_nobody_elses(open_with: Open, upstream: OpenAIUpstream, stream: bool) -> None:
    async with open_with(api_key=RED) as rig:
        await rig.runtime.credentials.add(OPERATOR, "acme", TENANTS_OWN, tenant_id=await small_tenant(rig))
        for key in (SMALL, OTHER, SMALL, OTHER):
            assert (await rig.post({**PLAIN, "stream": stream}, key=key)).status_code == 200
        assert sent(upstream) == [TENANTS_OWN, RED, TENANTS_OWN, RED]
        assert [row["key_name"] for row in await rig.rows("call_attempt")].count("own:default") == 2


EMBEDDED = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
    "usage": {"prompt_tokens": 1},
}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/messages", {"model": "fast", "max_tokens": 9, "messages": PLAIN["messages"]}, id="messages"),
        pytest.param("/v1/responses", {"model": "fast", "input": "hi"}, id="responses"),
        pytest.param("/v1/embeddings", {"model": "fast", "input": "hi"}, id="embeddings"),
    ],
)
async def test_a_tenants_own_key_serves_it_at_every_endpoint(
    open_with: Open, upstream: OpenAIUpstream, path: str, body: dict[str, Any]
) -> None:
    if path == "/v1/embeddings":
        upstream.script(whole(EMBEDDED))
    async with open_with(api_key=RED) as rig:
        await rig.runtime.credentials.add(OPERATOR, "acme", TENANTS_OWN, tenant_id=await small_tenant(rig))
        for key in (SMALL, OTHER, SMALL):
            response = await rig.http.post(path, json=body, headers={"authorization": f"Bearer {key}"})
            assert response.status_code == 200, response.text
    assert sent(upstream) == [TENANTS_OWN, RED, TENANTS_OWN]


async def test_what_a_tenants_own_key_meets_is_its_affair_alone(open_with: Open, upstream: OpenAIUpstream) -> None:
    upstream.script(by_key(own=status(401)))
    async with open_with(api_key=RED) as rig:
        await rig.runtime.credentials.add(OPERATOR, "acme", TENANTS_OWN, tenant_id=await small_tenant(rig))
        for _ in range(4):
            response = await rig.post(PLAIN, key=SMALL)
            assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_credentials")
            assert (await rig.post(PLAIN, key=OTHER)).status_code == 200
        # Nobody paid for it with the operator's key, and its breaker is open for it alone.
        assert sent(upstream).count(RED) == 4
        assert sent(upstream).count(TENANTS_OWN) == 1
        health = rig.runtime.health.provider("acme")
        assert health is not None
        assert not health.credentials.failures


async def test_what_the_operators_key_meets_does_not_touch_a_tenant_with_its_own(open_with: Open, upstream: OpenAIUpstream) -> None:
    upstream.script(by_key(red=status(401)))
    async with open_with(api_key=RED) as rig:
        await rig.runtime.credentials.add(OPERATOR, "acme", TENANTS_OWN, tenant_id=await small_tenant(rig))
        for _ in range(3):
            assert (await rig.post(PLAIN, key=OTHER)).status_code == 502
            assert (await rig.post(PLAIN, key=SMALL)).status_code == 200
        health = rig.runtime.health.provider("acme")
        assert health is not None
        # Its answers do not make the operator's key good again.
        assert health.credentials.failures


async def test_a_tenant_with_its_own_key_is_served_where_the_operator_has_none(open_with: Open, upstream: OpenAIUpstream) -> None:
    async with open_with(api_key="env:NOT_SET_ANYWHERE") as rig:
        await rig.runtime.credentials.add(OPERATOR, "acme", TENANTS_OWN, tenant_id=await small_tenant(rig))
        assert (await rig.post(PLAIN, key=SMALL)).status_code == 200
        assert (await rig.post(PLAIN, key=OTHER)).status_code == 503
    assert sent(upstream) == [TENANTS_OWN]


@pytest.mark.case("Z6")
async def test_a_key_is_not_sent_to_where_its_provider_has_moved(open_with: Open, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    async with open_with() as rig:
        small = await small_tenant(rig)
        await rig.runtime.credentials.add(OPERATOR, "acme", RED)
        await rig.runtime.credentials.add(OPERATOR, "acme", TENANTS_OWN, tenant_id=small)
        assert (await rig.post(PLAIN)).status_code == 200
    async with open_with(base_url=other.base_url) as rig:
        await rig.runtime.connections.load()
        # The shared key is missing; a tenant whose own key cannot be used is not served with anybody else's.
        for key in (OTHER, SMALL):
            assert (await rig.post(PLAIN, key=key)).json()["error"]["code"] == "no_available_provider"
        (trial,) = await rig.runtime.credentials.test(OPERATOR, rig.runtime.connections.upstream_http(), "acme")
        assert not trial.reached
        assert "add it anew" in trial.why
        (own,) = await rig.runtime.credentials.test(OPERATOR, rig.runtime.connections.upstream_http(), "acme", tenant_id=small)
        assert not own.reached
        assert other.requests == other.looks == []
        await rig.runtime.credentials.add(OPERATOR, "acme", BLUE, replace=True)
        assert (await rig.post(PLAIN)).status_code == 200
    assert sent(other) == [BLUE]


async def test_the_connection_is_tried_with_each_key_for_nothing(rig: Rig, upstream: OpenAIUpstream) -> None:
    upstream.models = by_key(red=status(401), blue=status(200, {"data": []}))
    trials = await rig.runtime.credentials.test(OPERATOR, rig.runtime.connections.upstream_http(), "acme")
    assert [(trial.key, trial.reached, trial.accepted, trial.status) for trial in trials] == [
        ("red", True, False, 401),
        ("blue", True, True, 200),
    ]
    assert not upstream.requests


async def test_secrets_yaml_is_asked_where_the_configuration_names_no_key(
    open_with: Open, upstream: OpenAIUpstream, tmp_path: Path
) -> None:
    (tmp_path / "secrets.yaml").write_text(yaml.safe_dump({"acme": {"api_key": RED}}))
    async with open_with() as rig:
        assert (await rig.post(PLAIN)).status_code == 200
    async with open_with(api_key=BLUE) as rig:
        assert (await rig.post(PLAIN)).status_code == 200
    assert sent(upstream) == [RED, BLUE]


async def test_another_key_is_tried_at_once_and_not_only_by_the_next_probe(open_with: Open, upstream: OpenAIUpstream) -> None:
    upstream.script(by_key(red=status(401)))
    async with open_with(api_key=RED) as rig:
        assert [(await rig.post(PLAIN)).status_code for _ in range(2)] == [502, 502]
        assert sent(upstream) == [RED]
        await rig.runtime.credentials.add(OPERATOR, "acme", BLUE)
        assert (await rig.post(PLAIN)).status_code == 200
    assert sent(upstream) == [RED, BLUE]


async def test_another_key_is_not_limited_by_what_was_asked_with_the_one_before(open_with: Open, upstream: OpenAIUpstream) -> None:
    upstream.script(by_key(red=status(429, None, "retry-after: 900")))
    async with open_with(api_keys={"red": RED}) as rig:
        assert [(await rig.post(PLAIN)).status_code for _ in range(2)] == [429, 429]
        await rig.runtime.credentials.add(OPERATOR, "acme", BLUE, name="blue")
        assert (await rig.post(PLAIN)).status_code == 200
    assert BLUE in sent(upstream)


async def test_a_call_that_was_sent_with_the_key_before_says_nothing_of_the_key_of_now(open_with: Open, upstream: OpenAIUpstream) -> None:
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await go_on.wait()
        await status(401)(exchange)

    upstream.script(by_key(red=slow))
    async with open_with(api_key=RED) as rig:
        late = asyncio.create_task(rig.post(PLAIN))
        while not upstream.requests:
            await asyncio.sleep(0.005)
        await rig.runtime.credentials.add(OPERATOR, "acme", BLUE)
        go_on.set()
        assert (await late).status_code == 502
        assert (await rig.post(PLAIN)).status_code == 200
    assert sent(upstream) == [RED, BLUE]


async def test_a_key_in_a_vault_is_exchanged_there_and_kept_while_it_is_away(open_with: Open, upstream: OpenAIUpstream) -> None:
    async with VaultServer(secrets={"acme": {"api_key": RED}}) as server:
        vault = {"address": server.address, "token": ROOT, "refresh": "1s"}
        async with open_with(vault=vault, api_key="vault:secret/acme") as rig:
            assert (await rig.post(PLAIN)).status_code == 503
            assert rig.runtime.vault is not None
            await rig.runtime.connections.load()
            assert (await rig.post(PLAIN)).status_code == 200
            assert (await health_report(rig.runtime)).body["vault"] == {"status": "ok", "secrets": 1, "secrets_not_read": 0}
            server.mood = "sealed"
            rig.runtime.vault.start(rig.runtime.connections.refresh)
            await reported(rig, "away")
            assert (await health_report(rig.runtime)).body["status"] == "degraded"
            assert (await rig.post(PLAIN)).status_code == 200
            server.mood, server.secrets["acme"]["api_key"] = "well", BLUE
            await rig.runtime.vault.refresh()
            rig.runtime.connections.refresh()
            assert (await health_report(rig.runtime)).body["vault"]["status"] == "ok"
            assert (await rig.post(PLAIN)).status_code == 200
            await rig.runtime.vault.stop()
    assert sent(upstream) == [RED, RED, BLUE]


async def reported(rig: Rig, status: str) -> None:
    async with asyncio.timeout(10):
        while (await health_report(rig.runtime)).body["vault"]["status"] != status:
            await asyncio.sleep(0.02)
