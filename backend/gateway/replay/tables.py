"""Calls that came with an `Idempotency-Key`: who makes them, and what was answered. No row can be read without the caller's keys."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import UtcDateTime


class Replay(SQLModel, table=True):
    """A row without an answer is a claim. `held_until` ends the claim's lease, later the time for which the answer is kept."""

    __tablename__ = "replay"
    id: str = Field(primary_key=True, max_length=64, description="a digest of the idempotency key under the API key's secret")
    tenant_id: str = Field(max_length=40)
    key_id: str = Field(max_length=40)
    fingerprint: str = Field(max_length=64, description="of the request, under the API key's secret")
    holder: str = Field(max_length=40, description="of this claim; a later one has another, and only the last can store")
    held_until: datetime = Field(sa_type=UtcDateTime, index=True)
    answer: bytes | None = Field(default=None, sa_type=sa.LargeBinary, description="sealed; NULL while the call runs")
