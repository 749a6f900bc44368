"""The order by price: what brute force finds, and what comes last."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.gateway.bounds import Bound
from backend.gateway.cheapest import ANSWER_TOKENS, cheapest_first
from backend.gateway.token_families import family_of
from backend.pricing.cost import PriceCard
from backend.route_settings import CandidateSettings, PriceOverride, RouteSettings
from backend.routing.route import Candidate, route_from_settings

FAMILY = family_of("gpt-4o", "acme")


def ordered(candidates: tuple[Candidate, ...], *, prompt: int = 400, cap: int = 100, choices: int = 1, **cards: PriceCard) -> list[str]:
    bounds = [Bound(candidate, FAMILY, None, prompt, cap, choices, False) for candidate in candidates]
    call: Any = SimpleNamespace(body={}, bounds=bounds, created_at=datetime(2026, 7, 15, tzinfo=UTC))
    cheapest_first(call, lambda candidate: candidate.card or cards.get(candidate.model))
    return [bound.candidate.model for bound in call.bounds]


def priced(*prices: tuple[int, int]) -> tuple[Candidate, ...]:
    candidates = tuple(
        CandidateSettings(provider="acme", model=str(place), price=PriceOverride(input=paid, output=made))  # type: ignore[arg-type]
        for place, (paid, made) in enumerate(prices)
    )
    return route_from_settings(RouteSettings(alias="r", candidates=candidates)).candidates


prices = st.tuples(st.integers(0, 50), st.integers(0, 200))


@settings(max_examples=40)
@given(st.lists(prices, min_size=1, max_size=6), st.integers(1, 30_000), st.integers(1, 2000), st.integers(1, 3))
def test_the_cheapest_is_the_one_that_brute_force_finds(offered: list[tuple[int, int]], length: int, cap: int, choices: int) -> None:
    tokens, answer = -(-length // 4), min(cap, ANSWER_TOKENS) * choices
    costs = [paid * tokens + made * answer for paid, made in offered]
    found = [int(model) for model in ordered(priced(*offered), prompt=length, cap=cap, choices=choices)]
    assert found == sorted(range(len(offered)), key=lambda place: costs[place])


def test_no_price_and_no_weight_come_last_and_a_confirmed_nothing_first() -> None:
    unknown, free = Candidate("acme", "unknown", "acme/unknown"), Candidate("acme", "free", "acme/free")
    idle = Candidate("acme", "idle", "acme/idle", weight=0)
    cards = {"free": PriceCard("acme/free", "free"), "idle": PriceCard("acme/idle", "free")}
    assert ordered((idle, unknown, *priced((1, 1)), free), **cards) == ["free", "0", "unknown", "idle"]
