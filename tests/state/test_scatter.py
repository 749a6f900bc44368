"""Price against quality: who is unbeaten, and what is drawn of it."""

from hypothesis import given
from hypothesis import strategies as st

from state.scatter import Priced, Scatter, pareto_front, scatter

CENT = 10_000_000


def model(id: str, nano: int, score: float, chosen: bool = True) -> Priced:
    return Priced(id, id.upper(), nano, score, score - 3, score + 4, chosen)


_MODELS = st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 100)), min_size=1, max_size=30).map(
    lambda pairs: [model(f"m{number}", nano, float(score)) for number, (nano, score) in enumerate(pairs)]
)


@given(_MODELS)
def test_nobody_on_the_front_is_beaten_and_everybody_else_is(models: list[Priced]) -> None:
    front = pareto_front(models)
    ids = {one.id for one in front}

    def beaten(one: Priced) -> bool:
        return any(
            other.nano <= one.nano and other.score >= one.score and (other.nano, other.score) != (one.nano, one.score) for other in models
        )

    assert not any(beaten(one) for one in front)
    for one in models:
        same = any((one.nano, one.score) == (other.nano, other.score) for other in front)
        assert one.id in ids or beaten(one) or same
    assert [one.nano for one in front] == sorted(one.nano for one in front)


@given(_MODELS)
def test_everything_drawn_lies_in_the_plot(models: list[Priced]) -> None:
    view = scatter(models, "coding")
    assert len(view.dots) == len(models)
    for dot in view.dots:
        assert all(0 <= place <= 1 for place in (dot.at, dot.height, dot.low, dot.high))
        assert dot.low <= dot.height <= dot.high
    assert len(view.front) == sum(dot.front for dot in view.dots)


def test_the_title_names_who_is_unbeaten_and_a_dot_says_all_that_it_stands_for() -> None:
    models = [
        model("cheap", CENT, 50),
        model("good", 4 * CENT, 80),
        model("dear", 8 * CENT, 70),
        model("other", 2 * CENT, 60, chosen=False),
    ]
    view = scatter(models, "coding")
    assert view.sentence == "Nothing beats CHEAP and GOOD on price and coding at once"
    assert [dot.id for dot in view.dots] == ["cheap", "good", "dear", "other"], "the chosen ones first"
    assert view.dots[2].read == "DEAR: $0.08 a call, coding 70, between 67 and 74"
    assert view.rows[2] == ["DEAR", "$0.08", "70", "67–74", "no"]
    assert scatter(models[:1], "coding").sentence == "No other model beats it on price and coding at once"
    beaten = [model("dear", 8 * CENT, 70), model("other", 2 * CENT, 75, chosen=False)]
    assert scatter(beaten, "coding").sentence.startswith("For each of these there is a model")


def test_without_a_score_there_is_nothing_to_draw() -> None:
    assert scatter([], "coding") == Scatter()
