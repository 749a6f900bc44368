"""What a reconciliation finds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Difference:
    """Two places that must say the same and do not. Amounts are nano-dollars where `measure` ends in `_nano`, else counts.

    `ledger` is what the ledger's rows add up to, `counted` what the budget's counter, the rollup or the attempts say.
    """

    kind: Literal["budget", "rollup", "attempts"]
    tenant_id: str | None
    place: str
    measure: str
    ledger: int
    counted: int
    reason: str

    @property
    def difference(self) -> int:
        return self.counted - self.ledger


@dataclass(frozen=True, slots=True)
class HeldByProcess:
    """Leases of a process: money that budgets keep for it and that is not spent, or not in the ledger yet."""

    process: str
    alive: bool
    leases: int
    held_nano: int


@dataclass(frozen=True, slots=True)
class WaitingJournal:
    """What a journal in this `data_dir` has and the ledger had not yet. A dead process's is replayed by the next one here."""

    process: str
    alive: bool
    ended: int
    charged_nano: int
    running: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """As of one moment of the database. `found` counts all differences; the first `MOST_SHOWN` are in `differences`."""

    at: datetime
    tenants: int
    calls: int
    charged_nano: int
    provider_cost_nano: int
    found: int
    differences: tuple[Difference, ...]
    leases: tuple[HeldByProcess, ...]
    journals: tuple[WaitingJournal, ...]
    refused_rows: int
    repaired: int = 0

    @property
    def agrees(self) -> bool:
        return not self.found
