"""Limits that an operator set for a person or a whole tenant. A key's own are in `api_key.rate_limit`, the defaults in the settings."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class RateLimitOverride(SQLModel, table=True):
    """At most one per scope. A person may belong to several tenants, so his limits are those of one tenant."""

    __tablename__ = "rate_limit_override"
    tenant_id: str = Field(primary_key=True, foreign_key="tenant.id", max_length=40)
    scope: str = Field(primary_key=True, max_length=8, description="user, tenant")
    scope_id: str = Field(primary_key=True, max_length=40)
    limits: dict[str, Any] = Field(sa_type=Json, description="only the fields that were set; see Limits")
    updated_at: datetime = Field(sa_type=UtcDateTime)
    updated_by: str = Field(max_length=40)
