"""Looking at providers in the background: what is learnt of them, what it changes, and what it does not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from backend.kernel.addresses import AddressPolicy
from backend.kernel.events import EventBus
from backend.providers import openai, sandbox
from backend.providers.failures import connect_failure, failure_from_error_body
from backend.providers.http import UpstreamHttp
from backend.providers.provider import Provider
from backend.routing.events import CredentialsRefused
from backend.routing.health import CandidateHealth, Health
from backend.routing.probes import Probes
from backend.routing.route import Breaker, Candidate
from backend.settings import HealthCheckSettings, NetworkSettings, ProviderSettings
from tests.fakes.openai_upstream import OpenAIUpstream, hang, reset, status
from tests.rig.processes import free_port

BREAKER = Breaker(failures=2)


class Watched:
    """A provider on the wire, one that nobody listens for, and the sandbox, with what is known of them."""

    def __init__(self, upstream: OpenAIUpstream, dead_port: int, **settings: object) -> None:
        self.upstream = upstream
        self.http = UpstreamHttp(AddressPolicy(NetworkSettings().allow_private))
        self.events = EventBus()
        self.health = Health(events=self.events)
        self.told: list[CredentialsRefused] = []
        self.events.subscribe(CredentialsRefused, self.told.append)
        addresses = {"acme": upstream.base_url, "gone": f"http://127.0.0.1:{dead_port}/v1"}
        providers: dict[str, Provider] = {
            name: openai.build(name, ProviderSettings.model_validate({"base_url": url, "api_key": "sk-1234567890"}), self.http)
            for name, url in addresses.items()
        }
        providers["sandbox"] = sandbox.build("sandbox", ProviderSettings(protocol="sandbox"), self.http)
        self.probes = Probes(HealthCheckSettings.model_validate(settings), providers, self.health, self.events)

    def open(self, provider: str, model: str, kind: str) -> CandidateHealth:
        """A candidate that has failed until its breaker opened."""
        health = self.health.of(Candidate(provider, model, offer_id=f"{provider}/{model}"))
        failure = connect_failure(provider) if kind == "connect" else failure_from_error_body(provider, 503, None)
        for _ in range(BREAKER.failures):
            health.provider.bulkhead.running += 1
            health.failed(failure, BREAKER, health.begin())
        assert health.is_open(BREAKER)
        return health


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    async with OpenAIUpstream() as upstream:
        made = Watched(upstream, free_port(), timeout=1.5)
        yield made
        await made.probes.stop()
        await made.http.close()


async def test_a_look_asks_for_the_models_with_the_key_and_nothing_that_costs(watched: Watched) -> None:
    await watched.probes.look()
    [seen] = watched.upstream.looks
    assert (seen.method, seen.path, seen.headers["authorization"]) == ("GET", "/v1/models", "Bearer sk-1234567890")
    assert watched.upstream.requests == []
    assert watched.probes.newest["acme"].reached
    assert watched.probes.newest["gone"].error == "connect"
    assert watched.probes.providers == ["acme", "gone"], "the sandbox is always there"


async def test_who_answers_anything_at_all_is_there_and_who_is_silent_or_breaks_off_is_not(watched: Watched) -> None:
    for code in (200, 401, 404, 500):
        watched.upstream.models = status(code)
        await watched.probes.look()
        assert (watched.probes.newest["acme"].status, watched.probes.newest["acme"].reached) == (code, True)
    for step, error in ((hang(), "timeout"), (reset(), "reset")):
        watched.upstream.models = step
        await watched.probes.look()
        assert watched.probes.newest["acme"].error == error


async def test_a_look_closes_what_could_not_be_connected_to_and_leaves_what_failed_otherwise(watched: Watched) -> None:
    unreachable, failing = watched.open("acme", "one", "connect"), watched.open("acme", "two", "server")
    elsewhere = watched.open("gone", "one", "connect")
    await watched.probes.look()
    assert not unreachable.is_open(BREAKER)
    assert failing.is_open(BREAKER), "only an answer of the model itself says that it answers"
    assert elsewhere.is_open(BREAKER)
    watched.upstream.models = hang()
    again = watched.open("acme", "one", "connect")
    await watched.probes.look()
    assert again.is_open(BREAKER)


async def test_a_look_that_fails_opens_nothing(watched: Watched) -> None:
    health = watched.health.of(Candidate("gone", "one", offer_id="gone/one"))
    for _ in range(5):
        await watched.probes.look()
    assert health.well


async def test_a_refused_key_is_told_once_and_does_not_leave_out_the_provider(watched: Watched) -> None:
    health = watched.health.of(Candidate("acme", "one", offer_id="acme/one"))
    watched.upstream.models = status(401)
    for _ in range(3):
        await watched.probes.look()
    assert [(event.provider, event.status) for event in watched.told] == [("acme", 401)]
    assert health.well
    watched.upstream.models = status(200)
    await watched.probes.look()
    watched.upstream.models = status(401)
    await watched.probes.look()
    assert len(watched.told) == 2


async def test_looks_come_again_and_again_until_the_end(watched: Watched) -> None:
    watched.probes._interval = timedelta(milliseconds=10).total_seconds()
    watched.probes.start()
    while len(watched.upstream.looks) < 3:
        await asyncio.sleep(0.01)
    await watched.probes.stop()
    seen = len(watched.upstream.looks)
    await asyncio.sleep(0.05)
    assert len(watched.upstream.looks) == seen


async def test_nobody_looks_where_it_is_switched_off(watched: Watched) -> None:
    off = Watched(watched.upstream, free_port(), enabled=False)
    off.probes.start()
    await asyncio.sleep(0)
    assert off.probes.next_at is None
    await off.probes.stop()
    await off.http.close()
