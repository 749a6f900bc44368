"""What the ledger's transaction does for budgets: count a call's charge where it was reserved, in the transaction that inserts its row.

A row is inserted once however often a journal is replayed, and only an inserted row is settled: so a charge counts once. The charge goes
to the budget's day in which the call was *reserved*, whenever it is settled.
"""

from collections.abc import Iterable
from datetime import date

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets import repository
from backend.budgets.events import Settled
from backend.budgets.slices import Held
from backend.kernel.statements import Statement

Charges = Iterable[tuple[Iterable[Held], int]]
"""What the journal says of each call's reservation, and its charge in nano-dollars."""


def sums_by_lease(calls: Charges) -> tuple[Settled, ...]:
    """An interrupted call's reservation covers its charge as far as it goes; a finished call's names what it covered."""
    sums: dict[str, list[int]] = {}
    where: dict[str, tuple[str, int]] = {}
    for reservations, charge in calls:
        for lease_id, budget_id, day, amount in reservations:
            found = sums.get(lease_id)
            if found is None:
                where[lease_id] = budget_id, day
                found = sums[lease_id] = [0, 0]
            found[0] += amount if amount < charge else charge
            found[1] += charge
    return tuple([Settled(lease_id, budget_id, date.fromordinal(day), *sums[lease_id]) for lease_id, (budget_id, day) in where.items()])


def settling(settled: Iterable[Settled], *, as_text: bool) -> tuple[Statement, Statement]:
    """What counts these sums of calls that the transaction inserts. They are told to the holder after the commit.

    Args:
        as_text: days as the driver of SQLite takes them.
    """
    spent: dict[tuple[str, date], int] = {}
    covered: dict[str, int] = {}
    for one in settled:
        if one.charged:
            spent[one.budget_id, one.day] = spent.get((one.budget_id, one.day), 0) + one.charged
        if one.covered:
            covered[one.lease_id] = -one.covered
    return repository.adding_to_spent(spent, as_text=as_text), repository.changing_leases(covered)


async def return_leases_of(session: AsyncSession, holder_id: str) -> int:
    """Everything that a process held and did not spend is free again. Only when its whole journal is in the ledger.

    Returns:
        The nano-dollars that were returned.
    """
    return await repository.delete_holder(session, holder_id)
