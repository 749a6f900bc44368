"""What a person's work costs at each seller, what it emits, and what was measured here."""

import pytest

from backend.carbon.footprint import Footprint, Unknown
from backend.carbon.sizes import Size
from backend.metering.rollups.gather import MEASURES, Totals
from backend.metering.rollups.histogram import bucket_of
from backend.metering.rollups.schemas import Usage
from backend.pricing.schemas import ModelCost, OfferCost
from backend.pricing.workload import Workload
from state.calculator import beside_tokens, calculator_sentence, carbon_text, offer_lines, span_text
from state.measured import measured_rows, measured_sentence, share_text

SELLERS = {"acme": "Acme", "cheap": "Cheap & Co"}


def offer(provider: str, nano: int | None, id: str = "m") -> OfferCost:
    state = "unpriced" if nano is None else "priced" if nano else "free"
    return OfferCost(f"{provider}/{id}", provider, state, nano, nano, nano and nano * 30, nano)


def model(*offers: OfferCost) -> ModelCost:
    return ModelCost("m", "M", "m", offers)


def test_the_cheapest_offer_of_each_seller_is_shown_and_the_makers_wherever_it_stands() -> None:
    many = [offer(f"p{number}", 1000 + number) for number in range(9)]
    lines = offer_lines(
        model(offer("cheap", 10), offer("cheap", 20, "m2"), *many, offer("acme", 9000), offer("x", None)), SELLERS, "acme/m"
    )
    assert [line.seller for line in lines] == ["Cheap & Co", "p0", "p1", "p2", "p3", "p4", "Acme, the maker"]
    assert [line.best for line in lines] == [True] + [False] * 6
    assert (lines[0].call, lines[0].month) == ("$0.00000001", "$0.0000003")


def test_the_title_says_where_the_work_costs_least() -> None:
    assert calculator_sentence(model(offer("cheap", 1_000_000_000)), SELLERS) == "This work costs $30.00 a month at Cheap & Co"
    assert calculator_sentence(model(offer("acme", 0)), SELLERS) == "Acme gives this work away, within its limits"
    assert calculator_sentence(model(offer("acme", None)), SELLERS) == "Nobody states a price that covers this work"


def test_emissions_are_a_range_with_what_they_rest_on_or_the_reason_why_there_is_none() -> None:
    size = Size(70, 70, 70, 70, "name")
    found = Footprint("m", 500, 1, "FRA", 0.71, 1.24, 0.351, 0.568, size, "the number in its name", (), "ecologits 1")
    assert carbon_text(found) == (
        "A call emits 0.35–0.57 g CO₂e and takes 0.71–1.2 Wh: electricity of FRA, ecologits 1, the number in its name."
    )
    assert carbon_text(Unknown("m", 500, 1, "WOR", "Nobody says.")) == "Emissions: Nobody says."
    assert span_text(1234.4, 2000) == "1,234–2,000"
    assert span_text(0.5, 0.5) == "0.5"


# --- measured here -----------------------------------------------------------------------------------------------------------------


def usage(calls: int, errors: int = 0, *, output: int = 0, latency: int | None = None) -> Usage:
    sums = [0] * len(MEASURES)
    for name, value in (("calls", calls), ("errors", errors), ("output_tokens", output)):
        sums[MEASURES.index(name)] = value
    histogram = {} if latency is None else {bucket_of(latency): calls}
    return Usage.of(Totals(tuple(sums), histogram, dict(histogram)))


def test_what_was_measured_is_shown_by_provider_and_what_was_not_is_said() -> None:
    found = {"acme": (usage(2, 1), usage(1)), "cheap": (usage(100, 2), usage(98, output=98 * 50, latency=2000))}
    rows = measured_rows(found, SELLERS)
    assert [(row.provider, row.calls, row.answered) for row in rows] == [("Cheap & Co", "100", "98.0\u00a0%"), ("Acme", "2", "50.0\u00a0%")]
    assert rows[0].first.count("2.0 s") == 2
    assert int(rows[0].speed) == pytest.approx(25, rel=0.05)
    assert (rows[1].first, rows[1].speed) == ("—", "—")
    assert measured_sentence({"acme": (usage(1), usage(1))}) == "Your tenant called it once in 7 days, and every call was answered"
    assert measured_sentence(found) == "Your tenant called it 102 times in 7 days, and 97.1\u00a0% of that was answered"


def test_only_what_is_whole_is_a_hundred_percent() -> None:
    assert share_text(3, 3) == "100\u00a0%"
    assert share_text(99_999, 100_000) == "99.9\u00a0%"


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (Workload(), ""),
        (Workload(100, 0, images=1), "1 picture"),
        (Workload(0, 0, seconds=60), "60 seconds"),
        (Workload(0, 0, characters=1000), "1,000 characters"),
        (Workload(0, 0, audio_input_tokens=600, audio_output_tokens=1), "600 tokens heard, 1 token spoken"),
    ],
)
def test_what_is_more_than_tokens_is_said_in_words(work: Workload, text: str) -> None:
    assert beside_tokens(work) == text
