"""What is charged on a count or an estimate is covered by what was reserved, over the gateway: no call here may be an overrun."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.gateway.unbounded_fields import unbounded_fields
from backend.pricing.cost import PriceCard, PriceLine
from tests.fakes.openai_upstream import OpenAIUpstream, Step, chunk, completion, events, sse, whole
from tests.gateway.conftest import Rig, open_gateway

KEY = "sk-till.local-only"
USED = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
INPUT, OUTPUT = 1_000_000, 8_000_000
"""Nano-dollars per thousand tokens."""

PRICE = {"input": 1, "output": 8}
MODELS = ("deepseek-chat", "o3-mini", "openai/gpt-5.1", "gpt-oss-120b")


def line(component: str, nano_per_thousand: int, tier: str | None = None) -> PriceLine:
    return PriceLine(f"{component}:{tier}", component, "token", nano_per_thousand * 1000, service_tier=tier)


CARD = PriceCard(
    "acme/gpt-4o",
    "priced",
    tuple(
        line(component, nano * percent // 100, tier)
        for component, nano in (("input", INPUT), ("output", OUTPUT))
        for tier, percent in ((None, 100), ("flex", 50), ("priority", 200), ("ultrafast", 600))
    ),
)


def configuration(upstream: str) -> dict[str, Any]:
    return {
        "providers": {
            "acme": {"protocol": "openai", "base_url": upstream},
            "renamer": {
                "protocol": "openai",
                "base_url": upstream,
                "cap_field": "max_completion_tokens",
                "allow_fields": ["plugins", "tools"],
            },
        },
        "models": [
            {"alias": "catalog", "candidates": [{"provider": "acme", "model": "gpt-4o"}]},
            *({"alias": model, "candidates": [{"provider": "acme", "model": model, "price": PRICE}]} for model in MODELS),
            {
                "alias": "either",
                "candidates": [{"provider": "acme", "model": "gpt-4o"}, {"provider": "renamer", "model": "gpt-4o", "price": PRICE}],
            },
            {"alias": "renamed", "candidates": [{"provider": "renamer", "model": "our-own", "price": PRICE}]},
        ],
        "budgets": {"default": {"limit_usd": 1000}},
        "bootstrap": {
            "tenants": [{"slug": "shop", "name": "Shop"}],
            "api_keys": [{"tenant": "shop", "name": "till", "key": KEY, "budget": {"limit_usd": 10, "window": "calendar_month"}}],
        },
    }


@pytest.fixture
async def shop(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(upstream.base_url)))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        rig.runtime.prices._cards["acme/gpt-4o"] = CARD
        yield rig


async def charged(rig: Rig, **body: Any) -> tuple[int, bool]:
    """What a call came to, and whether it was more than was reserved."""
    asked = {"model": "catalog", "messages": [{"role": "user", "content": "x" * 100}], "max_tokens": 10, **body}
    answer = await rig.post(asked, key=KEY)
    assert answer.status_code == 200, answer.text
    row = await rig.last_row()
    return row["charged_nano"], bool(row["overrun"])


BASE = (100 * INPUT + 10 * OUTPUT) // 1000


TIERS: tuple[tuple[str | None, str | None, int], ...] = (
    (None, None, 100),
    (None, "priority", 200),
    ("auto", "priority", 200),
    ("auto", "flex", 50),
    ("flex", None, 100),
    ("flex", "default", 100),
    ("flex", "flex", 50),
    ("priority", "default", 100),
    ("priority", "fast", 200),
    ("ultrafast", "ultrafast", 600),
)
"""Asked for, served, and the price in per cent of the base price."""


async def test_the_tier_that_was_served_is_charged_and_covered(shop: Rig, upstream: OpenAIUpstream) -> None:
    for asked, served, percent in TIERS:
        upstream.script(whole(completion("word", usage=USED, **({"service_tier": served} if served else {}))))
        assert await charged(shop, **({"service_tier": asked} if asked else {})) == (BASE * percent // 100, False), (asked, served)


async def test_a_tier_that_a_stream_names_at_its_end_is_charged(shop: Rig, upstream: OpenAIUpstream) -> None:
    script: Step = events(chunk({"content": "word"}), chunk({}, "stop"), chunk(None, usage=USED, service_tier="priority"), end="done")
    upstream.script(script)
    assert await charged(shop, stream=True) == (2 * BASE, False)
    first = chunk({"content": "word"}, service_tier="priority")
    upstream.script(events(first, chunk({}, "stop"), chunk(None, usage=USED), end="done"))
    assert await charged(shop, stream=True) == (2 * BASE, False)


LOOK = {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}
WORD = chunk({"content": " word"})
UNTIL_NOW = {"prompt_tokens": 77, "completion_tokens": 0, "total_tokens": 77}


async def hung_up(rig: Rig, **body: Any) -> dict[str, Any]:
    """The row of a call whose caller goes away at the first word."""
    asked = {"model": "catalog", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 16, "stream": True, **body}
    async with rig.http.stream("POST", "/v1/chat/completions", json=asked, headers={"authorization": f"Bearer {KEY}"}) as response:
        assert response.status_code == 200
        async for _ in response.aiter_bytes():
            break
    return await rig.last_row("client_closed")


async def test_an_estimate_of_images_is_no_more_than_what_was_reserved_for_them(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(WORD, end="hang"))
    row = await hung_up(shop, messages=[{"role": "user", "content": [LOOK] * 20}])
    assert (row["usage_source"], row["overrun"], row["output_tokens"]) == ("estimated", 0, 1)
    assert 20 * 85 <= row["input_tokens"] <= 20 * 85 + 100


async def test_an_estimate_at_a_dearer_tier_than_was_reserved_is_charged_as_reserved(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(chunk({"content": " word"}, service_tier="priority"), end="hang"))
    row = await hung_up(shop, messages=[{"role": "user", "content": [LOOK] * 20}], service_tier="default")
    assert (row["usage_source"], row["overrun"]) == ("estimated", 0)
    assert row["charged_nano"] == (row["input_tokens"] * INPUT + 16 * OUTPUT) // 1000


async def test_a_whole_answer_that_nobody_counted_is_charged_its_cap_at_the_most(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(completion("word " * 1000, usage=None)))
    nano, overrun = await charged(shop)
    row = await shop.last_row()
    assert (overrun, row["output_tokens"], row["usage_source"]) == (False, 10, "estimated")
    assert nano == (row["input_tokens"] * INPUT + 10 * OUTPUT) // 1000


@pytest.mark.parametrize("end", ["hang", "reset", "done"])
async def test_words_after_an_early_count_are_charged_too(shop: Rig, upstream: OpenAIUpstream, end: str) -> None:
    """Some servers tell the prompt's tokens with the first chunk; who hangs up then has not got the words for nothing."""
    words = events(chunk({"role": "assistant"}, usage=UNTIL_NOW), b"".join(map(sse, [WORD] * 12)), end=end)
    upstream.script(words)
    if end == "hang":
        row = await hung_up(shop)
    else:
        await charged(shop, stream=True, max_tokens=16)
        row = await shop.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"], row["overrun"]) == (77, 12, "estimated", 0)


async def test_words_before_the_count_are_charged_as_counted(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*[WORD] * 12, chunk({}, "stop"), chunk(None, usage=USED), end="done"))
    assert await charged(shop, stream=True, max_tokens=16) == (BASE, False)
    assert (await shop.last_row())["usage_source"] == "provider"


CAP_FIELDS = {
    "deepseek-chat": "max_tokens",
    "gpt-oss-120b": "max_tokens",
    "o3-mini": "max_completion_tokens",
    "openai/gpt-5.1": "max_completion_tokens",
    "renamed": "max_completion_tokens",
}


@pytest.mark.parametrize(
    ("caps", "expected"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": None}, 7),
        ({}, 16_384),
    ],
)
async def test_the_cap_that_was_reserved_for_is_sent_under_the_one_name_that_the_model_knows(
    shop: Rig, upstream: OpenAIUpstream, caps: dict[str, int | None], expected: int
) -> None:
    """Servers overlook the other name, or refuse it, or refuse the two together."""
    for model, name in CAP_FIELDS.items():
        answer = await shop.post({"model": model, "messages": [{"role": "user", "content": "hi"}], **caps}, key=KEY)
        assert answer.status_code == 200
        sent = upstream.requests[-1].body
        assert {name: sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent} == {name: expected}


SEARCH = {"type": "web_search"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("models", ["openai/o1-pro"]),
        ("route", "fallback"),
        ("provider", {"order": ["x"]}),
        ("fallbacks", ["dear"]),
        ("plugins", [{"id": "web"}]),
        ("web_search_options", {"search_context_size": "high"}),
        ("web_search_options", {}),
        ("search_parameters", {"mode": "on"}),
        ("search_parameters", {}),
        ("enable_search", True),
        ("tools", [{"type": "function", "function": {"name": "f"}}, SEARCH]),
        ("tools", [{"type": ["web_search"]}]),
        ("modalities", ["text", "image"]),
        ("speed", "fast"),
        ("extra_body", {"google": {"cached_content": "cachedContents/1"}}),
        ("n_predict", 100),
        ("max_new_tokens", 100),
    ],
)
def test_a_field_whose_cost_has_no_bound_is_found(field: str, value: Any) -> None:
    assert unbounded_fields({"model": "catalog", field: value}) == {field}


def test_fields_that_mean_nothing_are_nobodys_business() -> None:
    nothing = {"models": [], "provider": None, "enable_search": False, "web_search_options": None, "modalities": ["text", "audio"]}
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}, {"name": "f"}]
    assert unbounded_fields({"model": "catalog", "tools": tools, "web_search": "x", **nothing}) == frozenset()


async def test_a_field_whose_cost_has_no_bound_is_refused_unless_the_operator_allows_it(shop: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(completion("word", usage=USED)))
    asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 16}
    for field, value in (("models", ["openai/o1-pro"]), ("tools", [SEARCH]), ("plugins", [{"id": "web"}])):
        refused = await shop.post({"model": "catalog", **asked, field: value}, key=KEY)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", field)
    assert upstream.requests == []
    for field, value in (("tools", [SEARCH]), ("plugins", [{"id": "web"}])):
        answer = await shop.post({"model": "either", **asked, field: value}, key=KEY)
        assert (answer.status_code, answer.headers["x-bourse-provider"]) == (200, "renamer")
        assert upstream.requests[-1].body[field] == value
    both = await shop.post({"model": "either", **asked, "tools": [SEARCH], "models": ["x"]}, key=KEY)
    assert (both.status_code, both.json()["error"]["param"]) == (400, "models")


async def test_the_rejected_part_of_a_prediction_is_reserved(shop: Rig, upstream: OpenAIUpstream) -> None:
    """It is billed as output, beyond the cap."""
    code = "def f(x):\n    return x\n" * 100
    upstream.script(whole(completion("word", usage={"prompt_tokens": 10, "completion_tokens": 610, "total_tokens": 620})))
    nano, overrun = await charged(shop, prediction={"type": "content", "content": code})
    assert (nano, overrun) == ((10 * INPUT + 610 * OUTPUT) // 1000, False)
