from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import ROUND_CEILING, Decimal

import pytest
from genai_prices import types as their
from genai_prices.data import providers

from backend.catalog.sources.genai_prices import SINCE_ALWAYS, GenaiPrices, quotes_of
from backend.kernel.money import nano_from_usd
from backend.pricing.cost import PriceCard, PriceLine, cost_of_call
from backend.pricing.quotes import Quote
from backend.pricing.usage import Usage

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_OURS = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"}
Match = their.ClauseEquals("m")


def model(prices: object, **more: object) -> their.ModelInfo:
    return their.ModelInfo(id="m", match=Match, prices=prices, **more)  # type: ignore[arg-type]


def quotes(info: their.ModelInfo) -> list[Quote]:
    return list(quotes_of(info, None, Counter()))


def test_every_price_key_of_the_installed_data_is_understood() -> None:
    reading = GenaiPrices().read()
    assert reading.unknown == {}
    assert reading.read > 1500


def test_dated_prices_follow_each_other_without_a_gap() -> None:
    change = date(2025, 6, 10)
    info = model(
        [
            their.ConditionalPrice(prices=their.ModelPrice(input_mtok=Decimal(10), output_mtok=Decimal(40))),
            their.ConditionalPrice(
                their.StartDateConstraint(change), prices=their.ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(8))
            ),
        ]
    )
    cut = datetime(2025, 6, 10, tzinfo=UTC)
    found = [(q.component, q.usd_per_million, q.effective_at, q.expires_at) for q in quotes(info) if q.component == "input"]
    assert found == [("input", 10, SINCE_ALWAYS, cut), ("input", 2, cut, None)]


def test_context_tiers_become_bands_and_hours_become_windows() -> None:
    info = model(
        [
            their.ConditionalPrice(prices=their.ModelPrice(input_mtok=their.TieredPrices(Decimal(1), [their.Tier(200_000, Decimal(2))]))),
            their.ConditionalPrice(
                their.TimeOfDateConstraint(time(0, 30, tzinfo=UTC), time(16, 30, tzinfo=UTC)),
                prices=their.ModelPrice(input_mtok=Decimal(3)),
            ),
        ]
    )
    assert {(q.tier.context_above, q.tier.time_window): q.usd_per_million for q in quotes(info)} == {
        (None, None): 1, (200_000, None): 2, (None, "00:30-16:30"): 3,
    }  # fmt: skip


def test_variants_become_service_tiers() -> None:
    batch = their.PriceVariant({"processing": "batch"}, their.ModelPrice(input_mtok=Decimal(1)))
    info = model(their.ModelPrice(input_mtok=Decimal(2)), price_variants=[batch])
    assert {q.tier.service_tier: q.usd_per_million for q in quotes(info)} == {None: 2, "batch": 1}


def test_what_google_sells_of_others_is_sold_on_vertex_only() -> None:
    offers = GenaiPrices().read().offers
    of_google = {offer.upstream_id for offer in offers if offer.provider == "gemini"}
    assert {"gemini-2.5-pro", "gemini-2.5-flash"} <= of_google
    assert not [name for name in of_google if "claude" in name or "llama" in name or "mistral" in name]
    assert any("claude" in offer.upstream_id for offer in offers if offer.provider == "vertex_ai")


def test_hours_of_audio_become_seconds() -> None:
    (quote,) = quotes(model(their.ModelPrice(audio_hours=Decimal("0.36"))))
    assert (quote.component, quote.unit, quote.usd_per_million) == ("input", "second", 100)


def priced_models() -> Iterator[tuple[str, their.ModelInfo]]:
    for provider in providers:
        for info in provider.models:
            listed = info.prices if isinstance(info.prices, list) else []
            if any(isinstance(entry.constraint, their.TimeOfDateConstraint) for entry in listed):
                continue
            keys = {key for key, value in vars(info.get_prices(AT)).items() if value is not None}
            if keys and keys <= _OURS and {"input_mtok", "output_mtok"} <= keys:
                yield f"{provider.id}/{info.id}", info


def card_of(info: their.ModelInfo) -> PriceCard:
    live = [
        q for q in quotes(info)
        if not q.tier.service_tier and not q.tier.region and not q.tier.variant
        and (q.effective_at is None or q.effective_at <= AT) and (q.expires_at is None or q.expires_at > AT)
    ]  # fmt: skip
    lines = [
        PriceLine(str(n), q.component, q.unit, nano_from_usd(q.usd_per_million), q.tier.context_above, cache_ttl=q.tier.cache_ttl)
        for n, q in enumerate(live)
    ]
    return PriceCard("x/y", "priced", tuple(lines))


@pytest.mark.parametrize("size", [1_000, 150_000, 300_000])
def test_a_call_costs_what_their_own_calculator_says(size: int) -> None:
    compared = 0
    for name, info in priced_models():
        cached, written = (size // 10, size // 20) if vars(info.get_prices(AT)).get("cache_write_mtok") is not None else (size // 10, 0)
        theirs = info.get_prices(AT).calc_price(
            their.Usage(input_tokens=size, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=777)
        )["total_price"]
        ours = cost_of_call(Usage(input=size - cached - written, cache_read=cached, cache_write=written, output=777), card_of(info), at=AT)
        assert ours.state == "priced", name
        exact = int((theirs * 10**9).to_integral_value(rounding=ROUND_CEILING))
        # Each price is stored in whole nano-dollars per million, so a sum may be one nano-dollar above the exact one.
        assert 0 <= ours.nano - exact <= 1, name
        compared += 1
    assert compared > 800
