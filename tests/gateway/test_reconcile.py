"""The ledger against the providers' own log, and `reconcile` as the operator runs it, beside a gateway that serves."""

import asyncio
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.audit.service import AuditService
from backend.identity.principal import system
from backend.metering.reconcile.service import ReconcileService
from tests.architecture.source import ROOT
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, canonical_chunks, completion, events, reset, status, whole
from tests.gateway.conftest import PLAIN, Rig

NANO_PER_TOKEN = {"acme": (1_000, 2_000), "backup": (10_000, 20_000)}
"""The prices of the two providers, in and out."""


class Witness:
    """A provider that writes down what it is going to bill: every answer whose usage it has sent."""

    def __init__(self, name: str, upstream: OpenAIUpstream) -> None:
        self.name, self.upstream = name, upstream
        self.billed: list[int] = []
        self._numbers = itertools.count(1)
        upstream.script(self.answer)

    async def answer(self, exchange: Exchange) -> None:
        number = next(self._numbers)
        if number % 5 == 0:
            await status(500)(exchange)
        elif number % 7 == 0:
            await reset()(exchange)
        else:
            usage = {"prompt_tokens": number, "completion_tokens": 3 * number, "total_tokens": 4 * number}
            price_in, price_out = NANO_PER_TOKEN[self.name]
            self.billed.append(price_in * number + price_out * 3 * number)
            if exchange.seen.body.get("stream"):
                await events(*canonical_chunks(usage=usage), end="done")(exchange)
            else:
                await whole(completion(usage=usage))(exchange)


@pytest.mark.case("B12")
async def test_the_ledger_is_what_the_providers_say_and_everything_agrees_with_it(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, tmp_path: Path
) -> None:
    witnesses = [Witness("acme", upstream), Witness("backup", other)]

    statuses: list[int] = []

    async def call(number: int) -> None:
        """Asked again on 503, as the SDKs do: on a busy machine the database may be silent for longer than calls wait for it, and the gate
        turns calls away, which are in no ledger."""
        while True:
            answer = await gateway.post({**PLAIN, "model": "pair", "stream": number % 2 == 0})
            if answer.status_code != 503:
                statuses.append(answer.status_code)
                return
            if answer.json()["error"]["code"] != "overloaded":
                statuses.append(503)
            await asyncio.sleep(int(answer.headers["retry-after"]))

    await asyncio.gather(*(call(number) for number in range(60)))
    assert statuses.count(200) > 30
    rows, attempts = await gateway.rows(), await gateway.rows("call_attempt")
    assert len(rows) == len(statuses)
    assert len(attempts) == sum(len(one.upstream.requests) for one in witnesses)
    for one in witnesses:
        costs = [row["provider_cost_nano"] for row in attempts if row["provider"] == one.name and row["provider_cost_nano"]]
        assert sorted(costs) == sorted(one.billed), one.name
    runtime = gateway.runtime
    found = await ReconcileService(runtime.db, runtime.clock, AuditService(runtime.clock), tmp_path).run(system("test"))
    assert found.differences == ()
    assert (found.calls, found.provider_cost_nano) == (len(statuses), sum(sum(one.billed) for one in witnesses))


@pytest.mark.case("B12")
async def test_the_operators_command_agrees_beside_a_serving_gateway_and_names_a_micro_dollar(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, tmp_path: Path
) -> None:
    Witness("acme", upstream), Witness("backup", other)
    stop = asyncio.Event()

    async def call_on() -> None:
        while not stop.is_set():
            await gateway.post({**PLAIN, "model": "pair"})
            await asyncio.sleep(0.01)

    callers = asyncio.gather(*(call_on() for _ in range(3)))
    code, told = await reconcile(tmp_path)
    assert (code, told["agrees"], told["differences"]) == (0, True, [])
    assert told["calls"] > 0
    assert [one["alive"] for one in told["leases"]] == [True]
    async with gateway.runtime.db.write() as unit:
        await unit.session.execute(sa.text("UPDATE budget_day SET spent_nano = spent_nano - 1000"))
    code, told = await reconcile(tmp_path, "--tenant", "demo", "--since", "2d")
    stop.set()
    await callers
    assert (code, told["agrees"], told["found"]) == (1, False, 1)
    [one] = told["differences"]
    assert (one["kind"], one["measure"], one["difference"]) == ("budget", "spent_usd", "-0.000001")
    assert "tenant" in one["place"]


async def test_what_is_logged_is_no_part_of_the_answer(gateway: Rig, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dead = tmp_path / "journal" / "run_dead"
    dead.mkdir(parents=True)
    (dead / "000001.jsonl").write_bytes(b'["open","call_1",["hal')
    code, told = await reconcile(tmp_path)
    assert (code, told["agrees"]) == (0, True)
    assert "ledger.journal_line_unreadable" in capfd.readouterr().err


async def reconcile(data_dir: Path, *options: str) -> tuple[int | None, dict[str, Any]]:
    """`python -m backend reconcile --json` on the rig's database: its exit code, and what it printed."""
    settings = {"CONFIG": data_dir / "bourse.yaml", "DATA_DIR": data_dir, "DATABASE_URL": f"sqlite+aiosqlite:///{data_dir / 'bourse.db'}"}
    environment = {**os.environ, **{f"BOURSE_{name}": str(value) for name, value in settings.items()}}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend", "reconcile", "--json", *options, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return process.returncode, json.loads(printed)
