"""Money for the call, before anybody is asked: the most that it can cost, in every budget that applies, or it is refused.

Enough for the dearest candidate is reserved where there is enough. Near the end of a budget those go that it does not cover any more, and
where only shortened answers are covered, the cap of a caller who named none is lowered.
"""

from typing import Protocol

from backend.budgets.keeper import BudgetKeeper
from backend.gateway.bounds import Bound
from backend.gateway.call import Call
from backend.kernel.errors import BudgetExceeded, PriceUnknown


class Pricing(Protocol):
    """The part of a `Bounder` that money asks for."""

    def price(self, call: Call) -> None: ...

    async def count(self, call: Call) -> bool: ...


class Reserver:
    def __init__(self, bounder: Pricing, keeper: BudgetKeeper) -> None:
        self._bounder = bounder
        self._keeper = keeper

    async def reserve(self, call: Call) -> None:
        """Set the call's reservation, and leave in its bounds the candidates that it covers. Free candidates need none.

        Raises:
            PriceUnknown: nobody knows what any of the candidates costs.
            BudgetExceeded: no candidate's cost is covered.
            StorageUnavailable: nobody could be asked how the budgets stand.
        """
        self._bounder.price(call)
        if not call.bounds:
            raise PriceUnknown(f"The price of {call.record.requested_model} is unknown, so its cost cannot be bounded.", param="model")
        most = max([bound.worst for bound in call.bounds])
        if most == 0:
            return
        call.reservation = self._keeper.try_reserve(call.payer, most)
        if call.reservation is None:
            await self._ask(call)

    async def _ask(self, call: Call) -> None:
        try:
            await self._reserve_what_there_is(call)
        except BudgetExceeded:
            if self._drop_all_that_cost(call):
                return
            # Counted exactly, the prompt may be a quarter of its bound; where not even the answers alone would fit, that is no help.
            headroom = self._keeper.headroom(call.payer)
            if headroom is not None and headroom.remaining_nano <= min(_without_prompt(bound) for bound in call.bounds):
                raise
            if not await self._bounder.count(call):
                raise
            await self._reserve_what_there_is(call)

    async def _reserve_what_there_is(self, call: Call) -> None:
        bounds = call.bounds
        most, least = max([bound.worst for bound in bounds]), min([bound.least for bound in bounds])
        reservation = await self._keeper.reserve(call.payer, most, at_least=least)
        granted = reservation.amount
        call.reservation = reservation
        if granted >= most:
            return
        covered = [bound for bound in bounds if bound.worst <= granted]
        if not covered:
            covered = [bound for bound in bounds if bound.least <= granted]
            for bound in covered:
                bound.fit(granted)
            call.lowered_cap = True
        call.bounds = covered
        reservation.shrink(max([bound.worst for bound in covered]))

    def _drop_all_that_cost(self, call: Call) -> bool:
        """Whether a candidate is left that costs nothing."""
        free = [bound for bound in call.bounds if bound.worst == 0]
        if free:
            call.bounds = free
        return bool(free)


def _without_prompt(bound: Bound) -> int:
    return 0 if bound.rates is None else bound.least - bound.rates.nano(bound.prompt, 0)
