"""Who changed what, written in the same transaction as the change."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class AuditEntry(SQLModel, table=True):
    __tablename__ = "audit_entry"
    id: str = Field(primary_key=True, max_length=40)
    at: datetime = Field(sa_type=UtcDateTime, index=True)
    tenant_id: str | None = Field(default=None, max_length=40, index=True)
    actor: str = Field(max_length=64, description="user, key or system: such as `usr_…`, `key_…`, `system:bootstrap`")
    action: str = Field(max_length=64, description="object.verb: `api_key.create`, `session.sign_in`")
    target: str = Field(max_length=255)
    request_id: str | None = Field(default=None, max_length=128)
    address: str | None = Field(default=None, max_length=64)
    facts: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="what changed; never a secret")
