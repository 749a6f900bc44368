"""Lists as they are served: what each format says, and that what nobody can read is named and harms nothing else."""

import json
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.catalog.admission import admitted
from backend.catalog.records import OfferRecord, SourceReading
from backend.catalog.sources.feed import FeedUnreadable, number, parse_feed
from backend.catalog.sources.formats import FORMATS, looks_like, read_text
from backend.pricing.currency import usd_rate
from backend.pricing.quotes import Quote
from backend.pricing.tiers import Tier
from tests.catalog.conftest import offer, quote

DAY = date(2026, 6, 1)
"""When the texts came."""
OPENROUTER = {
    "data": [
        {
            "id": "openai/gpt-9",
            "canonical_slug": "openai/gpt-9-2026-03-01",
            "name": "OpenAI: GPT-9",
            "created": 1772323200,
            "description": "A model.",
            "context_length": 400000,
            "architecture": {"input_modalities": ["text", "image", "file"], "output_modalities": ["text"], "tokenizer": "GPT"},
            "pricing": {"prompt": "0.00000125", "completion": "0.00001", "request": "0", "input_cache_read": "0.000000125", "magic": "1"},
            "top_provider": {"context_length": 400000, "max_completion_tokens": 128000, "is_moderated": True},
            "supported_parameters": ["tools", "reasoning", "structured_outputs"],
        },
        {"id": "acme/gift:free", "pricing": {"prompt": "0", "completion": "0"}, "architecture": None},
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
        {"id": 7, "pricing": {}},
        "nonsense",
    ]
}
MODELS_DEV = {
    "acme": {
        "id": "acme",
        "models": {
            "big-1": {
                "id": "big-1",
                "name": "Big 1",
                "tool_call": True,
                "reasoning": False,
                "knowledge": "2025-12",
                "release_date": "2026-03-01",
                "modalities": {"input": ["text", "image"], "output": ["text"]},
                "open_weights": False,
                "cost": {"input": 2, "output": 8.5, "cache_read": 0.2, "context_over_200k": {"input": 4, "output": 17}},
                "limit": {"context": 1000000, "output": 64000},
            },
            "big-2": {"cost": {"input": 1, "tiers": [{"input": 2, "tier": {"type": "context", "size": 272000}}]}, "limit": {}},
            "broken": {"cost": [1, 2]},
        },
    },
    "empty": {"models": None},
}


def read(kind: str, value: Any) -> SourceReading:
    return read_text(kind, value if isinstance(value, bytes) else json.dumps(value).encode(), "ours", DAY)


def prices(record: OfferRecord) -> dict[tuple[str, str], Decimal]:
    return {(one.component, one.tier.text): one.usd_per_million for one in record.quotes}


def test_openrouters_list_is_what_one_seller_sells() -> None:
    reading = read("openrouter", OPENROUTER)
    big, gift, routed = reading.offers
    assert (big.offer_id, big.context_tokens, big.max_output_tokens) == ("openrouter/openai/gpt-9", 400_000, 128_000)
    assert prices(big) == {("input", ""): Decimal("1.25"), ("output", ""): Decimal(10), ("cache_read", ""): Decimal("0.125")}
    assert (big.capabilities["tools"], big.capabilities["vision"], big.modalities_in) == (True, True, ("text", "image", "pdf"))
    assert [one.confirmed_free for one in gift.quotes] == [True, True]
    assert routed.quotes == (), "a price that depends on the route is none"
    assert (reading.unknown, sorted(reading.refused)) == ({"magic": 1}, ["7", "entry 4"])


def test_models_devs_api_says_what_its_table_says() -> None:
    reading = read("models.dev", MODELS_DEV)
    one, two = reading.offers
    assert (one.offer_id, one.name, one.knowledge_cutoff, one.max_output_tokens) == ("acme/big-1", "Big 1", "2025-12", 64_000)
    assert prices(one)["output", ""] == Decimal("8.5")
    assert prices(one)["input", Tier(context_above=200_000).text] == 4
    assert prices(two) == {("input", ""): Decimal(1), ("input", Tier(context_above=272_000).text): Decimal(2)}
    assert list(reading.refused) == ["acme/broken"]


def test_the_data_of_genai_prices_is_read_provider_by_provider() -> None:
    prices_of = {"input_mtok": 1.5, "output_mtok": {"base": 6, "tiers": [{"start": 200000, "price": 9}]}}
    model = {"id": "big-1", "match": {"equals": "big-1"}, "prices": prices_of}
    data = [{"id": "acme", "name": "Acme", "api_pattern": "acme", "models": [model]}, {"id": "broken", "models": "none"}]
    reading = read("genai-prices", data)
    assert prices(reading.offers[0]) == {
        ("input", ""): Decimal("1.5"), ("output", ""): Decimal(6), ("output", Tier(context_above=200_000).text): Decimal(9),
    }  # fmt: skip
    assert list(reading.refused) == ["broken"]


def test_a_map_with_entries_of_wrong_types_keeps_the_others() -> None:
    good = {"litellm_provider": "acme", "input_cost_per_token": 1e-6}
    wrong = {"litellm_provider": "acme", "time_of_day_pricing": 7, "tiered_pricing": "many", "provider_specific_entry": [1]}
    reading = read("litellm", {"acme/good": good, "acme/wrong": wrong, "acme/none": None})
    assert [one.offer_id for one in reading.offers if one.quotes] == ["acme/good"]
    assert read("litellm", {"acme/good": good}).offers[0].quotes[0].usd_per_million == 1


def test_price_runners_csv_is_read_as_it_is() -> None:
    text = b"model_name,provider,price_per_token,mmlu_score,model_size\ngpt-4o-mini,OpenAI,0.00000015,79.0,Unknown\n"
    (record,) = read("table", text).offers
    assert (record.offer_id, prices(record)) == ("openai/gpt-4o-mini", {("input", ""): Decimal("0.15")})
    assert (record.quotes[0].amount, record.extra) == ("0.00000015", {"mmlu_score": "79.0", "model_size": "Unknown"})


def test_a_list_of_ones_own_says_all_that_the_store_knows_as_csv_yaml_and_json() -> None:
    fields = {"provider": "acme", "model": "big", "input": "2.5", "output": "10", "context_tokens": "128000", "release_date": "2026-03-01"}
    fields |= {"capabilities": "tools|vision", "open_weights": "true", "effective_at": "2026-12-01", "licence": "MIT"}
    csv = ",".join(fields) + "\n" + ",".join(fields.values()) + "\n"
    yaml = "models:\n- " + "\n  ".join(f"{name}: {value}" for name, value in fields.items())
    readings = [read("table", text.encode()).offers for text in (csv, yaml, json.dumps([fields]))]
    assert readings[0] == readings[1] == readings[2]
    assert (readings[0][0].capabilities, readings[0][0].context_tokens) == ({"tools": True, "vision": True}, 128_000)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("acme,a,cheap,", "input is no price"),
        ("acme,a,1,XAU", "The ECB quotes no rate for 'XAU'"),
        (",a,1,", "provider is missing"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(line: str, says: str) -> None:
    reading = read("table", f"provider,model,input,currency\n{line}\nacme,b,1,\n".encode())
    assert len(reading.offers) == 1
    ((entry, reason),) = reading.refused.items()
    assert says in reason
    assert entry.startswith("line 2, "), "so that it is found in the file"


def test_another_currency_is_converted_at_the_rate_of_the_day_and_what_was_stated_stays() -> None:
    text = b"provider,model,input,output,currency,effective_at\nacme,a,2,8,EUR,\nacme,b,2,8,eur,2025-01-02\n\nacme,c,2,8,,\n"
    eur, earlier, usd = read("table", text).offers
    rate = usd_rate("EUR", DAY)
    assert prices(eur) == {("input", ""): 2 * rate.usd, ("output", ""): 8 * rate.usd}
    assert [(one.amount, one.currency, one.extra["conversion"]) for one in eur.quotes] == [("2", "EUR", rate.text), ("8", "EUR", rate.text)]
    assert prices(earlier)["input", ""] == 2 * usd_rate("EUR", date(2025, 1, 2)).usd
    assert (prices(usd)["input", ""], usd.quotes[0].currency, "conversion" in usd.quotes[0].extra) == (2, "USD", False)
    assert read_text("table", text, "ours", date(2025, 6, 2)).offers[0].quotes[0].usd_per_million != prices(eur)["input", ""]


@pytest.mark.parametrize(("value", "kind"), [(OPENROUTER, "openrouter"), (MODELS_DEV, "models.dev"), ([{"provider": "a"}], "table")])
def test_a_text_tells_what_it_is(value: Any, kind: str) -> None:
    assert looks_like(json.dumps(value).encode()) == kind


@pytest.mark.case("S6")
@given(st.sampled_from(FORMATS), st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_text_does_more_than_to_be_refused(kind: str, text: bytes) -> None:
    for shape in {kind, looks_like(text)}:
        with suppress(FeedUnreadable):
            read_text(shape, text, "ours", DAY)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["models", "cost", "data", "id", "pricing", "x"]), inner),
    max_leaves=12,
)


@pytest.mark.case("S6")
@given(st.sampled_from(FORMATS), _ANYTHING)
def test_no_json_of_any_shape_does_either(kind: str, value: Any) -> None:
    try:
        reading = read(kind, value)
    except FeedUnreadable:
        return
    for record in reading.offers:
        admitted(record)


@pytest.mark.parametrize("text", ["1e-999999", "1e999999", "9" * 50, "NaN", "Infinity", "", "x"])
def test_a_number_beyond_all_measure_is_none(text: str) -> None:
    assert number(text) is None


def test_numbers_keep_their_digits_and_half_a_json_is_none() -> None:
    assert parse_feed(b'{"a": 0.1000, "b": 12, "c": NaN, "d": 1e-300}') == {"a": Decimal("0.1000"), "b": 12, "c": None, "d": None}
    with pytest.raises(FeedUnreadable, match="no JSON"):
        parse_feed(b'{"a": 0.1')
    with pytest.raises(FeedUnreadable, match="too deeply"):
        parse_feed(b"[" * 100_000)


@pytest.mark.case("S6")
def test_the_store_takes_only_what_it_can_hold() -> None:
    record = offer(
        "acme/big", None, None,
        quote("input", "1", source_url="javascript:alert(1)"),
        quote("output", "1", Tier(variant="v" * 65)),
        Quote("output", "token", Decimal("NaN"), "NaN"),
        Quote("cache_read", "token", Decimal("1e25"), "1e25"),
        name="n" * 10_000, context_tokens=10**15, licence="a\x00b", extra={"x": "y" * 30_000},
    )  # fmt: skip
    kept = admitted(record)
    assert kept is not None
    assert [(one.component, one.source_url) for one in kept.quotes] == [("input", None)]
    assert (len(kept.name or ""), kept.context_tokens, kept.licence, kept.extra) == (500, None, "ab", {})
    assert admitted(offer("ACME/big")) is None
