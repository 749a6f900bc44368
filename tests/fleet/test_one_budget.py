"""One budget, more calls than it holds, all at once: through the gateway, in all the ways in which it is run."""

import pytest

from tests.budgets.witness import Truth, Witness
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import FOUR_WORKERS, ONE, TEN, THREE, THREE_WITH_REDIS, USD, budget_of, fleets, settled
from tests.rig.fleet import Fleet, Operator

EVERY_WAY = (ONE, FOUR_WORKERS, THREE, THREE_WITH_REDIS)


async def spend_a_dollar(fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream) -> None:
    """500 calls of a cent each for one dollar."""
    key = await operator.key(budget=USD)
    await fleet.knows(key)
    asked = len(upstream.requests)
    assert await fleet.storm(key, TEN, 500) == {200: 100, 403: 400}
    assert len(upstream.requests) - asked == 100
    assert await settled(witness, budget_of(witness, key.id)) == Truth(spent=USD, leased=0, ledger=USD, calls=100)
    assert witness.run("SELECT count(*) FROM call WHERE key_id = :key AND outcome = 'refused'", key=key.id)[0][0] <= 400


@pytest.mark.case("B1")
@fleets(*EVERY_WAY)
async def test_exactly_100_of_500_are_admitted(fleet: Fleet, operator: Operator, witness: Witness, upstream: OpenAIUpstream) -> None:
    await spend_a_dollar(fleet, operator, witness, upstream)
