import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backend.catalog.sources.litellm_fields import CAPABILITY_FIELDS, FACTS, KEPT, NESTED_PRICES, is_known, parse_field
from backend.catalog.sources.litellm_map import LiteLlmMap, bundled_map, offer_of, quotes_of
from backend.pricing.tiers import COMPONENTS, UNITS, Tier

Entry = dict[str, Any]


@pytest.fixture(scope="module")
def installed() -> dict[str, Entry]:
    entries: dict[str, Entry] = json.loads(bundled_map().read_bytes(), parse_float=Decimal)
    return {key: entry for key, entry in entries.items() if key not in ("sample_spec", "fallback_generalizations")}


def number(value: Any) -> bool:
    return isinstance(value, Decimal | int) and not isinstance(value, bool)


def test_every_field_of_the_installed_map_is_understood(installed: dict[str, Entry]) -> None:
    fields = Counter(field for entry in installed.values() for field in entry)
    assert len(fields) > 200
    assert [field for field in fields if not is_known(field)] == []


def test_every_field_with_cost_in_its_name_is_a_price(installed: dict[str, Entry]) -> None:
    named = {field for entry in installed.values() for field, value in entry.items() if "cost" in field and number(value)}
    not_money = {"input_dbu_cost_per_token", "output_dbu_cost_per_token"}
    assert {field for field in named if parse_field(field) is None} == not_money


def test_no_price_of_any_entry_is_lost(installed: dict[str, Entry]) -> None:
    for key, entry in installed.items():
        amounts = {(quote.component, quote.unit, quote.tier.text): quote.usd_per_million for quote in quotes_of(entry)}
        for field, value in entry.items():
            parsed = parse_field(field)
            if parsed is None or not number(value):
                continue
            if entry.get("mode") == "audio_transcription" and parsed.unit == "second":
                continue  # one price under two names: a test of its own
            place = (parsed.component, parsed.unit, parsed.tier.text)
            # Two spellings of one price (a cache hit has two) may meet; the amount must still be one of those stated.
            spellings = {Decimal(entry[f]) for f in entry if parse_field(f) == parsed and number(entry[f])}
            assert amounts[place] * parsed.per / 1_000_000 in spellings, (key, field)


def test_every_fact_and_every_odd_field_is_kept(installed: dict[str, Entry]) -> None:
    places = FACTS | NESTED_PRICES | CAPABILITY_FIELDS.keys()
    for key, entry in installed.items():
        offer = offer_of(key, entry)
        for field in entry:
            if field in places or parse_field(field) is not None:
                continue
            assert field in offer.extra, (key, field)


def test_components_and_units_are_words_of_the_vocabulary(installed: dict[str, Entry]) -> None:
    quotes = [quote for entry in installed.values() for quote in quotes_of(entry)]
    assert {quote.component for quote in quotes} <= COMPONENTS.keys()
    assert {quote.unit for quote in quotes} <= UNITS.keys()
    assert len(quotes) > 15_000


def test_an_unknown_field_is_kept_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"acme/m": {"litellm_provider": "acme", "input_cost_per_token": 1e-6, "cost_of_living": 3}}))
    reading = LiteLlmMap(file).read()
    assert reading.unknown == {"cost_of_living": 1}
    assert reading.offers[0].extra["cost_of_living"] == 3


@pytest.mark.parametrize(
    ("field", "component", "unit", "tier"),
    [
        ("input_cost_per_token", "input", "token", Tier()),
        ("output_cost_per_token_above_272k_tokens_priority", "output", "token", Tier(272_000, "priority")),
        ("cache_creation_input_token_cost_above_1hr_above_200k_tokens", "cache_write", "token", Tier(200_000, cache_ttl=3600)),
        ("cache_read_input_token_cost_batches", "cache_read", "token", Tier(service_tier="batch")),
        ("input_cost_per_token_ultrafast", "input", "token", Tier(service_tier="ultrafast")),
        ("output_cost_per_second_1080p", "output", "second", Tier(variant="1080p")),
        ("output_cost_per_image_0.5K", "image_out", "image", Tier(variant="0.5K")),
        ("input_cost_per_video_per_second_above_15s_interval", "video_in", "second", Tier(variant="longer than 15 s")),
        ("input_cost_per_character_above_128k_tokens", "input", "character", Tier(128_000)),
        ("ocr_cost_per_page_batches", "ocr", "page", Tier(service_tier="batch")),
    ],
)
def test_the_grammar_reads_names(field: str, component: str, unit: str, tier: Tier) -> None:
    parsed = parse_field(field)
    assert parsed is not None
    assert (parsed.component, parsed.unit, parsed.tier) == (component, unit, tier)


@pytest.mark.parametrize(
    "field", ["", "input_cost", "supports_vision", "max_tokens", "input_cost_per_token_per_day", "cost", *sorted(KEPT)]
)
def test_what_is_no_price_is_not_taken_for_one(field: str) -> None:
    assert parse_field(field) is None


def test_context_lists_become_bands() -> None:
    entry = {
        "tiered_pricing": [
            {"input_cost_per_token": Decimal("3e-7"), "range": [0, 32000]},
            {"input_cost_per_token": Decimal("5e-7"), "range": [32000, 128000]},
        ]
    }
    assert {quote.tier.context_above: quote.usd_per_million for quote in quotes_of(entry)} == {None: Decimal("0.3"), 32_000: Decimal("0.5")}


def test_off_peak_prices_carry_their_windows(installed: dict[str, Entry]) -> None:
    entry = installed["deepseek-flash"]
    off_peak = {quote.component: quote.usd_per_million for quote in quotes_of(entry) if quote.tier.time_window}
    assert off_peak["input"] == Decimal("0.15")
    assert {quote.tier.time_window for quote in quotes_of(entry)} == {
        None, "1-5 00:00-01:00,04:00-06:00,10:00-00:00;6-7 00:00-00:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("heard", "written", "billed"),
    [
        ("0.0001", "0.0001", 100),
        ("0.0001", "0", 100),
        ("0", "0.00003", 30),
        ("0.0001", "0.0002", 200),
        (None, "0.00003", 30),
        ("0", "0", 0),
    ],
)
def test_a_second_of_speech_has_one_price(heard: str | None, written: str, billed: int) -> None:
    fields = {"input_cost_per_second": heard, "output_cost_per_second": written}
    entry = {"mode": "audio_transcription"} | {field: Decimal(amount) for field, amount in fields.items() if amount is not None}
    assert [(quote.component, quote.unit, quote.usd_per_million) for quote in quotes_of(entry)] == [("input", "second", billed)]


def test_no_transcription_of_the_map_bills_its_seconds_twice(installed: dict[str, Entry]) -> None:
    heard = [
        [quote for quote in quotes_of(entry) if quote.unit == "second" and quote.component in ("input", "output")]
        for entry in installed.values()
        if entry.get("mode") == "audio_transcription"
    ]
    priced = [[(quote.component, quote.tier) for quote in quotes] for quotes in heard if quotes]
    assert len(priced) > 60
    assert all(places == [("input", Tier())] for places in priced)


def test_regional_uplifts_are_prices_of_that_region() -> None:
    entry = {"input_cost_per_token": Decimal("1e-5"), "regional_processing_uplift_multiplier_eu": Decimal("1.1")}
    found = {quote.tier.region: quote.usd_per_million for quote in quotes_of(entry)}
    assert found == {None: 10, "eu": 11}


def test_image_sizes_in_a_key_are_variants_of_one_offer(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    entry = {"litellm_provider": "azure", "mode": "image_generation"}
    sizes = {"1024-x-1024": 4e-8, "1024-x-1792": 5e-8}
    file.write_text(json.dumps({f"azure/hd/{size}/dall-e-3": entry | {"input_cost_per_pixel": cost} for size, cost in sizes.items()}))
    (offer,) = LiteLlmMap(file).read().offers
    assert offer.offer_id == "azure/dall-e-3"
    assert {quote.tier.variant for quote in offer.quotes} == {"hd, 1024-x-1024", "hd, 1024-x-1792"}


def test_regions_are_part_of_the_upstream_id_and_stated() -> None:
    offer = offer_of("bedrock/eu-west-1/meta.llama3-8b-instruct-v1:0", {"litellm_provider": "bedrock"})
    assert (offer.offer_id, offer.region) == ("bedrock/eu-west-1/meta.llama3-8b-instruct-v1:0", "eu-west-1")
    assert offer_of("us.anthropic.claude-x-v1:0", {"litellm_provider": "bedrock_converse"}).region == "us"


def test_reading_the_map_does_not_import_litellm() -> None:
    import subprocess
    import sys

    code = "import sys; from backend.catalog.sources.litellm_map import LiteLlmMap; LiteLlmMap().read(); print('litellm' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
