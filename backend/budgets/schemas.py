"""What budget services hand out."""

from dataclasses import dataclass
from datetime import datetime

from backend.budgets.tables import Budget
from backend.budgets.thresholds import level_of


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget and how it stands. Amounts in nano-dollars; `leased` is what running processes hold of the rest."""

    id: str
    tenant_id: str
    scope: str
    scope_id: str
    window: str
    limit_nano: int
    warn_at: tuple[float, ...]
    is_default: bool
    raise_nano: int
    raise_until: datetime | None
    limit_in_force_nano: int
    spent_nano: int
    leased_nano: int
    starts_at: datetime | None
    resets_at: datetime | None
    name: str | None = None
    """An end user's."""

    @property
    def remaining_nano(self) -> int:
        """What calls may still be admitted for, by anybody."""
        return max(0, self.limit_in_force_nano - self.spent_nano)

    @property
    def warning(self) -> bool:
        """Whether any share of `warn_at`, or the limit itself, is reached."""
        return level_of(self.warn_at, self.spent_nano, self.limit_in_force_nano) > 0

    @property
    def exceeded(self) -> bool:
        return self.spent_nano >= self.limit_in_force_nano

    @classmethod
    def of(
        cls, row: Budget, *, limit: int, spent: int, leased: int, starts_at: datetime | None, resets_at: datetime | None
    ) -> "BudgetView":
        return cls(
            id=row.id,
            tenant_id=row.tenant_id,
            scope=row.scope,
            scope_id=row.scope_id,
            window=row.window,
            limit_nano=row.limit_nano,
            warn_at=tuple(row.warn_at),
            is_default=row.is_default,
            raise_nano=row.raise_nano,
            raise_until=row.raise_until,
            limit_in_force_nano=limit,
            spent_nano=spent,
            leased_nano=leased,
            starts_at=starts_at,
            resets_at=resets_at,
            name=row.name,
        )


@dataclass(frozen=True, slots=True)
class HolderView:
    """A process that may hold slices of budgets. After `expires_at` an operator may release what it holds."""

    id: str
    started_at: datetime
    expires_at: datetime
    expired: bool
    leases: int
    held_nano: int
