"""What budgets tell the rest of the process, after the transaction that made it true."""

from dataclasses import dataclass
from datetime import date, datetime

from backend.kernel.events import Event


@dataclass(frozen=True, slots=True)
class BudgetThresholdReached(Event):
    """A share of the limit was spent, or for 1.0 the limit, or a call was refused for it.

    Told once per threshold and period, by one of all processes. Amounts in nano-dollars.
    """

    budget_id: str
    tenant_id: str
    scope: str
    scope_id: str
    threshold: float
    spent_nano: int
    limit_nano: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The ledger has counted charges against one lease."""

    lease_id: str
    budget_id: str
    day: date
    covered: int
    charged: int


@dataclass(frozen=True, slots=True)
class ChargesSettled(Event):
    """Calls were written to the ledger and counted against their budgets, in the same transaction."""

    settled: tuple[Settled, ...]
