"""How an offer's prices are said, and how sure we are of them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from backend.catalog.schemas import OfferView, PriceLineView
from state.offers import evidence_text, offer_row, price_rows

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
LINE = PriceLineView(
    component="input", label="Input", unit="token", tier="", tier_label="", usd_per_million="0.25", nano_per_million=250_000_000,
    amount="0.25 per 1,000,000 tokens", currency="USD", source="litellm", source_url=None, effective_at=NOW - timedelta(days=9),
    observed_at=NOW, status="observed", in_force=True, reason=None,
)  # fmt: skip
OFFER = OfferView(
    id="openai/gpt-5-mini", provider_id="openai", provider_name="OpenAI", upstream_id="gpt-5-mini", region=None, context_tokens=None,
    max_output_tokens=None, capabilities=(), deprecation_date=None, status="active", price_state="priced", input_nano=250_000_000,
    output_nano=2_000_000_000, cache_read_nano=None, batch_input_nano=None, price_agreement=3, price_sources=3, price_observed_at=NOW,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "text", "tone"),
    [
        ({}, "3 of 3 agree", "good"),
        ({"price_agreement": 1, "price_sources": 2}, "1 of 2 agree", "warn"),
        ({"price_agreement": 1, "price_sources": 1}, "1 source", "plain"),
        ({"price_sources": 1, "price_observed_at": NOW - timedelta(days=41)}, "1 source, 41 days old", "warn"),
        ({"price_sources": 0}, "no source", "plain"),
        ({"price_agreement": 1, "price_sources": 1, "doubt": "one source only, 86 % below the maker's price"}, "unconfirmed", "warn"),
        ({"price_agreement": 1, "price_sources": 4, "price_source": "operator"}, "set here", "good"),
        ({"price_state": "quarantined"}, "in quarantine", "bad"),
    ],
)
def test_evidence_is_counted_and_aged(changes: dict[str, object], text: str, tone: str) -> None:
    assert evidence_text(replace(OFFER, **changes), NOW) == (text, tone)  # type: ignore[arg-type]


def test_an_offer_without_a_price_is_unpriced_and_not_zero() -> None:
    row = offer_row(replace(OFFER, price_state="quarantined", input_nano=None, output_nano=None), NOW)
    assert (row.input, row.output, row.price_note) == ("", "", "unpriced")


def test_an_offer_says_whose_word_its_price_is_and_what_speaks_against_it() -> None:
    told = replace(OFFER, price_source="models.dev", price_as_of=date(2026, 7, 2))
    assert offer_row(told, NOW).detail == "openai/gpt-5-mini · models.dev, 2 Jul 2026"
    doubted = offer_row(replace(told, doubt="one source only, 86 % below the maker's price"), NOW)
    assert doubted.detail.endswith("2 Jul 2026 · one source only, 86 % below the maker's price")


def test_sources_that_say_the_same_share_a_row_and_others_keep_their_own() -> None:
    agreeing = replace(LINE, source="models.dev", in_force=False, effective_at=NOW, reason="another source stands for it")
    differing = replace(LINE, source="genai-prices", in_force=False, nano_per_million=300_000_000)
    rows = price_rows((LINE, agreeing, differing))
    assert [(row.amount, row.sources, row.status) for row in rows] == [
        ("0.25", "litellm, models.dev", "in force"),
        ("0.30", "genai-prices", "not used"),
    ]
    assert rows[0].since == "6 Jul 2026"


def test_a_quarantined_price_says_why() -> None:
    (row,) = price_rows((replace(LINE, in_force=False, status="quarantined", reason="absurd: $3200 per 1M tokens"),))
    assert (row.status, row.tone, row.reason) == ("in quarantine", "bad", "absurd: $3200 per 1M tokens")


def test_what_is_not_sold_by_the_token_keeps_its_own_unit_and_currency() -> None:
    queries = replace(LINE, unit="query", amount="10 per 1,000 queries")
    (row,) = price_rows((queries,))
    assert (row.amount, row.unit) == ("10", "per 1,000 queries")
    (row,) = price_rows((replace(queries, currency="EUR"),))
    assert row.unit == "EUR per 1,000 queries"


def test_an_offer_that_is_not_sold_by_the_token_says_what_it_is_sold_by() -> None:
    image = replace(LINE, component="image", label="Image", unit="image", amount="0.04 per image")
    row = offer_row(replace(OFFER, input_nano=None, output_nano=None, prices=(image,)), NOW)
    assert row.detail == "openai/gpt-5-mini · $0.04 per image"
    assert row.price_note == "other unit"
    half = offer_row(replace(OFFER, output_nano=None), NOW)
    assert (half.input, half.output, half.price_note) == ("0.25", "", "—")
