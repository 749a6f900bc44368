"""Keys for providers that were stored here rather than named in the configuration."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from backend.kernel.db import UtcDateTime


class ProviderKey(SQLModel, table=True):
    """A name stands once for each provider and owner; the service sees to it, because NULL differs from NULL."""

    __tablename__ = "provider_key"
    id: str = Field(primary_key=True, max_length=40)
    tenant_id: str | None = Field(
        default=None, max_length=40, foreign_key="tenant.id", index=True, description="whose calls it serves alone; NULL = everybody's"
    )
    provider: str = Field(max_length=64)
    name: str = Field(max_length=63)
    origin: str = Field(max_length=2048, description="where it may be sent: https://api.example.com:443, or the protocol's own servers")
    sealed: bytes = Field(description="the key, encrypted; opens only as this row")
    master: str = Field(max_length=16, description="which master key opens it")
    hint: str = Field(max_length=4, description="its last four signs; empty for a short one")
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str = Field(max_length=40)
