"""How much may be spent by whom."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class Budget(SQLModel, table=True):
    """A limit on one key, user or tenant for a window; at most one per scope."""

    __tablename__ = "budget"
    __table_args__ = (sa.UniqueConstraint("scope", "scope_id"),)
    id: str = Field(primary_key=True, max_length=40)
    scope: str = Field(max_length=8, description="key, user, tenant")
    scope_id: str = Field(max_length=40)
    limit_nano: int = Field(sa_type=sa.BigInteger)
    window: str = Field(max_length=24, description="calendar_month, calendar_week, calendar_day, rolling_<N>d, lifetime")
    warn_at: list[float] = Field(default_factory=list, sa_type=Json, description="shares of the limit, such as 0.8")
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
