"""The selection table of a route: the first row that fits, whom it may name, and when it rejects."""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from backend.kernel.errors import ModelNotAllowed, NoAvailableProvider
from backend.routing.table import RouteTable
from backend.settings import Settings
from tests.routing.test_strategies import Known, Measured

SEED = [
    {"task": "lookup", "use": ["acme/small"]},
    {"task": "guide", "load": "normal", "use": ["acme/large", "acme/medium"]},
    {"task": "guide", "use": ["acme/medium"]},
    {"task": "deep-dive", "load": "degraded", "reject": True},
    {"task": "deep-dive", "use": ["acme/large"]},
    {"task": ["summarise"], "use": ["acme/medium", "acme/small"]},
    {"tier": ["free"], "load": ["high", "degraded"], "use": ["mini"]},
    {"tier": "trial", "task": "code", "reject": True},
]
"""The table of the article that the product grew from, and two rows about tiers."""


@dataclass(frozen=True)
class Key:
    models: frozenset[str] | None = None
    tenant_models: frozenset[str] | None = None
    default_model: str | None = None
    tier: str | None = None
    tenant_id: str = "ten_1"


@dataclass
class Level:
    level: str = "normal"


@dataclass
class Stage:
    table: RouteTable
    load: Level
    known: dict[str, Known] = field(default_factory=dict)

    def asked(self, task: str | None, tier: str | None = None, **key: Any) -> list[str]:
        found = Key(tier=tier, **key)
        return [one.model for one in self.table.choose(self.table.resolve("desk", found), found, task).candidates]


async def staged(rules: list[dict[str, Any]], **route: Any) -> Stage:
    candidates = [{"provider": "acme", "model": model} for model in ("large", "medium", "small")]
    desk = {"alias": "desk", "strategy": "ordered", "candidates": candidates, "rules": rules, **route}
    mini = {"alias": "mini", "candidates": [{"provider": "acme", "model": "mini-1"}], "strategy": "cheapest"}
    off = {"alias": "off", "candidates": [{"provider": "acme", "model": "off-1"}], "enabled": False}
    quick = {"alias": "quick", "candidates": [{"provider": "acme", "model": f"quick-{n}"} for n in (1, 2, 3)], "strategy": "fastest"}
    settings = {"providers": {"acme": {"base_url": "https://acme.example/v1"}}, "models": [desk, mini, off, quick]}
    configured = Settings.model_validate(settings)
    stage = Stage(None, Level())  # type: ignore[arg-type]
    stage.table = RouteTable(configured, None, rng=random.Random(24), conditions=Measured(stage.known), load=stage.load)
    await stage.table.load()
    return stage


async def test_the_first_row_that_fits_counts_and_else_the_routes_own_candidates() -> None:
    stage = await staged(SEED)
    assert stage.asked("lookup") == ["small"]
    assert stage.asked("guide") == ["large", "medium"]
    assert stage.asked("summarise") == ["medium", "small"]
    assert stage.asked("deep-dive") == ["large"]
    assert stage.asked("chat") == stage.asked(None) == ["large", "medium", "small"]


async def test_the_load_changes_the_row() -> None:
    stage = await staged(SEED)
    stage.load.level = "high"
    assert stage.asked("guide") == ["medium"]
    assert stage.asked("chat", "free") == ["mini-1"]
    assert stage.asked("chat", "premium") == ["large", "medium", "small"]
    assert stage.asked("deep-dive") == ["large"]
    stage.load.level = "degraded"
    with pytest.raises(NoAvailableProvider) as rejected:
        stage.asked("deep-dive")
    assert (rejected.value.status, rejected.value.retry_after) == (503, 10)


async def test_an_open_breaker_of_who_would_be_asked_first_counts_as_degraded() -> None:
    stage = await staged(SEED)
    stage.known["medium"] = Known(opened=True)
    assert stage.asked("deep-dive") == ["large"]
    stage.known["large"] = Known(opened=True)
    with pytest.raises(NoAvailableProvider):
        stage.asked("deep-dive")
    assert stage.asked("guide") == ["medium"]
    assert stage.asked("lookup") == ["small"]


async def test_what_is_rejected_at_any_load_is_no_matter_of_trying_again() -> None:
    with pytest.raises(ModelNotAllowed):
        (await staged(SEED)).asked("code", "trial")
    assert (await staged(SEED)).asked("code", "free") == ["large", "medium", "small"]


async def test_a_row_opens_no_alias_that_the_key_or_tenant_may_not_use() -> None:
    stage = await staged([{"use": ["mini", "acme/small"]}])
    assert stage.asked(None) == ["mini-1", "small"]
    for closed in ({"models": frozenset({"desk"})}, {"tenant_models": frozenset({"desk"})}):
        assert stage.asked(None, **closed) == ["small"]


async def test_a_row_that_names_nobody_who_may_be_asked_is_passed_over() -> None:
    stage = await staged([{"use": ["off"]}, {"use": ["mini"]}])
    assert stage.asked(None) == ["mini-1"]
    assert stage.asked(None, models=frozenset({"desk"})) == ["large", "medium", "small"]


async def test_an_alias_alone_is_asked_by_its_own_strategy() -> None:
    stage = await staged([{"task": "chat", "use": ["mini"]}, {"use": ["acme/small", "mini"]}], strategy="cheapest")
    route = stage.table.resolve("desk", Key())
    assert stage.table.choose(route, Key(), "chat").by_price
    assert not stage.table.choose(route, Key(), "code").by_price


async def test_a_call_orders_an_alias_once_so_that_fair_tries_are_tries() -> None:
    stage = await staged([{"load": "high", "reject": True}, {"use": ["quick"]}])
    first = Counter(stage.asked(None)[0] for _ in range(9))
    assert first == {"quick-1": 3, "quick-2": 3, "quick-3": 3}


@pytest.mark.parametrize(("smaller", "expected"), [("mini", ["mini-1"]), ("acme/small", ["small"]), ("off", None), (None, None)])
async def test_the_smaller_model_is_a_candidate_or_another_alias(smaller: str | None, expected: list[str] | None) -> None:
    stage = await staged([], smaller=smaller)
    choice = stage.table.smaller(stage.table.resolve("desk", Key()), Key())
    assert expected == (None if choice is None else [one.model for one in choice.candidates])


async def test_the_smaller_model_is_none_that_the_key_may_not_use() -> None:
    stage = await staged([], smaller="mini")
    key = Key(models=frozenset({"desk"}))
    assert stage.table.smaller(stage.table.resolve("desk", key), key) is None


@pytest.mark.parametrize(
    "rule", [{}, {"task": "code"}, {"use": ["mini"], "reject": True}, {"use": ["nobody"]}, {"use": ["desk"]}, {"use": ["acme/huge"]}]
)
async def test_a_row_says_one_thing_and_names_what_is_there(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"a rule says either|neither a candidate"):
        await staged([rule])
