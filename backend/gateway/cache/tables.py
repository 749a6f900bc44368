"""What operators said about kept answers; the answers themselves are in memory and in Redis."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from backend.kernel.db import UtcDateTime


class CacheGeneration(SQLModel, table=True):
    """How often the answers of a tenant were cleared, or those of all tenants. It is part of every key."""

    __tablename__ = "cache_generation"
    tenant_id: str = Field(primary_key=True, max_length=40, description="* is all tenants")
    number: int
    cleared_at: datetime = Field(sa_type=UtcDateTime)
    cleared_by: str = Field(max_length=40)
