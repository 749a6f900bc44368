"""Prices over time: what the sentence says, what is drawn, what is read out."""

from datetime import date
from itertools import pairwise

import pytest

from state.step_chart import OfferSteps, PriceStep, StepChart, price_on, step_chart, step_path, steps_sentence

USD = 1_000_000_000
TODAY = date(2026, 7, 1)


def offer(*amounts: int | None, name: str = "OpenAI", main: bool = True, year: int = 2025) -> OfferSteps:
    """One step at the beginning of each month."""
    steps = tuple(PriceStep(date(year + number // 12, number % 12 + 1, 1), nano) for number, nano in enumerate(amounts))
    return OfferSteps(name, steps, main)


@pytest.mark.parametrize(
    ("amounts", "sentence"),
    [
        ((USD, USD // 2, USD // 4), "Input price fell from $1.00 to $0.25 in two steps"),
        ((USD, 2 * USD), "Input price rose from $1.00 to $2.00 in one step"),
        ((USD, 3 * USD, 2 * USD), "Input price went from $1.00 to $2.00 in two steps"),
        ((USD, 3 * USD, USD), "Input price is $1.00 again after two steps"),
        ((USD,), "Input price has been $1.00 since 1 Jan 2025"),
        ((USD, USD), "Input price has been $1.00 since 1 Jan 2025"),
        ((USD, None, USD // 2), "Input price fell from $1.00 to $0.50 in one step"),
        ((None,), "Nobody stated the input price of OpenAI"),
    ],
)
def test_the_title_says_what_happened(amounts: tuple[int | None, ...], sentence: str) -> None:
    assert steps_sentence("Input price", offer(*amounts)) == sentence


def test_a_price_holds_until_the_next_one() -> None:
    one = offer(USD, None, USD // 2)
    assert price_on(one, date(2024, 12, 31)) is None
    assert price_on(one, date(2025, 1, 31)) == USD
    assert price_on(one, date(2025, 2, 1)) is None
    assert price_on(one, TODAY) == USD // 2


def test_the_chart_has_a_line_per_offer_a_stop_per_day_and_the_numbers_behind() -> None:
    azure = offer(None, USD, name="Azure", main=False)
    chart = step_chart("Input price", [azure, offer(USD, USD // 2, USD // 4)], TODAY)
    assert chart.sentence == "Input price fell from $1.00 to $0.25 in two steps", "it is about the main offer, whatever the order"
    assert [line.name for line in chart.lines] == ["OpenAI", "Azure"]
    assert [line.amount for line in chart.lines] == ["0.25", "1.00"]
    assert chart.lines[1].points[0] == [0.0, None], "where nobody states a price there is no line"
    assert chart.lines[0].points[-1] == [1.0, 0.25]
    assert [stop.title for stop in chart.stops] == ["1 Jan 2025", "1 Feb 2025", "1 Mar 2025", "1 Jul 2026"]
    assert chart.stops[0].lines == ["OpenAI $1.00", "Azure no price"]
    assert chart.stops[-1].lines == ["OpenAI $0.25", "Azure $1.00"]
    assert chart.rows[0] == ["1 Mar 2025", "OpenAI", "0.50", "0.25"]
    assert ["1 Jan 2025", "OpenAI", "—", "1.00"] in chart.rows
    assert chart.y_ticks[0].text == "0.00"
    assert chart.y_ticks[-1].at == 1


def test_labels_of_like_prices_do_not_lie_over_each_other() -> None:
    chart = step_chart("Input price", [offer(USD, name=f"Seller {number}", main=number == 0) for number in range(5)], TODAY)
    places = sorted(line.label_at for line in chart.lines)
    assert all(after - before >= 0.089 for before, after in pairwise(places))


def test_without_a_price_there_is_nothing_to_draw() -> None:
    assert step_chart("Input price", [], TODAY) == StepChart()
    assert step_chart("Input price", [offer(None)], TODAY) == StepChart()
    assert step_chart("Input price", [OfferSteps("Nobody", ())], TODAY) == StepChart()


def test_a_small_path_goes_in_the_same_steps_and_stops_where_there_is_no_price() -> None:
    first, last = date(2025, 1, 1), date(2025, 1, 11)

    def on(day: int, nano: int | None) -> PriceStep:
        return PriceStep(date(2025, 1, day), nano)

    assert step_path([on(1, 4), on(6, 2)], first, last, 60, 16) == "M0 0 H30 V8 H60"
    assert step_path([on(1, 4), on(6, None), on(7, 2)], first, last, 60, 16) == "M0 0 H30 M36 8 H60"
    assert step_path([on(1, 4), on(6, None)], first, last, 60, 16) == "M0 0 H30"
    assert step_path([on(1, 0)], first, last, 60, 16) == ""
