"""Routes as callers meet them: rules, strategies, `auto`, a smaller model beyond a soft quota, and edits that are live at once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from backend.identity.principal import system
from backend.metering.record import ANSWER_TOKENS, PROMPT_TOKENS
from backend.routing.route import Candidate
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import KEY, Rig, open_gateway
from tests.rig.schema import sqlite_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPERATOR = system("test")
FREE, TRIAL, SOFT, NARROW = "sk-free.local-only", "sk-trial.local-only", "sk-soft.local-only", "sk-narrow.local-only"


def one(model: str, paid: float = 1, made: float = 2, **more: Any) -> dict[str, Any]:
    return {"provider": "acme", "model": model, "price": {"input": paid, "output": made}, **more}


def configuration(upstream: str) -> dict[str, Any]:
    large, medium, small = one("large", 10, 30), one("medium", 3, 9), one("small", 1, 2)
    unpriced = {"provider": "acme", "model": "unpriced"}
    rules = [
        {"task": "code", "use": ["acme/medium"]},
        {"task": "deep-dive", "load": "degraded", "reject": True},
        {"task": "creative", "tier": "free", "reject": True},
        {"tier": "free", "use": ["mini"]},
    ]
    soft = {"requests_per_day": 2, "quota": "soft"}
    return {
        "providers": {"acme": {"base_url": upstream}},
        "default_model": "plain",
        # A slow machine is no matter of these tests.
        "overload": {"high": "1h", "degraded": "1h"},
        "models": [
            {"alias": "plain", "strategy": "ordered", "candidates": [large]},
            {"alias": "mini", "strategy": "ordered", "candidates": [one("mini-1", 0.1, 0.2)]},
            {"alias": "desk", "strategy": "ordered", "candidates": [large, medium, small], "rules": rules},
            {"alias": "frugal", "strategy": "cheapest", "candidates": [unpriced, one("chatty", 0.1, 9), one("wordy", 4, 0.5), large]},
            {"alias": "soft", "strategy": "ordered", "candidates": [large], "smaller": "mini"},
            {"alias": "soft-own", "strategy": "ordered", "candidates": [large, small], "smaller": "acme/small"},
        ],
        "bootstrap": {
            "tenants": [{"slug": "thrifty", "tier": "free", "default_model": "mini"}],
            "api_keys": [
                {"tenant": "thrifty", "name": "free", "key": FREE},
                {"tenant": "thrifty", "name": "trial", "key": TRIAL, "tier": "trial"},
                {"tenant": "thrifty", "name": "soft", "key": SOFT, "rate_limit": soft},
                {"tenant": "thrifty", "name": "narrow", "key": NARROW, "rate_limit": soft, "models": ["soft", "soft-own"]},
            ],
        },
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("routes")
    (folder / "bourse.yaml").write_text(yaml.safe_dump(configuration(upstream.base_url)))
    url = sqlite_url(Path(shutil.copy(_sqlite_template, folder / "bourse.db")))
    async with open_gateway(folder / "bourse.yaml", folder, url) as rig:
        yield rig


async def ask(gateway: Rig, model: str, text: str = "hi", *, key: str = KEY, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return await gateway.post({"model": model, "messages": [{"role": "user", "content": text}], **body}, key=key, headers=headers or {})


def asked(response: httpx.Response) -> str:
    """The upstream's model that was asked."""
    assert response.status_code == 200, response.text
    return str(response.json()["bourse"]["attempts"][0]["model"])


async def test_a_rule_goes_by_the_task_which_the_ledger_then_says(gateway: Rig) -> None:
    assert asked(await ask(gateway, "desk", "Fix this Python function: def f(: pass")) == "medium"
    row = await gateway.last_row()
    assert (row["task"], row["route"], row["requested_model"]) == ("code", "desk", "desk")
    assert asked(await ask(gateway, "desk", "Good morning!")) == "large"
    assert (await gateway.last_row())["task"] == "chat"


async def test_a_caller_may_say_the_task_himself(gateway: Rig) -> None:
    assert asked(await ask(gateway, "desk", "Good morning!", headers={"x-bourse-task": "code"})) == "medium"
    assert asked(await ask(gateway, "desk", "Good morning!", metadata={"task": "code"})) == "medium"
    assert asked(await ask(gateway, "desk", "Write Python", headers={"x-bourse-task": "verse-lookup"})) == "large"
    assert (await gateway.last_row())["task"] == "verse-lookup"
    assert asked(await ask(gateway, "plain", headers={"x-bourse-task": "verse-lookup"})) == "large"
    assert (await gateway.last_row())["task"] == "verse-lookup"
    wrong = await ask(gateway, "desk", headers={"x-bourse-task": "Two words"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "x-bourse-task")
    assert asked(await ask(gateway, "desk", "Good morning!", metadata={"task": "what the caller's own tools mean by it"})) == "large"


async def test_without_rules_nothing_is_classified(gateway: Rig) -> None:
    await ask(gateway, "plain", "Fix this Python function: def f(: pass")
    assert (await gateway.last_row())["task"] is None


async def test_a_rule_goes_by_the_tier_of_the_key_else_of_its_tenant(gateway: Rig) -> None:
    assert asked(await ask(gateway, "desk", key=FREE)) == "mini-1"
    assert asked(await ask(gateway, "desk", key=TRIAL)) == "large"
    refused = await ask(gateway, "desk", "Write a haiku about autumn rain.", key=FREE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "model_not_allowed")


async def test_reject_if_degraded_is_503_with_the_time_to_come_back(gateway: Rig) -> None:
    deep = {"x-bourse-task": "deep-dive"}
    assert asked(await ask(gateway, "desk", headers=deep)) == "large"
    # It looks ten times a second, and would find that all is well.
    gateway.runtime.load.stop()
    gateway.runtime.load.level = "degraded"
    try:
        refused = await ask(gateway, "desk", headers=deep)
    finally:
        gateway.runtime.load.level = "normal"
        gateway.runtime.load.start()
    assert (refused.status_code, refused.json()["error"]["code"], refused.headers["retry-after"]) == (503, "no_available_provider", "10")
    assert (await gateway.last_row())["outcome"] == "refused"


async def test_an_open_breaker_of_the_first_choice_counts_as_degraded(gateway: Rig) -> None:
    candidate = Candidate("acme", "large", "acme/large")
    known = gateway.runtime.health.of(candidate)
    route = gateway.runtime.routes.find("desk")
    assert route is not None
    for _ in range(route.breaker.failures):
        known.circuit.fail(gateway.runtime.health.now())
    try:
        assert (await ask(gateway, "desk", headers={"x-bourse-task": "deep-dive"})).status_code == 503
    finally:
        known.circuit.close()
    assert asked(await ask(gateway, "desk", headers={"x-bourse-task": "deep-dive"})) == "large"


async def test_the_cheapest_depends_on_how_long_the_call_is(gateway: Rig) -> None:
    """A long prompt with a short answer costs less where input is cheap, a short one with a long answer where output is."""
    assert asked(await ask(gateway, "frugal", "word " * 4000, max_tokens=5)) == "chatty"
    assert asked(await ask(gateway, "frugal", "hi", max_tokens=400)) == "wordy"


async def test_who_was_measured_as_fastest_is_asked(gateway: Rig) -> None:
    fields = {"strategy": "fastest", "candidates": [{"provider": "acme", "model": "slow"}, {"provider": "acme", "model": "quick"}]}
    await gateway.runtime.routing.edits.create(OPERATOR, "race", fields)
    await gateway.runtime.routing.refresh()
    for model, milliseconds in (("slow", 900.0), ("quick", 90.0)):
        gateway.runtime.health.of(Candidate("acme", model, f"acme/{model}")).took(milliseconds, streamed=False)
    table = gateway.runtime.routes
    route = table.find("race")
    assert route is not None
    firsts = [table.order(route)[0].model for _ in range(200)]
    assert firsts.count("quick") > 150


async def test_auto_is_the_default_of_the_tenant_else_of_the_installation(gateway: Rig) -> None:
    assert asked(await ask(gateway, "auto", key=FREE)) == "mini-1"
    assert asked(await ask(gateway, "auto")) == "large"
    row = await gateway.last_row()
    assert (row["requested_model"], row["route"]) == ("auto", "plain")
    shown = await gateway.http.get("/v1/models/auto", headers={"authorization": f"Bearer {FREE}"})
    assert shown.json()["id"] == "mini"
    assert (await ask(gateway, "auto", key=NARROW)).json()["error"]["code"] == "model_not_allowed"


async def test_beyond_a_soft_quota_the_smaller_model_answers_and_it_is_said(gateway: Rig) -> None:
    for _ in range(2):
        within = await ask(gateway, "soft", key=SOFT)
        assert (asked(within), "x-bourse-downgraded" in within.headers) == ("large", False)
    counter = gateway.runtime.metrics.downgraded_calls.labels("quota")
    before = counter._value.get()
    beyond = await ask(gateway, "soft", key=SOFT)
    assert (asked(beyond), counter._value.get() - before) == ("mini-1", 1)
    assert (beyond.headers["x-bourse-downgraded"], beyond.headers["x-bourse-quota-exceeded"]) == ("quota", "key requests_per_day")
    assert beyond.json()["bourse"]["downgraded"] == "quota"
    row = await gateway.last_row()
    assert (row["route"], row["offer_id"]) == ("soft", "acme/mini-1")
    # At the smaller model's price, not at the route's.
    assert row["charged_nano"] == sum(row[bucket] for bucket in PROMPT_TOKENS) * 100 + sum(row[bucket] for bucket in ANSWER_TOKENS) * 200
    streamed = await ask(gateway, "soft", key=SOFT, stream=True)
    assert streamed.headers["x-bourse-downgraded"] == "quota"
    assert asked(await ask(gateway, "plain", key=SOFT)) == "large"


async def test_the_smaller_model_is_not_one_that_the_key_may_not_use(gateway: Rig) -> None:
    for _ in range(3):
        answer = await ask(gateway, "soft", key=NARROW)
        assert (asked(answer), "x-bourse-downgraded" in answer.headers) == ("large", False)
    own = await ask(gateway, "soft-own", key=NARROW)
    assert (asked(own), own.headers["x-bourse-downgraded"]) == ("small", "quota")


async def test_an_edit_counts_in_a_running_gateway_without_a_restart(gateway: Rig) -> None:
    runtime = gateway.runtime
    runtime.change_feed.subscribe(runtime.routes.load)
    await runtime.change_feed.start()
    edits = runtime.routing.edits
    try:
        await edits.create(OPERATOR, "late", {"candidates": [one("late-1")]})
        while (answer := await ask(gateway, "late")).status_code == 404:
            await asyncio.sleep(0.01)
        assert asked(answer) == "late-1"
        listed = await gateway.http.get("/v1/models/late", headers={"authorization": f"Bearer {KEY}"})
        assert (listed.json()["deployment"], listed.json()["price"]["input"]) == ("late-1", 1.0)
        await edits.change(OPERATOR, "late", {"enabled": False})
        while (answer := await ask(gateway, "late")).status_code == 200:
            await asyncio.sleep(0.01)
        assert answer.json()["error"]["code"] == "model_not_found"
        everything = await gateway.http.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})
        assert "late" not in [model["id"] for model in everything.json()["data"]]
    finally:
        await runtime.change_feed.stop()
