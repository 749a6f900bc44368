"""How much may be spent by whom, what was spent, and what running processes hold of the rest. Money is in nano-dollars.

What a budget's window leaves is `limit - Σ spent - Σ leased` over the window's days. In which order
rows are locked says decision 0009.
"""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class Budget(SQLModel, table=True):
    """A limit on one key, user, tenant or end user for a window; at most one per scope. A user's is for that user's keys in that tenant.

    The row is the lock under which slices are granted.
    """

    __tablename__ = "budget"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "scope", "scope_id"),)
    id: str = Field(primary_key=True, max_length=40)
    tenant_id: str = Field(foreign_key="tenant.id", max_length=40)
    scope: str = Field(max_length=8, description="key, user, tenant, end_user")
    scope_id: str = Field(max_length=40)
    key_id: str | None = Field(default=None, max_length=40, index=True, description="whose end user it is")
    name: str | None = Field(default=None, max_length=255, description="the end user's")
    limit_nano: int = Field(sa_type=sa.BigInteger)
    window: str = Field(max_length=24, description="calendar_month, calendar_week, calendar_day, rolling_<N>d, lifetime")
    warn_at: list[float] = Field(default_factory=list, sa_type=Json, description="shares of the limit, such as 0.8")
    is_default: bool = Field(default=False, description="follows `budgets.default`, an end user's his key, until somebody sets it")
    raise_nano: int = Field(default=0, sa_type=sa.BigInteger, description="added to the limit until raise_until")
    raise_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    latest_day: date | None = Field(default=None, description="the last day that anything was granted for: days never go back")
    recall: int = Field(default=0, description="grows each time that holders are asked to give back what they do not need")
    alert_level: int = Field(default=0, description="how many thresholds were reported for the period that began on alert_from")
    alert_from: date | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class BudgetDay(SQLModel, table=True):
    """What was charged to a budget by calls that were admitted on a local day. It outlives its budget: history."""

    __tablename__ = "budget_day"
    budget_id: str = Field(primary_key=True, max_length=40)
    day: date = Field(primary_key=True)
    spent_nano: int = Field(default=0, sa_type=sa.BigInteger)


class BudgetHolder(SQLModel, table=True):
    """A process that may hold slices; its id is its journal's. It stops admitting before `expires_at` unless it renewed it."""

    __tablename__ = "budget_holder"
    id: str = Field(primary_key=True, max_length=40)
    started_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class BudgetLease(SQLModel, table=True):
    """A slice of a budget in the hands of one process: available, reserved, or spent by calls that are not in the ledger yet."""

    __tablename__ = "budget_lease"
    __table_args__ = (sa.UniqueConstraint("budget_id", "day", "holder_id"),)
    id: str = Field(primary_key=True, max_length=40, description="never used again: a late settlement cannot touch a later slice")
    budget_id: str = Field(max_length=40)
    day: date
    holder_id: str = Field(foreign_key="budget_holder.id", max_length=40, index=True)
    amount_nano: int = Field(default=0, sa_type=sa.BigInteger)
    answered: int = Field(default=0, description="the last recall that its holder answered")
