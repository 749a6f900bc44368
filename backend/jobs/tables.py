"""What jobs remember: who runs one now, the newest text of each source, and what every ingestion did."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class Job(SQLModel, table=True):
    """One job of all processes together. `holder` runs it until `until`, by the database's clock; whoever comes later takes it over."""

    __tablename__ = "job"
    name: str = Field(primary_key=True, max_length=64)
    holder: str | None = Field(default=None, max_length=64)
    until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str | None = Field(default=None, description="why its last run failed")


class SourceCopy(SQLModel, table=True):
    """The last good text of a source that was fetched or uploaded, so that every process and every start reads the same."""

    __tablename__ = "source_copy"
    name: str = Field(primary_key=True, max_length=64)
    format: str = Field(max_length=24)
    url: str | None = None
    body: bytes | None = Field(default=None, sa_type=sa.LargeBinary, description="gzip; null until the first good text")
    body_hash: str | None = Field(default=None, max_length=64)
    entries: int = 0
    etag: str | None = None
    last_modified: str | None = Field(default=None, max_length=64)
    fetched_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="when this text arrived")
    checked_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="when it was last known to be the newest")
    tried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failures: int = Field(default=0, description="fetches that failed in a row")
    error: str | None = None


class IngestionReport(SQLModel, table=True):
    """One ingestion: what it was asked for, what each source brought, and how the store differs since."""

    __tablename__ = "ingestion_report"
    id: str = Field(primary_key=True, max_length=40)
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime = Field(sa_type=UtcDateTime)
    trigger: str = Field(max_length=16, description="schedule, person, upload, command, day")
    actor: str = Field(max_length=64)
    outcome: str = Field(max_length=16, description="changed, unchanged, partly, failed")
    sources: list[dict[str, Any]] = Field(default_factory=list, sa_type=Json)
    difference: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    error: str | None = None
    telling: str = Field(default="none", max_length=16, index=True, description="of the webhook: none, waiting, told, given_up")
    attempts: int = 0
    tell_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="not before")
