"""Who gets what of the money that is left: the one rule by which budgets admit and refuse. Pure.

Calls are served in the order in which they came, each completely in all of its budgets or not at all. One that does not fit does not
hold up a smaller one behind it. Beyond what the calls need, a process takes some in advance while there is plenty, and nothing near
the limit: there slices are exactly as large as the calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

ADVANCE_SHARE = 8
"""In advance a process takes at most 1/8 of what remains, divided by the number of processes."""
FEW_CALLS = 4
"""Nothing is taken in advance when that share would be worth fewer calls than this."""


@dataclass(slots=True)
class Pot:
    """One budget in one round: `remaining` of it in the database (negative after an overrun), `available` in this process."""

    remaining: int
    available: int = 0
    taken: int = 0
    largest: int = 0
    """The dearest call that was served."""

    @property
    def left(self) -> int:
        """What can still be given out now. Negative when more was charged than the limit allows."""
        return self.remaining + self.available - self.taken

    @property
    def needed(self) -> int:
        """What must be leased for the calls that were served."""
        return max(0, self.taken - self.available)

    def advance(self, appetite: int, holders: int) -> int:
        """What is leased beyond the need."""
        share = (self.remaining - self.needed) // (ADVANCE_SHARE * max(1, holders))
        return min(appetite, share) if share >= FEW_CALLS * self.largest else 0


class Verdict(Enum):
    ADMITTED = "admitted"
    REFUSED = "refused"
    """No budget's money that anybody could give back would be enough."""
    OPEN = "open"
    """Other processes hold what might be enough; they have to be asked."""


@dataclass(slots=True)
class Wish:
    """One call: wants `amount`, is content with `at_least`, in all of `budgets`."""

    budgets: Sequence[str]
    amount: int
    at_least: int
    coming: dict[str, int] = field(default_factory=dict)
    """Per budget, what other processes hold and were not asked for on behalf of this call, or have not answered yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Verdict
    amount: int = 0
    short: tuple[str, ...] = ()
    """The budgets that did not suffice; on a refusal those that never could."""


def share_out(wishes: Sequence[Wish], pots: dict[str, Pot]) -> list[Answer]:
    """Answers in the order of the wishes; `taken` of the pots says what was given out."""
    return [_serve(wish, pots) for wish in wishes]


def _serve(wish: Wish, pots: dict[str, Pot]) -> Answer:
    amount = min([wish.amount, *(max(0, pots[name].left) for name in wish.budgets)])
    if amount >= wish.at_least:
        for name in wish.budgets:
            pot = pots[name]
            pot.taken += amount
            pot.largest = max(pot.largest, wish.amount)
        return Answer(Verdict.ADMITTED, amount)
    short = tuple(name for name in wish.budgets if max(0, pots[name].left) < wish.at_least)
    never = tuple(name for name in short if max(0, pots[name].left) + wish.coming.get(name, 0) < wish.at_least)
    return Answer(Verdict.REFUSED, short=never) if never else Answer(Verdict.OPEN, short=short)
