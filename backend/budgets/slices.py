"""One process's books of what it holds of a budget. Pure: no I/O, no clock; all amounts are integer nano-dollars.

A slice is money that the database has set aside for this process. It is always in exactly one of three states:

    available   may be reserved by the next call
    reserved    belongs to a call that runs
    unsettled   was charged by a call that has ended, and the ledger has not counted it yet

Their sum is what the database's lease holds. Reserving, settling and releasing move money between them; only a grant adds to the sum,
only giving back and the ledger's transaction take from it. `available` is never negative, so nothing is admitted that was not leased.
"""

from collections.abc import Sequence

Held = tuple[str, str, int, int]
"""Lease id, budget id, the local day as its ordinal, and nano-dollars: what the journal keeps of a reservation."""


class Slice:
    """What this process holds of one budget for one local day. `ends` is when that day does, or an earlier end that its grant was given,
    on the monotonic clock."""

    __slots__ = ("available", "budget_id", "current", "day", "ends", "lease_id", "low", "reserved", "unsettled")

    def __init__(self, lease_id: str, budget_id: str, day: int, ends: float) -> None:
        self.lease_id = lease_id
        self.budget_id = budget_id
        self.day = day
        self.ends = ends
        self.available = 0
        self.reserved = 0
        self.unsettled = 0
        self.current = True
        """New calls may be admitted from it."""
        self.low = -1
        """More is asked for in the background when less than this is available; -1 near the limit, where each call asks for itself."""

    @property
    def held(self) -> int:
        """All that the database has set aside for this slice, as far as this process knows."""
        return self.available + self.reserved + self.unsettled

    def grant(self, amount: int) -> None:
        """The database has set more aside."""
        self.available += amount

    def give_back(self) -> int:
        """Take out everything available, in order to tell the database so."""
        amount, self.available = self.available, 0
        return amount

    def written(self, covered: int) -> None:
        """The ledger has counted so much of what was charged, and taken it from the lease."""
        self.unsettled -= covered


class NoSlice(Slice):
    """In the place of a slice that was not asked for yet: nothing, not even zero, can be reserved in it."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("", "", 0, float("-inf"))
        self.available = -1


class Reservation:
    """So much of every budget of a call is kept for it until it is settled or released; then it is over, and again changes nothing.

    Use as a context manager to be sure: what was not settled on leaving is released.
    """

    __slots__ = ("_open", "_slices", "amount", "overrun")

    def __init__(self, slices: Sequence[Slice], amount: int) -> None:
        """Takes `amount` out of each slice; the caller has made sure that it is available in all of them."""
        for part in slices:
            part.available -= amount
            part.reserved += amount
        self._slices = slices
        self._open = True
        self.amount = amount
        self.overrun = 0
        """By how much the charge went beyond the reservation, once settled."""

    @property
    def held(self) -> tuple[Held, ...]:
        """For the journal's open line: in which slices how much is reserved."""
        return tuple([(part.lease_id, part.budget_id, part.day, self.amount) for part in self._slices])

    def settle(self, charged: int) -> tuple[Held, ...]:
        """The call came to `charged`. What it did not use is available again at once; the answer goes into the journal's final line.

        A charge beyond the reservation is first taken from what else is available in the slice; the answer names what was covered.
        """
        if not self._open:
            return ()
        self._open = False
        amount = self.amount
        self.overrun = max(0, charged - amount)
        covered = []
        for part in self._slices:
            taken = charged if charged <= amount else min(charged, amount + part.available)
            part.reserved -= amount
            part.unsettled += taken
            part.available += amount - taken
            covered.append((part.lease_id, part.budget_id, part.day, taken))
        return tuple(covered)

    def shrink(self, amount: int) -> None:
        """The call may cost at most `amount`, less than was reserved: the rest is available again at once.

        Only before `held` goes into the journal: a replay takes as much from the lease as is written there.
        """
        if self._open and amount < self.amount:
            for part in self._slices:
                part.reserved -= self.amount - amount
                part.available += self.amount - amount
            self.amount = amount

    def release(self) -> None:
        """The call costs nothing."""
        if self._open:
            self._open = False
            for part in self._slices:
                part.reserved -= self.amount
                part.available += self.amount

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
