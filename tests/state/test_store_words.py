"""The store's sentences and chips."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.catalog.measured import Choosable
from backend.catalog.schemas import FacetValue, Freshness, SourceFreshness, StorePage, StoreQuery
from state.store_words import chips_of, offered, speakers, subline_text

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FRESH = Freshness(1, 1, 1, 0, (SourceFreshness("litellm", None, NOW - timedelta(minutes=12), 1),))


def page(priced: int, agreed: int, **facets: tuple[FacetValue, ...]) -> StorePage:
    return StorePage((), 30, 0, 24, facets, "", priced, agreed)


@pytest.mark.parametrize(
    ("priced", "agreed", "said"),
    [
        (2244, 1371, "Two sources or more agree on 1,371 of these 2,244 prices; read 12 minutes ago."),
        (15, 0, "Two sources or more agree on none of these 15 prices; read 12 minutes ago."),
        (3, 3, "Two sources or more agree on each of these 3 prices; read 12 minutes ago."),
        (1, 1, "Two sources or more agree on its price; read 12 minutes ago."),
        (1, 0, "Its price comes from one source; read 12 minutes ago."),
        (0, 0, "None of these has a price per token; read 12 minutes ago."),
    ],
)
def test_the_line_under_the_headline_says_how_well_prices_are_supported(priced: int, agreed: int, said: str) -> None:
    assert subline_text(page(priced, agreed), FRESH, NOW) == said


def test_of_nothing_nothing_is_said_but_when_prices_were_read() -> None:
    assert subline_text(replace(page(0, 0), total=0), FRESH, NOW) == "Prices were read 12 minutes ago."


def test_without_a_source_nothing_is_claimed() -> None:
    assert subline_text(page(0, 0), Freshness(0, 0, 0, 0), NOW) == ""


def test_what_is_asked_of_evidence_has_chips() -> None:
    chosen = page(1, 1, language=(FacetValue("de", "German", 3, True), FacetValue("fi", "Finnish", 2)))
    chips = chips_of(StoreQuery(min_score=62.5, benchmark="mmlu"), chosen, "MMLU")
    assert [(one.facet, one.value, one.label) for one in chips] == [
        ("language", "de", "German"), ("benchmark", "", "Measured on MMLU"), ("min_score", "", "Score ≥ 62.5"),
    ]  # fmt: skip
    assert [one.label for one in chips_of(StoreQuery(min_score=60.0), page(1, 1), "")] == ["Quality ≥ 60"]


def test_languages_are_offered_by_name_without_those_chosen() -> None:
    values = [FacetValue("fi", "Finnish", 1200), FacetValue("de", "German", 3, True), FacetValue("da", "Danish", 7)]
    assert speakers(values) == [["da", "Danish (7)"], ["fi", "Finnish (1,200)"]]


def test_benchmarks_are_offered_in_their_newest_version_and_the_chosen_one_always() -> None:
    known = [
        Choosable("live-24", "LiveBench", "2024-06-24", "higher", "coding", None, 80),
        Choosable("live-26", "LiveBench", "2026-01-08", "higher", "coding", None, 60),
        Choosable("mmlu", "MMLU", "", "higher", "knowledge", None, 66),
        Choosable("wer", "ASR", "", "lower", "speech", None, 66),
        Choosable("danish", "Danish", "", "higher", "multilingual", "da", 66),
        Choosable("rare", "Rare", "", "higher", "coding", None, 3),
        Choosable("speed", "Speed", "", "higher", None, None, 90),
    ]
    assert offered(known, "") == [["live-26", "LiveBench (2026-01-08)"], ["mmlu", "MMLU"]]
    assert ["rare", "Rare"] in offered(known, "rare")
