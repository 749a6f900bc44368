"""A call that waits at the desk for its reservation, and how long it does."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from backend.budgets.accounts import Payer
from backend.budgets.slices import Reservation
from backend.kernel.errors import BourseError, StorageUnavailable

SILENCE_SECONDS = 1.3
"""While the database says nothing for so long, calls that wait for it get 503,"""
PEERS_SECONDS = 8.0
"""and so does one that is still open then: others are ahead of it, or have not said what they can give back."""
TICK_SECONDS = 0.1


@dataclass(slots=True, eq=False)
class Ask:
    """A call that waits. `recalls`: which recall must be answered by everybody else before it is refused, by budget.

    `rounds` left it open; `waited` and `silence` are ticks since it came, and since the database last said anything.
    """

    payer: Payer
    amount: int
    at_least: int
    future: asyncio.Future[Reservation]
    due: float = 0.0
    rounds: int = 0
    waited: int = 0
    silence: int = 0
    recalls: dict[str, int] = field(default_factory=dict)

    def fail(self, error: BourseError) -> None:
        """The call gets no reservation, unless it has its answer already."""
        if not self.future.done():
            with contextlib.suppress(asyncio.InvalidStateError):
                self.future.set_exception(error)

    def keep_time(self, listen: Callable[[], None]) -> None:
        """Give up when nothing is heard for too long. Counts others' silence, not ours: where this process itself is held up, a tick takes
        longer and so does the patience.

        Args:
            listen: called when it is quiet, to find out whether the database is silent or others are only ahead of us at a budget's row.
        """
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick, listen)

    def _tick(self, listen: Callable[[], None]) -> None:
        if self.future.done():
            return
        self.waited += 1
        self.silence += 1
        if self.silence * TICK_SECONDS >= SILENCE_SECONDS:
            self.fail(StorageUnavailable("The database did not say in time how the budget stands; nothing was charged.", retry_after=1))
            return
        if self.waited * TICK_SECONDS >= PEERS_SECONDS:
            self.fail(StorageUnavailable("The budget was not decided in time; nothing was charged.", retry_after=1))
            return
        if self.silence * TICK_SECONDS >= SILENCE_SECONDS / 4:
            listen()
        self.keep_time(listen)
