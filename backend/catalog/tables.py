"""What is sold: providers, models, offers and the other names of both.

A *model* is the thing itself; its id is a slug without slashes. An *offer* is that model sold by one provider; its id is
`provider/upstream-id` with as many slashes as the upstream id likes. Lists are JSON arrays of the words in `backend.catalog.taxonomy`.
"""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class Provider(SQLModel, table=True):
    __tablename__ = "provider"
    id: str = Field(primary_key=True, max_length=64)
    name: str = Field(max_length=255)
    url: str | None = None
    docs_url: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)


class Model(SQLModel, table=True):
    """`facts` maps a column's name to the source that it was taken from.

    Where that is `operator`, a person set the column, and `stated` holds what the sources say instead, as `[value, source]`, so that
    he can take it back. `hidden`: an operator took the model out of the store; its rows stay for the ledger's sake.
    """

    __tablename__ = "model"
    id: str = Field(primary_key=True, max_length=200)
    name: str = Field(max_length=255)
    creator: str | None = Field(default=None, max_length=64, index=True, description="who made it, as a provider-like slug: openai, meta")
    family: str | None = Field(default=None, max_length=120, index=True)
    description: str | None = None
    mode: str = Field(default="chat", max_length=32, index=True)
    capabilities: list[str] = Field(default_factory=list, sa_type=Json)
    capabilities_denied: list[str] = Field(default_factory=list, sa_type=Json, description="what sources say that it cannot do")
    modalities_in: list[str] = Field(default_factory=list, sa_type=Json)
    modalities_out: list[str] = Field(default_factory=list, sa_type=Json)
    supported_formats: list[str] = Field(default_factory=list, sa_type=Json, description="media types")
    languages: list[str] = Field(default_factory=list, sa_type=Json, description="BCP 47 tags; empty = not stated by any source")
    context_tokens: int | None = Field(default=None, sa_type=sa.BigInteger)
    max_output_tokens: int | None = Field(default=None, sa_type=sa.BigInteger)
    release_date: date | None = None
    knowledge_cutoff: str | None = Field(default=None, max_length=10)
    deprecation_date: date | None = None
    status: str = Field(default="active", max_length=16, index=True, description="active, preview, deprecated, retired")
    open_weights: bool | None = None
    licence: str | None = Field(default=None, max_length=120)
    facts: dict[str, str] = Field(default_factory=dict, sa_type=Json)
    stated: dict[str, list[Any]] = Field(default_factory=dict, sa_type=Json, sa_column_kwargs={"server_default": "{}"})
    hidden: bool = Field(default=False, sa_column_kwargs={"server_default": sa.text("false")})
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime, index=True)


class Offer(SQLModel, table=True):
    """`input_nano` and `output_nano` repeat the price in force (nano-dollars per 1M tokens) for lists; `price` is the authority."""

    __tablename__ = "offer"
    id: str = Field(primary_key=True, max_length=255)
    model_id: str = Field(foreign_key="model.id", index=True)
    provider_id: str = Field(foreign_key="provider.id", index=True)
    upstream_id: str = Field(max_length=255)
    mode: str = Field(default="chat", max_length=32)
    region: str | None = Field(default=None, max_length=64)
    context_tokens: int | None = Field(default=None, sa_type=sa.BigInteger)
    max_output_tokens: int | None = Field(default=None, sa_type=sa.BigInteger)
    capabilities: list[str] = Field(default_factory=list, sa_type=Json)
    modalities_in: list[str] = Field(default_factory=list, sa_type=Json)
    modalities_out: list[str] = Field(default_factory=list, sa_type=Json)
    deprecation_date: date | None = None
    status: str = Field(default="active", max_length=16)
    price_state: str = Field(default="unpriced", max_length=16, index=True, description="priced, free (confirmed), unpriced, quarantined")
    input_nano: int | None = Field(default=None, sa_type=sa.BigInteger)
    output_nano: int | None = Field(default=None, sa_type=sa.BigInteger)
    price_agreement: int = Field(default=0, description="how many sources agree on the price in force")
    price_sources: int = Field(default=0, description="how many sources name a price")
    extra: dict[str, Any] = Field(default_factory=dict, sa_type=Json, description="what the source says and we have no column for")
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime, index=True)


class Alias(SQLModel, table=True):
    """Another name for a model or an offer, in its canonical form (`backend.catalog.names.canonical`)."""

    __tablename__ = "alias"
    name: str = Field(primary_key=True, max_length=255)
    kind: str = Field(max_length=8, description="model or offer")
    target: str = Field(max_length=255, index=True)
    source: str = Field(max_length=64)


class IngestionRun(SQLModel, table=True):
    """One reading of one source; the same `content_hash` twice means there was nothing to do."""

    __tablename__ = "ingestion_run"
    id: str = Field(primary_key=True, max_length=40)
    source: str = Field(max_length=64, index=True)
    content_hash: str = Field(max_length=64)
    data_date: date | None = Field(default=None, description="the day that the data describes, where the source says so")
    started_at: datetime = Field(sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    read: int = 0
    kept: int = 0
    merged: int = 0
    quarantined: int = 0
    error: str | None = None
