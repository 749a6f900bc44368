"""What calls cost here and by genai-prices' own calculator, where both go by the same price list."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING

import pytest
from genai_prices import types as their
from genai_prices.data import providers

from backend.catalog.sources.genai_prices import quotes_of
from backend.kernel.money import nano_from_usd
from backend.pricing.cost import Cost, PriceCard, PriceLine, cost_of_call
from backend.pricing.usage import Usage

CASES = 4000
FIRST, LAST = datetime(2025, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
OURS = frozenset({
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok", "input_audio_mtok", "output_audio_mtok",
    "output_reasoning_mtok", "requests_kcount", "audio_hours", "input_audio_hours", "web_searches_kcount", "storage_searches_kcount",
    "cache_audio_read_mtok", "input_image_mtok", "cache_image_read_mtok", "output_image_mtok",
})  # fmt: skip
"""The components that a call here may use, and those that it leaves alone."""


@dataclass(frozen=True)
class Case:
    name: str
    provider: str
    info: their.ModelInfo
    usage: Usage
    at: datetime
    tier: str | None


def generated(seed: int = 20261121) -> Iterator[Case]:
    """The same calls in every run: sizes around every band's edge, any instant of two years, any service tier that the list knows."""
    dice = random.Random(seed)
    models = [(provider, info) for provider in providers for info in provider.models]
    by_the_hour = [
        (provider, info)
        for provider, info in models
        if isinstance(info.prices, list) and any(isinstance(entry.constraint, their.TimeOfDateConstraint) for entry in info.prices)
    ]
    made = 0
    while made < CASES:
        provider, info = dice.choice(by_the_hour if dice.random() < 0.02 else models)
        at = FIRST + timedelta(seconds=dice.randrange(int((LAST - FIRST).total_seconds())))
        tiers = [v.when["processing"] for v in info.price_variants or () if v.when.keys() == {"processing"}]
        tier = dice.choice([None, *(word for word in tiers if word in ("batch", "flex", "priority"))])
        keys = {key for key, value in vars(info.get_prices(at)).items() if value is not None}
        if not keys or not keys <= OURS:
            continue
        size = dice.choice([dice.randrange(1, 5000), 128_000, 200_000, 200_001, 272_000, 272_001, dice.randrange(1, 1_500_000)])
        has = {name for name in sorted(keys) if dice.random() < 0.7}
        read = dice.randrange(size) // 2 if "cache_read_mtok" in has else 0
        written = (size - read) // 3 if "cache_write_mtok" in has else 0
        hour = (size - read - written) // 4 if "cache_write_1h_mtok" in has else 0
        # Now and then somebody talks to a model whose list has no price for it.
        talks = "input_audio_mtok" in has or ("input_mtok" in keys and dice.random() < 0.005)
        heard = (size - read - written - hour) // 5 if talks else 0
        said = dice.randrange(4000) if "output_audio_mtok" in has else 0
        thought = dice.randrange(4000) if "output_mtok" in keys else 0
        timed = keys & {"audio_hours", "input_audio_hours"}
        usage = Usage(
            input=0 if "input_mtok" not in keys else size - read - written - hour - heard,
            cache_read=read,
            cache_write=written,
            cache_write_1h=hour,
            audio_input=heard,
            output=dice.randrange(8000) if "output_mtok" in keys else 0,
            reasoning=thought,
            audio_output=said,
            seconds=dice.choice([3, dice.randrange(10, 3600)]) if timed else 0.0,
        )
        made += 1
        yield Case(f"{provider.id}/{info.id}", provider.id, info, usage, at, tier)


def ours(case: Case) -> Cost:
    live = [
        quote
        for quote in quotes_of(case.info, None, Counter())
        if (quote.effective_at is None or quote.effective_at <= case.at) and (quote.expires_at is None or quote.expires_at > case.at)
    ]
    lines = tuple(
        PriceLine(
            str(number), quote.component, quote.unit, nano_from_usd(quote.usd_per_million), quote.tier.context_above,
            quote.tier.service_tier, quote.tier.time_window, quote.tier.region, quote.tier.cache_ttl, quote.tier.variant,
        )
        for number, quote in enumerate(live)
    )  # fmt: skip
    return cost_of_call(case.usage, PriceCard(case.name, "priced", lines), at=case.at, service_tier=case.tier)


def theirs(case: Case) -> int:
    """Nano-dollars, rounded up. Their counts contain each other where ours are apart."""
    usage = case.usage
    counts: dict[str, float] = {
        "input_tokens": usage.total_input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "input_audio_tokens": usage.audio_input,
        "cache_audio_read_tokens": 0,
        "output_tokens": usage.total_output,
        "output_audio_tokens": usage.audio_output,
        "output_reasoning_tokens": usage.reasoning,
    }
    if usage.seconds:
        counts |= {"audio_seconds": usage.seconds, "input_audio_seconds": usage.seconds}
    context = {"processing": case.tier} if case.tier else None
    provider = next(one for one in providers if one.id == case.provider)
    asked = their.Usage(**{name: count for name, count in counts.items() if count or name == "cache_audio_read_tokens"})
    total = case.info.calc_price(asked, provider, genai_request_timestamp=case.at, price_context=context).total_price
    return int((total * 10**9).to_integral_value(rounding=ROUND_CEILING))


def explained(case: Case, cost: Cost) -> str | None:
    """Why both may differ, each a decision; None where they must not."""
    if "audio_input" in cost.missing and case.info.get_prices(case.at).input_audio_mtok is None:
        return "audio without a price of its own is unpriced here and costs as much as text there: sellers ask a multiple"
    if case.provider == "groq" and "whisper" in case.name and case.usage.seconds < 10:
        return "groq bills ten seconds at least: their calculator has that one seller's rule built in, here it is no part of a price"
    listed = case.info.prices if isinstance(case.info.prices, list) else []
    starts = [datetime.combine(c.start_date, time(), UTC) for e in listed if isinstance(c := e.constraint, their.StartDateConstraint)]
    if starts and case.at < max(starts) and any(isinstance(entry.constraint, their.TimeOfDateConstraint) for entry in listed):
        return "their list cannot date its hours and so prices the past by them, too; here they begin with the newest dated price"
    return None


def test_calls_cost_what_their_own_calculator_says_but_for_what_is_explained() -> None:
    reasons: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    unexplained = []
    for case in generated():
        cost = ours(case)
        seen.update(_conditions(case, cost))
        # Each price is kept in whole nano-dollars per million, so that a sum may be one nano-dollar above the exact one.
        if cost.state == "priced" and 0 <= cost.nano - theirs(case) <= 1:
            continue
        reason = explained(case, cost)
        if reason is None:
            unexplained.append((case.name, case.usage, case.at, case.tier, cost.nano, theirs(case), cost.missing))
        else:
            reasons[reason] += 1
    assert unexplained == []
    assert len(reasons) == 3, "a reason that no case needs any more, or a new one"
    assert sum(reasons.values()) <= CASES / 100
    assert min(seen[name] for name in ("tier", "window", "band", "dated", "cache", "hour", "audio", "seconds")) >= 3, seen


def _conditions(case: Case, cost: Cost) -> Iterator[str]:
    """What was decisive in this case, so that no kind of condition goes untested."""
    lines = {part.line for part in cost.parts}
    conditions = {
        "tier": any(line.service_tier for line in lines),
        "window": any(line.time_window for line in lines),
        "band": any(line.context_above for line in lines),
        "dated": isinstance(case.info.prices, list),
        "cache": case.usage.cache_read > 0,
        "hour": case.usage.cache_write_1h > 0,
        "audio": "audio_input" in {part.bucket for part in cost.parts},
        "seconds": case.usage.seconds > 0,
    }
    return (name for name, holds in conditions.items() if holds)


def test_o3_costs_a_fifth_from_the_day_of_its_cut() -> None:
    day = datetime(2025, 6, 10, tzinfo=UTC)
    before, since = (_of("openai", "o3", at, Usage(input=1_000_000, output=100_000)) for at in (day - timedelta(seconds=1), day))
    assert (before.nano, since.nano) == (14_000_000_000, 2_800_000_000)


@pytest.mark.parametrize(
    ("clock", "dear"), [("16:29", True), ("16:30", False), ("23:59", False), ("00:00", False), ("00:29", False), ("00:30", True)]
)
def test_deepseek_is_cheaper_in_its_off_peak_hours(clock: str, dear: bool) -> None:
    at = datetime.fromisoformat(f"2026-07-15T{clock}:00+00:00")
    costs = {_of("deepseek", "deepseek-chat", at, Usage(input=1_000_000)).nano}
    assert costs == {270_000_000 if dear else 135_000_000}


def test_a_band_prices_the_whole_call_once_its_input_exceeds_272k() -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    within, above = (_of("openai", "gpt-5.4", at, Usage(input=tokens)) for tokens in (272_000, 272_001))
    base, dearer = within.parts[0].line, above.parts[0].line
    assert (base.context_above, dearer.context_above) == (None, 272_000)
    assert dearer.nano_per_million > base.nano_per_million
    assert within.nano == -(-272_000 * base.nano_per_million // 1_000_000)
    assert above.nano == -(-272_001 * dearer.nano_per_million // 1_000_000)
    cached = _of("openai", "gpt-5.4", at, Usage(input=1, cache_read=272_000))
    assert cached.parts[0].line.context_above == 272_000


def _of(provider: str, model: str, at: datetime, usage: Usage) -> Cost:
    [info] = [one for seller in providers if seller.id == provider for one in seller.models if one.id == model]
    case = Case(f"{provider}/{model}", provider, info, usage, at, None)
    cost = ours(case)
    assert 0 <= cost.nano - theirs(case) <= 1
    return cost
