"""Responses that are kept: what was asked and what was answered, each row one turn of a conversation."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import UtcDateTime


class StoredResponse(SQLModel, table=True):
    """No row is read but with its tenant's id. The index holds all that sweeping looks at: it reads no bodies."""

    __tablename__ = "stored_response"
    __table_args__ = (sa.Index("ix_stored_response_tenant_id", "tenant_id", "created_at", "id", "size"),)
    id: str = Field(primary_key=True, max_length=40)
    tenant_id: str = Field(max_length=40)
    key_id: str = Field(max_length=40, description="which made the call")
    previous_id: str | None = Field(default=None, max_length=40, description="the response that it goes on from; it may be gone")
    created_at: datetime = Field(sa_type=UtcDateTime)
    kept_until: datetime = Field(sa_type=UtcDateTime, index=True)
    size: int = Field(description="bytes as JSON, before it is compressed and sealed")
    body: bytes = Field(sa_type=sa.LargeBinary, description="the response and its input; sealed where there is a secret")


class StoredBytes(SQLModel, table=True):
    """What a tenant's kept responses come to: changed in the transactions that write and delete them, so that nobody has to add them up."""

    __tablename__ = "stored_bytes"
    tenant_id: str = Field(primary_key=True, max_length=40)
    bytes: int = Field(sa_type=sa.BigInteger)
