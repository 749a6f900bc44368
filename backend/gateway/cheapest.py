"""Candidates in the order of what a call is likely to cost with each, at the prices in force."""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from backend.gateway.call import Call
from backend.gateway.chat_sound import asks_for_sound, has_sound
from backend.gateway.estimate import estimated_prompt
from backend.pricing.cost import PriceCard, cost_of_call
from backend.pricing.usage import Usage
from backend.routing.route import Candidate

if TYPE_CHECKING:
    from backend.gateway.bounds import Bound

ANSWER_TOKENS = 500
"""What an answer is taken to have, or its cap where that is less: nobody knows before. Most prompts and answers are of this order, and
only the relation of the prices counts."""
_BOUND_PER_TOKEN = 4
"""A prompt's bound is in bytes, of which a token has about four."""


def cheapest_first(call: Call, card_of: Callable[[Candidate], PriceCard | None]) -> None:
    """Order the call's bounds by price; among equals the order stays. What has no price, and what has no weight, comes last."""
    tier = call.body.get("service_tier")
    tier = tier if type(tier) is str else None
    heard = estimated_prompt(call.body) if has_sound(call.body) else None
    spoken = asks_for_sound(call.body)

    def rank(bound: "Bound") -> tuple[bool, float]:
        card = card_of(bound.candidate)
        if card is None:
            return not bound.candidate.weight, inf
        answer = min(bound.cap, ANSWER_TOKENS) * bound.choices
        usage = heard.usage(bound.family) if heard is not None else Usage(input=-(-bound.prompt // _BOUND_PER_TOKEN))
        usage = usage._replace(audio_output=answer) if spoken else usage._replace(output=answer)
        cost = cost_of_call(usage, card, at=call.created_at, service_tier=tier)
        return not bound.candidate.weight, inf if cost.state == "unpriced" else cost.nano

    call.bounds.sort(key=rank)
