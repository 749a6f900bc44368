"""Routes that an operator edits, beside three replicas on one PostgreSQL: live in all of them within five seconds."""

import asyncio
import random
import time

import aiohttp
import pytest

from backend.audit.service import AuditService
from backend.kernel.clock import SystemClock
from backend.routing.edits import RouteEdits
from backend.settings import Settings
from tests.conftest import Figures
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import TEN, THREE, THREE_WITH_REDIS, fleets
from tests.rig.fleet import OPERATOR, Fleet, Key, Operator, crowd, told


def edits_of(operator: Operator) -> RouteEdits:
    """An operator's hand on routes, in another process than the replicas'."""
    settings = Settings.model_validate({"providers": {"acme": {"base_url": "http://127.0.0.1:9/v1"}}})
    clock = SystemClock()
    return RouteEdits(operator.db, clock, AuditService(clock), settings)


async def everywhere(fleet: Fleet, key: Key, model: str, wanted: str) -> float:
    """Seconds until every replica answers so."""
    started = time.monotonic()

    async def at(number: int, session: aiohttp.ClientSession) -> None:
        while True:
            async with fleet.call(session, key, {**TEN, "model": model}, number) as answer:
                if await told(answer) == wanted:
                    return
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30), crowd() as session:
        await asyncio.gather(*(at(number, session) for number in range(len(fleet.urls))))
    return time.monotonic() - started


async def made_and_switched_off(fleet: Fleet, operator: Operator, key: Key) -> list[float]:
    """How long it took until all replicas had a new route, and until none had it any more."""
    edits, name = edits_of(operator), f"late-{random.randrange(16**6):06x}"
    candidate = {"provider": "acme", "model": "gpt-fake", "price": {"input": 0, "output": 1000}}
    await edits.create(OPERATOR, name, {"candidates": [candidate]})
    there = await everywhere(fleet, key, name, "200")
    await edits.change(OPERATOR, name, {"enabled": False})
    gone = await everywhere(fleet, key, name, "404 model_not_found")
    await edits.delete(OPERATOR, name)
    return [there, gone]


@fleets(THREE)
async def test_a_route_that_is_made_and_switched_off_is_so_in_every_replica(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream
) -> None:
    key = await operator.key()
    await fleet.knows(key)
    took = await made_and_switched_off(fleet, operator, key)
    assert max(took) < 20, "5 s, and a busy machine is not the product's slowness; the long test measures it"


@pytest.mark.soak
@fleets(THREE, THREE_WITH_REDIS)
async def test_how_soon_an_edited_route_counts_everywhere(
    fleet: Fleet, operator: Operator, upstream: OpenAIUpstream, figures: Figures
) -> None:
    key = await operator.key()
    await fleet.knows(key)
    took = sorted([one for _ in range(10) for one in await made_and_switched_off(fleet, operator, key)])
    figures(median=f"{took[10]:.2f} s", slowest=f"{took[-1]:.2f} s")
    assert took[-1] <= 5
