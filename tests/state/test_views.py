"""Figures and words as people read them."""

from datetime import UTC, date, datetime, timedelta

import pytest

from backend.catalog.schemas import Freshness, SourceFreshness
from state.views import age_text, date_text, freshness_text, month_text, price_text, tokens_text

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (250_000_000, "0.25"),
        (25_000_000, "0.025"),
        (10_000_000_000, "10.00"),
        (1_125_000_000, "1.125"),
        (0, "0.00"),
        (1, "0.000000001"),
        (3_200_000_000_000, "3,200.00"),
        (249_970_001, "0.24997"),
        (None, ""),
    ],
)
def test_a_price_is_exact_and_has_at_least_cents(nano: int | None, text: str) -> None:
    assert price_text(nano) == text


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(None, ""), (512, "512"), (8_192, "8k"), (128_000, "128k"), (131_072, "128k"), (262_144, "256k"), (400_000, "400k"),
     (1_000_000, "1M"), (1_048_576, "1M"), (1_047_576, "1M"), (10_000_000, "10M"), (2_500, "2.5k"), (1_500_000, "1.5M")],
)  # fmt: skip
def test_a_context_is_said_as_people_say_it(tokens: int | None, text: str) -> None:
    assert tokens_text(tokens) == text


def test_ages_round_down_and_agree_in_number() -> None:
    assert age_text(NOW - timedelta(seconds=30), NOW) == "just now"
    assert age_text(NOW - timedelta(minutes=1, seconds=59), NOW) == "1 minute ago"
    assert age_text(NOW - timedelta(hours=23), NOW) == "23 hours ago"
    assert age_text(NOW - timedelta(days=41), NOW) == "41 days ago"
    assert age_text(NOW + timedelta(days=1), NOW) == "just now"


def test_dates_are_written_out() -> None:
    assert date_text(date(2025, 8, 7)) == "7 Aug 2025"
    assert date_text(None) == ""


@pytest.mark.parametrize(
    ("stated", "text"),
    [("2024-07-31", "31 Jul 2024"), ("2024-05", "May 2024"), ("mid 2024", "mid 2024"), ("2024-13", "2024-13"), (None, "")],
)
def test_a_day_or_a_month_is_written_out_and_what_is_none_is_left(stated: str | None, text: str) -> None:
    assert month_text(stated) == text


def test_the_footer_says_how_much_there_is_and_how_old_every_source_is() -> None:
    sources = (
        SourceFreshness("litellm", date(2026, 7, 13), NOW - timedelta(hours=2), 4_000),
        SourceFreshness("models.dev", None, NOW - timedelta(hours=2), 4_000),
        SourceFreshness("sandbox", None, NOW, 6),
        SourceFreshness("operator", None, NOW, 1),
        SourceFreshness("taken-away", NOW.date(), NOW, 0),
        SourceFreshness("genai-prices", None, NOW - timedelta(days=1), 2_000),
    )
    text = freshness_text(Freshness(models=2_913, offers=4_242, providers=146, quarantined=3, sources=sources), NOW)
    assert text == (
        "4,242 offers of 2,913 models by 146 providers. Read 2 hours ago: LiteLLM map of 13 Jul 2026 and models.dev. "
        "Read 1 day ago: genai-prices."
    )
    assert freshness_text(Freshness(0, 0, 0, 0), NOW) == "The catalog is still empty."


def test_a_price_sheet_keeps_every_digit() -> None:
    assert price_text(249_970_001, digits=15) == "0.249970001"
