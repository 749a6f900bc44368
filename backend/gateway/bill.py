"""What attempts come to, in tokens and in money: what a provider bills for each, and what the caller is charged for the one answer.

A provider bills an attempt once it has accepted it, whether or not the answer came to anything; where it did not count, we estimate. The
caller is charged for one answer by the prices of whoever finished it, and never more than was reserved where it is our estimate.
"""

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from backend.gateway.chat_sound import SPOKEN_TOKENS, asks_for_sound
from backend.gateway.estimate import estimated_prompt
from backend.gateway.token_families import UNKNOWN
from backend.metering.record import AttemptRecord
from backend.pricing.cost import Cost, cost_of_call
from backend.pricing.usage import Usage

if TYPE_CHECKING:
    from backend.gateway.bounds import Bound
    from backend.gateway.call import Call


_TOKEN_BUCKETS = (
    "input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "output", "reasoning", "audio_output", "image_output",
    "image_input",
)  # fmt: skip
_token_counts = itemgetter(*map(Usage._fields.index, _TOKEN_BUCKETS))


@dataclass(slots=True)
class Bill:
    """One attempt that did not bring the answer and is billed all the same.

    Args:
        model: what the provider calls the model that answered.
        usage: the provider's own count, None if there is none.
        tokens: of output that we counted ourselves, at least.
        prefilled: tokens of the answer's beginning at the end of its prompt.
        continues: its output comes after that beginning.
    """

    attempt: AttemptRecord
    bound: "Bound"
    model: str | None
    usage: Usage | None
    tokens: int
    tier: str | None
    prefilled: int
    continues: bool


class Reckoning(NamedTuple):
    """`used` and `cost` are the attempt's, `charged` and `price` the caller's; None where no price was known."""

    used: Usage
    cost: Cost | None
    charged: Usage
    price: Cost | None
    source: str
    """Of the caller's count: provider, estimated, none."""


def reckon(call: "Call", usage: Usage | None, tokens: int) -> Reckoning:
    """As things stand: the attempt that runs or ran last, and the answer so far.

    Args:
        usage: the provider's own count of that attempt.
        tokens: of its output that we counted ourselves, at least.
    """
    bound = call.bound
    used = _counted(call, bound, usage, tokens, call.prefilled)
    cost = _cost(call, bound, used, call.service_tier, is_estimate=usage is None)
    if call.delivered is not None:
        return Reckoning(used, cost, *_charge_of(call, call.delivered))
    if not call.prefilled:
        return Reckoning(used, cost, used, cost, "provider" if used is usage else "estimated")
    charged = _one_answer(used, call.prefilled, continues=call.continues)
    return Reckoning(used, cost, charged, _cost(call, bound, charged, call.service_tier, is_estimate=True), "estimated")


def reckon_delivered(call: "Call") -> Reckoning:
    """As `reckon`, where nobody has accepted the call since the stream broke whose text the caller has."""
    assert call.delivered is not None
    return Reckoning(Usage(), None, *_charge_of(call, call.delivered))


def bill_lost(call: "Call", finished: Usage | None = None) -> None:
    """Write into the rows of lost attempts what each came to.

    Args:
        finished: what the provider of the attempt that runs or ran last has counted: the same prompt has so many tokens in the same
            family of models, which is nearer than any estimate.
    """
    bound, prompt = call.bound, None
    if finished is not None:
        heard = finished.audio_input
        prompt = Usage(input=max(0, finished.total_input - heard - call.prefilled), audio_input=heard)
    for bill in call.lost:
        same = bound is not None and bill.bound.family is bound.family
        used = _counted(call, bill.bound, bill.usage, bill.tokens, bill.prefilled, prompt=prompt if same else None)
        cost = _cost(call, bill.bound, used, bill.tier, is_estimate=False)
        bill.attempt.usage = usage_facts(used)
        if cost is not None:
            bill.attempt.provider_cost_nano = cost.nano
            bill.attempt.price_ids = tuple(dict.fromkeys(cost.price_ids))


def usage_facts(usage: Usage) -> dict[str, int]:
    """The buckets that are not empty, for an attempt's row."""
    return {name: count for name, count in zip(_TOKEN_BUCKETS, _token_counts(usage), strict=True) if count}


def _charge_of(call: "Call", bill: Bill) -> tuple[Usage, Cost | None, str]:
    used = _counted(call, bill.bound, bill.usage, bill.tokens, bill.prefilled)
    is_own = used is bill.usage and not bill.prefilled
    charged = _one_answer(used, bill.prefilled, continues=bill.continues) if bill.prefilled else used
    return charged, _cost(call, bill.bound, charged, bill.tier, is_estimate=not is_own), "provider" if is_own else "estimated"


def _one_answer(used: Usage, prefilled: int, *, continues: bool) -> Usage:
    """As if the attempt had given all of the answer: the beginning that it was sent is no prompt of the caller's.

    A prompt that is counted as no longer than its beginning was counted without it.
    """
    if prefilled >= used.total_input:
        return used._replace(output=used.output + prefilled) if continues else used
    beginning = min(prefilled, used.input)
    again = min(prefilled - beginning, used.cache_read)
    output = used.output + prefilled if continues else used.output
    return used._replace(input=used.input - beginning, cache_read=used.cache_read - again, output=output)


def _counted(
    call: "Call", bound: "Bound | None", usage: Usage | None, estimated_output: int, prefilled: int = 0, *, prompt: Usage | None = None
) -> Usage:
    """The provider's count, else our estimate; and our estimate of the output where it is more than the provider has counted so far.

    What we estimate never goes beyond what was reserved for the call: it is too coarse to charge anybody more by it.
    """
    if bound is not None:
        estimated_output = min(estimated_output, bound.answer)
    if usage is None:
        if prompt is None:
            if call.estimated_prompt is None:
                call.estimated_prompt = estimated_prompt(call.body)
            prompt = call.estimated_prompt.usage(bound.family if bound is not None else UNKNOWN)
        heard, read = prompt.audio_input, prompt.input
        if bound is not None:
            heard = min(heard, bound.prompt)
            read = min(read, bound.prompt - heard)
        said = 0
        if asks_for_sound(call.body):
            said = estimated_output * SPOKEN_TOKENS
            if bound is not None:
                said = min(said, bound.answer - estimated_output)
        return Usage(input=read + prefilled, audio_input=heard, output=estimated_output, audio_output=said)
    missing = estimated_output - usage.total_output
    return usage._replace(output=usage.output + missing) if missing > 0 else usage


def _cost(call: "Call", bound: "Bound | None", usage: Usage, tier: str | None, *, is_estimate: bool) -> Cost | None:
    """None where no price was known. What is nothing but our estimate costs no more than was reserved, whatever tier was served."""
    card = bound.card if bound is not None else None
    if card is None:
        return None
    cost = cost_of_call(usage, card, at=call.created_at, service_tier=tier)
    if is_estimate and call.reservation is not None and cost.nano > call.reservation.amount:
        return cost._replace(nano=call.reservation.amount)
    return cost
