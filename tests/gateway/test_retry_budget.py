"""What further attempts are paid from, and which are."""

from collections.abc import AsyncIterator

import pytest

from backend.gateway.retry_budget import RetryBudget
from backend.kernel.errors import (
    UpstreamError,
    UpstreamRateLimited,
)
from backend.routing.route import Breaker, Retries
from tests.fakes.openai_upstream import answer, status
from tests.gateway.asking import Stage, stage


@pytest.fixture
async def two() -> AsyncIterator[Stage]:
    async with stage("ab") as found:
        yield found


async def test_without_a_budget_nobody_is_asked_again_but_who_is_well_is_asked_instead(two: Stage) -> None:
    withheld: list[str] = []
    two.upstreams.retries = RetryBudget(0, 0, withheld=lambda: withheld.append("once"))
    two.a.script(status(500))
    outcome = await two.ask(two.route())
    assert (outcome.asked, outcome.error) == ("ab", None)
    two.b.script(status(500))
    assert (await two.ask(two.route())).asked == "ab", "b was well until now"
    outcome = await two.ask(two.route())
    assert (outcome.asked, type(outcome.error)) == ("a", UpstreamError)
    assert withheld


def test_the_budget_is_a_fifth_of_the_calls_and_three_a_second_at_least() -> None:
    at = 0.0
    budget = RetryBudget(now=lambda: at)

    def taken() -> int:
        count = 0
        while budget.take():
            count += 1
        return count

    assert taken() == 30
    for _ in range(3):
        at += 11
        assert taken() == 30
        budget.calls += 1100
        at += 11
        assert taken() == 200
    at += 3600
    assert taken() == 30, "what was not used for an hour is lost"


@pytest.mark.case("U5")
@pytest.mark.parametrize("per_second", [15, 50, 400])
def test_a_storm_never_gets_more_than_a_fifth_whatever_the_rhythm(per_second: int) -> None:
    at = 0.0
    budget = RetryBudget(now=lambda: at)
    granted = 0
    for number in range(60 * per_second):
        budget.calls += 1
        at += 1 / per_second
        granted += sum(budget.take() for _ in range(number % 7))
    assert 0.18 * 60 * per_second <= granted <= 0.2 * 60 * per_second


async def test_only_further_attempts_are_paid_for_and_only_if_they_are_made(two: Stage) -> None:
    two.a.script(status(429, None, "retry-after: 3600"))
    two.b.script(status(429, None, "retry-after: 0.001"), answer())
    withheld: list[str] = []
    two.upstreams.retries = RetryBudget(0, 0, withheld=lambda: withheld.append("once"))
    assert [(await two.ask(two.route("a"))).asked for _ in range(20)] == ["a"] + [""] * 19
    hurried = two.route("b", retries=Retries(per_candidate=0))
    assert type((await two.ask(hurried)).error) is UpstreamRateLimited
    assert (await two.ask(hurried)).asked == "b", "its first attempt, after a pause"
    assert withheld == []
    two.a.script(status(500), answer())
    two.upstreams.retries = budget = RetryBudget(0, 0.1)
    later = Breaker(failures=1, open=300, probe_interval=10)
    two.b.script(status(500))
    assert [(await two.ask(two.route("b", breaker=later))).asked for _ in range(20)] == ["b"] + [""] * 19
    assert budget.take()
    assert not budget.take()
