"""Price against quality of what the store found."""

from dataclasses import replace

from backend.benchmarks.scores import Scores, SkillScore
from backend.catalog.schemas import ModelSummary
from state.store_scatter import MOST_DOTS, store_scatter

USD = 10**9
PLAIN = ModelSummary(
    id="", name="", creator=None, creator_name=None, mode="chat", capabilities=(), modalities_in=(), modalities_out=(), context_tokens=None,
    max_output_tokens=None, input_nano=USD, output_nano=USD, price_state="priced", offers=1, providers=1, cheapest_offer="x/y",
    own_offer=None, own_input_nano=None, own_output_nano=None, release_date=None, status="active", open_weights=None,
)  # fmt: skip


def model(id: str, usd: int | None, **more: object) -> ModelSummary:
    nano = None if usd is None else usd * USD
    return replace(PLAIN, id=id, name=id.upper(), input_nano=nano, output_nano=nano, **more)  # type: ignore[arg-type]


def sure(score: float) -> SkillScore:
    return SkillScore(score, score - 2, score + 2, 9, 0)


FOUND = [
    model("dear", 10), model("cheap", 1), model("beaten", 12), model("unpriced", None), model("thin", 1), model("unmeasured", 1),
    model("retired", 1, status="retired"), model("free", 0),
]  # fmt: skip
SCORES = Scores(
    {},
    {"dear": sure(80), "cheap": sure(60), "beaten": sure(70), "unpriced": sure(90), "thin": SkillScore(95, 60, 99, 1, 1),
     "retired": sure(99), "free": sure(99)},
    {"mmlu": {"thin": 88.0, "cheap": 50.0}},
)  # fmt: skip


def test_those_that_nobody_beats_stand_out_and_what_cannot_be_placed_is_counted() -> None:
    plot, about = store_scatter(FOUND, SCORES, "", "")
    assert {dot.id for dot in plot.dots} == {"dear", "cheap", "beaten"}
    assert {dot.id for dot in plot.dots if dot.chosen} == {"dear", "cheap"}
    assert plot.sentence == "Nothing beats 2 of these 3 models on price and quality at once"
    assert "5 have no price per token, or too few results." in about
    assert next(dot.read for dot in plot.dots if dot.id == "cheap") == "CHEAP: $1.00 per 1M tokens, quality 60, between 58 and 62"


def test_the_makers_own_price_is_the_one_that_counts() -> None:
    own = model("own", 1, own_offer="maker/own", own_input_nano=8 * USD, own_output_nano=16 * USD)
    plot, _ = store_scatter([own], Scores({}, {"own": sure(60)}, {}), "", "")
    assert "$10.00 per 1M tokens" in plot.dots[0].read
    assert plot.sentence == "One of these models has both a price and a score of its quality"


def test_on_one_benchmark_scores_are_what_was_published() -> None:
    plot, _ = store_scatter(FOUND, SCORES, "mmlu", "MMLU")
    assert plot.sentence == "Nothing beats 1 of these 2 models on price and MMLU at once"


def test_nothing_to_draw_is_empty_and_much_is_cut_without_losing_the_front() -> None:
    assert store_scatter([], SCORES, "", "")[0].dots == []
    many = [model(f"m{number}", 500 - number) for number in range(300)]
    scores = Scores({}, {one.id: sure(40 + number / 10) for number, one in enumerate(many)}, {})
    plot, about = store_scatter(many, scores, "", "")
    assert len(plot.dots) == MOST_DOTS
    assert [dot.id for dot in plot.dots if dot.chosen] == ["m299"]
    assert "The 60 best known of 300 are drawn." in about
