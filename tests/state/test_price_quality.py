"""What is drawn of price and quality: the compared models, and those that nobody beats."""

from datetime import UTC, datetime

import pytest

from backend.benchmarks.scores import SkillScore
from backend.catalog.schemas import ModelSummary
from backend.catalog.sold import OfferEntry
from backend.matching.columns import Columns, Source
from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.workload import Workload
from state.price_quality import left_out, measure_name, measures, priced_models
from tests.state.test_comparison import contender

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
WORK = Workload(1_000_000, 0)


class Known:
    """Scores as benchmarks give them."""

    def __init__(self, overall: dict[str, float]) -> None:
        self._overall = {id: SkillScore(score, score - 5, score + 5, 3, 0) for id, score in overall.items()}

    def overall(self, model_id: str) -> SkillScore | None:
        return self._overall.get(model_id)

    def skills(self, model_id: str) -> dict[str, SkillScore]:
        return {"coding": self._overall[model_id]} if model_id == "a" else {}

    def on(self, benchmark_id: str) -> dict[str, float]:
        return {}


def columns(offers: dict[str, list[tuple[str, int | None, bool]]], scores: dict[str, float]) -> Columns:
    """Model id → (seller, nano-dollars per 1M tokens in, retired)."""
    sold: list[tuple[ModelSummary, list[OfferEntry]]] = []
    cards = []
    for id, sellers in offers.items():
        entries = [OfferEntry(f"{seller}/{id}", seller, "priced", nano, nano, 1, retired) for seller, nano, retired in sellers]
        sold.append((contender(id, 1).detail.summary, entries))
        for seller, nano, _ in sellers:
            lines = () if nano is None else (PriceLine("p", "input", "token", nano),)
            cards.append(PriceCard(f"{seller}/{id}", "priced" if lines else "unpriced", lines))
    return Columns(Source(sold, cards, {}, {}, Known(scores)))


@pytest.fixture
def shelf() -> Columns:
    offers = {
        "a": [("x", 500, False), ("y", 300, False), ("z", 100, True)],
        "b": [("x", 200, False)],
        "beaten": [("x", 400, False)],
        "unscored": [("x", 1, False)],
        "unpriced": [("x", None, False)],
    }
    return columns(offers, {"a": 70, "b": 60, "beaten": 50, "unpriced": 90})


def test_each_costs_what_its_cheapest_offer_on_sale_asks(shelf: Columns) -> None:
    drawn = priced_models(shelf, ["a"], WORK, "", NOW)
    assert [(one.id, one.nano, one.chosen) for one in drawn] == [("a", 300, True), ("b", 200, False)]


def test_an_unconfirmed_price_is_drawn_only_where_there_is_no_other() -> None:
    entries = [
        OfferEntry("x/a", "x", "priced", 10, 10, 1, False, doubt="one source only, 97 % below the maker's price"),
        OfferEntry("y/a", "y", "priced", 300, 300, 2, False),
    ]
    cards = [PriceCard(entry.id, "priced", (PriceLine("p", "input", "token", entry.input_nano or 0),)) for entry in entries]
    both, alone = (
        Columns(Source([(contender("a", 1).detail.summary, offers)], cards, {}, {}, Known({"a": 70}))) for offers in (entries, entries[:1])
    )
    assert [one.nano for one in priced_models(both, ["a"], WORK, "", NOW)] == [300]
    assert [one.nano for one in priced_models(alone, ["a"], WORK, "", NOW)] == [10]


def test_of_the_others_only_the_unbeaten_are_drawn_and_a_chosen_one_always(shelf: Columns) -> None:
    drawn = priced_models(shelf, ["beaten", "unpriced", "unscored"], WORK, "", NOW)
    assert {one.id for one in drawn if one.chosen} == {"beaten"}
    assert {one.id for one in drawn if not one.chosen} == {"a", "b"}
    names = [("beaten", "Beaten"), ("unpriced", "Unpriced"), ("unscored", "Unscored")]
    assert left_out(names, drawn, "").startswith("Unpriced and Unscored cannot be drawn")
    assert left_out(names[:1], drawn, "") == ""


def test_what_a_model_was_measured_in_can_be_drawn(shelf: Columns) -> None:
    assert measures(shelf, ["a", "unscored"]) == [("", "Overall"), ("coding", "Coding")]
    assert measures(shelf, ["unscored", "no-such"]) == []
    assert [one.id for one in priced_models(shelf, ["a"], WORK, "coding", NOW)] == ["a"]
    assert [measure_name(skill) for skill in ("", "tools", "multilingual:da")] == ["quality overall", "tool calling", "Danish"]
