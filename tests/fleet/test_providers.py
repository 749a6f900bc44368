"""Providers that an operator adds and takes away, beside three replicas on one PostgreSQL: live in all of them within a second."""

import asyncio
import random
import time
from ipaddress import IPv4Network
from pathlib import Path

import aiohttp
import pytest

from backend.audit.service import AuditService
from backend.credentials.book import KeyBook
from backend.credentials.master import MasterKeys
from backend.credentials.service import CredentialService
from backend.kernel.addresses import AddressPolicy
from backend.kernel.clock import SystemClock
from backend.providers.book import ProviderBook
from backend.providers.edits import ProviderEdits
from backend.routing.edits import RouteEdits
from backend.settings import Settings
from tests.conftest import Figures
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import TEN, THREE, THREE_WITH_REDIS, fleets
from tests.rig.fleet import OPERATOR, Fleet, Key, Operator, crowd, told


class Hand:
    """An operator's on providers and routes, in another process than the replicas'."""

    def __init__(self, operator: Operator, folder: Path) -> None:
        settings, clock = Settings(data_dir=folder, secrets_file=folder / "none.yaml"), SystemClock()
        audit, self._book, masters = AuditService(clock), ProviderBook(settings, operator.db), MasterKeys(settings)
        keys = KeyBook(settings, operator.db, masters, providers=self._book)
        credentials = CredentialService(operator.db, clock, audit, self._book, masters, keys)
        policy = AddressPolicy((IPv4Network("127.0.0.1/32"),))
        self.providers = ProviderEdits(operator.db, clock, audit, settings, policy, credentials, reload=self._book.load)
        self.routes = RouteEdits(operator.db, clock, audit, settings, self._book)


async def everywhere(fleet: Fleet, key: Key, model: str, wanted: str) -> float:
    """Seconds until every replica answers so."""
    started = time.monotonic()

    async def at(number: int, session: aiohttp.ClientSession) -> None:
        while True:
            async with fleet.call(session, key, {**TEN, "model": model}, number) as answer:
                if (await told(answer)).startswith(wanted):
                    return
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30), crowd() as session:
        await asyncio.gather(*(at(number, session) for number in range(len(fleet.urls))))
    return time.monotonic() - started


async def come_and_gone(fleet: Fleet, hand: Hand, key: Key, upstream: OpenAIUpstream) -> list[float]:
    """How long it took until all replicas asked a new provider, until all had heard that it is switched off, and that it is gone."""
    name = f"late-{random.randrange(16**6):06x}"
    candidate = {"provider": name, "model": "gpt-late", "price": {"input": 0, "output": 1000}}
    await hand.providers.add(OPERATOR, name, {"base_url": upstream.base_url, "enabled": False})
    await hand.routes.create(OPERATOR, f"{name}-route", {"candidates": [candidate]})
    await everywhere(fleet, key, f"{name}-route", "503 no_available_provider: No provider that is configured can answer")
    await hand.providers.change(OPERATOR, name, {"enabled": True})
    took = [await everywhere(fleet, key, f"{name}-route", "200")]
    assert upstream.requests[-1].body["model"] == "gpt-late"
    for change, says in (
        (hand.providers.change(OPERATOR, name, {"enabled": False}), f"The provider {name} is switched off."),
        (hand.providers.remove(OPERATOR, name), f"The operator has taken the provider {name} away"),
    ):
        await change
        wanted = f"503 no_available_provider: No provider that is configured can answer for this model. {says}"
        took.append(await everywhere(fleet, key, f"{name}-route", wanted))
    await hand.routes.delete(OPERATOR, f"{name}-route")
    return took


@fleets(THREE)
async def test_a_provider_that_comes_and_goes_does_so_in_every_replica(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, tmp_path: Path
) -> None:
    key = await operator.key()
    await fleet.knows(key)
    took = await come_and_gone(fleet, Hand(operator, tmp_path), key, upstream)
    assert max(took) < 20, "1 s, and a busy machine is not the product's slowness; the long test measures it"


@pytest.mark.soak
@fleets(THREE, THREE_WITH_REDIS)
async def test_how_soon_a_provider_counts_everywhere(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, figures: Figures, tmp_path: Path
) -> None:
    key, hand = await operator.key(), Hand(operator, tmp_path)
    await fleet.knows(key)
    took = sorted([one for _ in range(10) for one in await come_and_gone(fleet, hand, key, upstream)])
    figures(median=f"{took[15]:.2f} s", slowest=f"{took[-1]:.2f} s")
    assert took[-1] <= 1
