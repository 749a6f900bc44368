"""The faults on stage: a configuration with a route and providers for each, all of them played at once, and what came of it."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from openai import AsyncOpenAI

from tests.budgets.witness import Witness
from tests.faults.caller import Got, call, caller
from tests.faults.provider import Provider, Providers
from tests.faults.scripts import Fault, Mode, Pace

KEY = "sk-demo.my-secret"
TOKEN = 1_000_000
"""What a token of an answer costs with the first candidate, in nano-dollars; prompts are free, and the others cost half."""
SECONDS_BETWEEN_STARTS = 0.7
LEAST_BETWEEN_STARTS = 0.1
"""However fast the pace: whoever plays them has a processor to share."""
RETRY_SECONDS = 0.5
"""In which the gateway has one retry to spare for certain."""


@dataclass
class Played:
    """One fault, streamed or whole, and what everybody saw of it."""

    fault: Fault
    mode: Mode
    providers: list[Provider]
    got: list[Got] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """The ledger's rows of the calls, each with its attempts under `tries`."""
    usage: list[dict[str, Any]] = field(default_factory=list)
    """What `GET /v1/usage` tells the caller of them."""

    @property
    def name(self) -> str:
        return f"{self.fault.name}-{self.mode}"

    @property
    def asked(self) -> int:
        return sum(len(provider.asked) for provider in self.providers)


def prices(number: int, fault: Fault) -> dict[str, float]:
    """USD per million tokens. Where a failed answer is gone on with, all cost the same: who pays for which half is another question."""
    return {"input": 0, "output": 500 if number and fault.name == "accounts" else 1000}


async def set_up(faults: Iterable[Fault], providers: Providers, pace: Pace) -> list[Played]:
    """A provider for every candidate of every fault."""
    played = []
    for fault in faults:
        for mode in fault.modes:
            name = f"{fault.name}-{mode}"
            opened = [await providers.open(f"{name}-{number}", *steps) for number, steps in enumerate(fault.does(pace))]
            played.append(Played(fault, mode, opened))
    return played


def configuration(stage: Sequence[Played], pace: Pace) -> dict[str, Any]:
    """The limits that docs/reliability.md recommends, at the pace of the run."""
    known: dict[str, Any] = {}
    routes = []
    for played in stage:
        candidates = []
        for number, provider in enumerate(played.providers):
            known[provider.name] = {"protocol": "openai", "base_url": provider.url, "api_key": f"sk-of-{provider.name}"}
            candidate = {"provider": provider.name, "model": f"model-{number}", "price": prices(number, played.fault)}
            candidates.append(candidate | ({"prefill": True} if played.fault.prefill else {}))
        routes.append(
            {
                "alias": played.name,
                "strategy": "ordered",
                "candidates": candidates,
                "timeouts": {"first_token": pace.setting(10), "attempt": pace.setting(10), "idle": pace.setting(30)},
                "breaker": {"failures": 3, "open": f"{300 * pace.breakers:g}s", "probe_interval": f"{10 * pace.breakers:g}s"},
                "recover": played.fault.recover,
            }
        )
    return {
        "providers": known,
        "models": routes,
        "retry_budget": {"floor": 3 / pace.factor},
        "rate_limits": {"default": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}},
    }


async def play(stage: Sequence[Played], url: str, pace: Pace) -> None:
    """All at once, those that take longest first, started one after another: each is to meet its own fault and not the others' retries."""
    order = sorted(stage, key=lambda played: (-played.fault.calls, not played.fault.needs_retry, -played.fault.seconds))
    between = max(LEAST_BETWEEN_STARTS, pace(SECONDS_BETWEEN_STARTS))
    async with caller(url, KEY) as client:
        # The SDK's first call loads much of it.
        await call(client, "sandbox/chat", stream=True)
        at = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for played in order:
                group.create_task(_play(played, client, pace, at))
                at += max(between, RETRY_SECONDS) if played.fault.needs_retry else between
    await _read_usage(stage, url)


async def _play(played: Played, client: AsyncOpenAI, pace: Pace, at: float) -> None:
    fault = played.fault
    async with asyncio.TaskGroup() as group:
        calls = []
        for number in range(fault.calls):
            await asyncio.sleep(max(0.0, at + number * fault.every * pace.breakers - time.monotonic()))
            calls.append(group.create_task(call(client, played.name, stream=played.mode == "stream")))
    played.got = [done.result() for done in calls]


async def _read_usage(stage: Sequence[Played], url: str) -> None:
    told: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=30) as http:
        while True:
            page = (await http.get("/v1/usage", params={"limit": 100} | ({"cursor": cursor} if cursor else {}))).json()
            told |= {row["request_id"]: row for row in page["data"]}
            cursor = page["next_cursor"]
            if cursor is None:
                break
    for played in stage:
        played.usage = [told[got.request_id] for got in played.got if got.request_id in told]


def read_ledger(stage: Sequence[Played], witness: Witness) -> None:
    """The rows of every call and its attempts, past the code under test."""
    calls: dict[str, dict[str, Any]] = {}
    by_request: dict[str, list[dict[str, Any]]] = {}
    for row in witness.run("SELECT id, request_id, outcome, provider, charged_nano, provider_cost_nano, output_tokens FROM call"):
        calls[row.id] = {**row._mapping, "tries": []}
        by_request.setdefault(row.request_id, []).append(calls[row.id])
    for row in witness.run("SELECT * FROM call_attempt ORDER BY call_id, number"):
        calls[row.call_id]["tries"].append(dict(row._mapping))
    for played in stage:
        played.rows = [row for got in played.got for row in by_request.get(got.request_id, [])]
