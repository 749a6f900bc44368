"""Which offers are drawn over time, and which steps of them."""

from datetime import date

from backend.pricing.history import PriceHistory, PriceSeries, Step
from state.price_history import SPARK, history_chart, sound_steps, spark_lines
from state.step_chart import PriceStep, StepChart

USD = 1_000_000_000
TODAY = date(2026, 11, 21)


def step(month: int, usd: int, *, year: int = 2025, end: date | None = None, reverted: bool = False, doubt: str | None = None) -> Step:
    return Step(date(year, month, 1), end, str(usd), usd * USD, "map", None, None, reverted, doubt)


def series(offer_id: str, *steps: Step, leading: bool = True, tier: str = "", component: str = "input") -> PriceSeries:
    return PriceSeries(offer_id, component, component, "token", tier, tier, "litellm", steps, leading)


def history(*found: PriceSeries) -> PriceHistory:
    return PriceHistory("m", "M", found, (), "")


SELLERS = {"acme/m": "Acme", "acme/m-eu": "Acme", "other/m": "Other", "flat/m": "Flat"}


def test_what_was_taken_back_or_cannot_be_right_or_has_no_day_is_not_drawn() -> None:
    undated = Step(None, None, "9", 9 * USD, "seller", None)
    found = sound_steps(
        series("acme/m", undated, step(1, 4), step(2, 40, doubt="a factor of ten"), step(3, 1, reverted=True), step(4, 4), step(5, 2))
    )
    assert found == (PriceStep(date(2025, 1, 1), 4 * USD), PriceStep(date(2025, 5, 1), 2 * USD))


def test_where_nobody_names_a_price_any_more_the_line_ends() -> None:
    gone = sound_steps(series("acme/m", step(1, 4, end=date(2025, 3, 1)), step(6, 2, end=date(2025, 9, 1))))
    assert [(one.day.month, one.nano) for one in gone] == [(1, 4 * USD), (3, None), (6, 2 * USD), (9, None)]


def test_the_makers_offer_is_the_line_in_colour_and_others_are_drawn_where_they_moved() -> None:
    chart, about = history_chart(
        history(
            series("other/m", step(1, 8), step(2, 6), step(3, 5)),
            series("acme/m", step(1, 4), step(5, 2)),
            series("acme/m-eu", step(1, 5), step(5, 3)),
            series("flat/m", step(1, 7)),
            series("flat/m", step(1, 1), leading=False),
            series("flat/m", step(1, 1), tier="batch"),
            series("flat/m", step(1, 1), component="output"),
        ),
        "input",
        own_offer="acme/m",
        sellers=SELLERS,
        today=TODAY,
    )
    assert [(line.name, line.main) for line in chart.lines] == [("Acme", True), ("Other", False)]
    assert chart.sentence == "Input price fell from $4.00 to $2.00 in one step"
    assert "2 more offers are" in about
    assert "litellm" in about
    assert len(chart.unwatched) == 2


def test_without_the_makers_offer_the_one_that_moved_most_is_told_of() -> None:
    found = history(series("flat/m", step(1, 7)), series("other/m", step(1, 8), step(2, 6)))
    chart, _ = history_chart(found, "input", own_offer=None, sellers=SELLERS, today=TODAY)
    assert [line.name for line in chart.lines] == ["Other"]
    assert history_chart(found, "output", own_offer=None, sellers=SELLERS, today=TODAY) == (StepChart(), "")


def test_an_offer_that_moved_has_a_small_chart_of_the_same_days_as_the_others() -> None:
    found = history(series("acme/m", step(1, 4), step(5, 2)), series("other/m", step(3, 1), step(4, 3)), series("flat/m", step(1, 7)))
    sparks = spark_lines(found, "input", TODAY)
    assert set(sparks) == {"acme/m", "other/m"}
    assert sparks["acme/m"][1] == "Input price fell from $4.00 to $2.00 in one step"
    assert sparks["acme/m"][0].startswith("M0 0 H")
    assert sparks["acme/m"][0].endswith(f"V8 H{SPARK[0]}")
    assert not sparks["other/m"][0].startswith("M0 "), "the same days: it begins later"


def test_the_small_charts_have_the_room_that_their_component_gives_them() -> None:
    from components.charts.sparkline import HEIGHT, WIDTH

    assert SPARK == (WIDTH, HEIGHT)
