"""In which order a route's candidates are asked.

`cheapest` is not among these: it needs to know how long the call is, so the gateway orders by price once it does. Whatever the strategy,
who is healthy goes before who is not, which is decided when the call is attempted, and a candidate of weight 0 comes last.
"""

import random
from collections.abc import Callable
from typing import Protocol

from backend.routing.route import Breaker, Candidate

TRIED_ANEW = 0.05
"""Under `fastest`, this part of the calls goes by weight, or nobody would ever learn that another candidate became faster."""
FAIR_TRIES = 3
"""So often a candidate that was never measured is asked first. If it is then still not measured, it does not answer such calls."""
_MOST_TRIED = 10_000

Candidates = tuple[Candidate, ...]


class Condition(Protocol):
    """What is known of a candidate from the calls that it answered."""

    @property
    def in_flight(self) -> int: ...
    @property
    def latency_ms(self) -> float | None:
        """Smoothed; None before the first answer."""
        ...

    def is_open(self, breaker: Breaker) -> bool:
        """Whether a route with this breaker keeps calls away from it."""
        ...


class Conditions(Protocol):
    def of(self, candidate: Candidate, /) -> Condition | None:
        """None for one that was never asked."""
        ...


class NothingKnown:
    """The conditions of candidates of which nobody keeps any."""

    def of(self, _candidate: Candidate, /) -> Condition | None:
        return None


class Strategies:
    def __init__(self, conditions: Conditions, rng: random.Random) -> None:
        self._conditions = conditions
        self._random = rng.random
        self._tried: dict[str, int] = {}
        self._orders: dict[str, Callable[[Candidates], Candidates]] = {
            "weighted": self._weighted,
            "fastest": self._fastest,
            "least_busy": self._least_busy,
        }

    def order(self, strategy: str, candidates: Candidates) -> Candidates:
        """The candidates in the order in which this call tries them."""
        order = self._orders.get(strategy)
        return candidates if order is None or len(candidates) == 1 else order(candidates)

    def _weighted(self, candidates: Candidates) -> Candidates:
        """A random order in which each next one is drawn by weight (Efraimidis and Spirakis 2006); weight 0 comes last, in file order."""
        drawn = sorted((c for c in candidates if c.weight), key=lambda c: self._random() ** (1 / c.weight), reverse=True)
        return (*drawn, *(c for c in candidates if not c.weight))

    def _fastest(self, candidates: Candidates) -> Candidates:
        """By latency. Who was never measured is asked before all others, one call at a time: it may be the fastest or not answer at all."""
        if self._random() < TRIED_ANEW:
            return self._weighted(candidates)
        tried = self._tried

        def rank(candidate: Candidate) -> tuple[bool, int, float]:
            condition = self._conditions.of(candidate)
            latency = None if condition is None else condition.latency_ms
            if latency is not None:
                return not candidate.weight, 1, latency
            busy = condition is not None and condition.in_flight > 0
            had_its_tries = tried.get(candidate.offer_id, 0) >= FAIR_TRIES
            return not candidate.weight, 2 if busy or had_its_tries else 0, self._random()

        ranked = sorted((rank(candidate), place) for place, candidate in enumerate(candidates))
        (_, group, _), place = ranked[0]
        if group == 0:
            if len(tried) >= _MOST_TRIED:
                tried.clear()
            offer_id = candidates[place].offer_id
            tried[offer_id] = tried.get(offer_id, 0) + 1
        return tuple([candidates[place] for _, place in ranked])

    def _least_busy(self, candidates: Candidates) -> Candidates:
        """By calls in flight for each unit of weight; among equals, drawn by weight."""

        def rank(candidate: Candidate) -> tuple[bool, float, float]:
            weight, condition = candidate.weight, self._conditions.of(candidate)
            if not weight:
                return True, 0.0, 0.0
            busy = 0 if condition is None else condition.in_flight
            return False, busy / weight, -(self._random() ** (1 / weight))

        return tuple(sorted(candidates, key=rank))
