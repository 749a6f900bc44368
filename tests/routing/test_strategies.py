"""Who is asked first: by weight, by what was measured, by who is busy."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.routing.route import Breaker, Candidate
from backend.routing.strategies import FAIR_TRIES, TRIED_ANEW, NothingKnown, Strategies


@dataclass
class Known:
    latency_ms: float | None = None
    in_flight: int = 0
    opened: bool = False

    def is_open(self, _: Breaker) -> bool:
        return self.opened


@dataclass
class Measured:
    """What the gateway has learnt of candidates, by model."""

    known: dict[str, Known] = field(default_factory=dict)

    def of(self, candidate: Candidate, /) -> Known | None:
        return self.known.get(candidate.model)


def candidates(**weights: int) -> tuple[Candidate, ...]:
    return tuple(Candidate("acme", model, f"acme/{model}", weight) for model, weight in weights.items())


def firsts(strategy: str, given: tuple[Candidate, ...], known: dict[str, Known], calls: int = 2000) -> Counter[str]:
    made = Strategies(Measured(known), random.Random(7))
    return Counter(made.order(strategy, given)[0].model for _ in range(calls))


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), min_size=2))
def test_weights_decide_how_often_a_candidate_is_first_and_zero_means_last_resort(weights: dict[str, int]) -> None:
    given, total = candidates(**weights), sum(weights.values())
    made = Strategies(NothingKnown(), random.Random(1))
    orders = [made.order("weighted", given) for _ in range(600)]
    assert all(set(order) == set(given) for order in orders)
    seen = Counter(order[0].model for order in orders)
    for model, weight in weights.items():
        expected = weight / total if total else float(model == given[0].model)
        # Five standard deviations of a binomial with 600 tries are at most 0.102.
        assert abs(seen[model] / 600 - expected) <= 0.103
    zeros = [one for one in given if not one.weight]
    assert all(list(order[len(given) - len(zeros) :]) == zeros for order in orders)


@given(st.sampled_from(["weighted", "fastest", "least_busy", "ordered", "cheapest", "smart"]), st.integers(1, 5), st.integers())
def test_every_candidate_is_asked_once_whatever_the_strategy(strategy: str, count: int, seed: int) -> None:
    given = candidates(**{f"m{number}": number % 3 for number in range(count)})
    known = {f"m{number}": Known(100.0 * number or None, number) for number in range(0, count, 2)}
    order = Strategies(Measured(known), random.Random(seed)).order(strategy, given)
    assert sorted(one.model for one in order) == sorted(one.model for one in given)
    if strategy in ("ordered", "cheapest", "smart"):
        assert order == given


def test_the_fastest_is_first_but_others_are_tried_anew_now_and_then() -> None:
    seen = firsts("fastest", candidates(slow=1, quick=1, last=0), {"slow": Known(900), "quick": Known(200), "last": Known(1)})
    assert seen["last"] == 0
    assert 0.3 * TRIED_ANEW < seen["slow"] / 2000 < 0.8 * TRIED_ANEW


def test_who_was_never_measured_is_tried_before_the_others_but_by_one_call_at_a_time_and_not_for_ever() -> None:
    given = candidates(known=1, new=1)
    assert firsts("fastest", given, {"known": Known(100), "new": Known(None, in_flight=1)})["new"] < 100
    made = Strategies(Measured({"known": Known(100)}), random.Random(7))
    seen = [made.order("fastest", given)[0].model for _ in range(2000)]
    assert seen[:FAIR_TRIES] == ["new"] * FAIR_TRIES
    # It never answered: from then on it has its share of the calls that go by weight.
    assert seen.count("new") < FAIR_TRIES + 2000 * TRIED_ANEW


@pytest.mark.parametrize(("busy", "expected"), [({"big": 3, "small": 1}, "big"), ({"big": 5, "small": 1}, "small"), ({"small": 1}, "big")])
def test_the_least_busy_is_told_by_calls_in_flight_for_each_unit_of_weight(busy: dict[str, int], expected: str) -> None:
    known = {model: Known(in_flight=count) for model, count in busy.items()}
    assert firsts("least_busy", candidates(small=1, big=4, never=0), known) == {expected: 2000}


def test_equally_busy_candidates_are_drawn_by_weight() -> None:
    seen = firsts("least_busy", candidates(three=3, one=1), {})
    assert 0.70 < seen["three"] / 2000 < 0.80
