"""The ledger: one row per call (what the caller is charged) and one per attempt (what a provider will bill)."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class Call(SQLModel, table=True):
    """Token columns are disjoint buckets: they add up to the whole. Money is in nano-dollars."""

    __tablename__ = "call"
    __table_args__ = (
        sa.Index("ix_call_tenant_id_created_at", "tenant_id", "created_at"),
        sa.Index("ix_call_key_id_created_at", "key_id", "created_at"),
    )
    id: str = Field(primary_key=True, max_length=40, description="unique event id of the call; written once however often replayed")
    request_id: str = Field(max_length=128, index=True)
    tenant_id: str = Field(max_length=40)
    user_id: str | None = Field(default=None, max_length=40)
    key_id: str = Field(max_length=40)
    end_user: str | None = Field(default=None, max_length=255, description="the body's `user`: a tag")
    endpoint: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    requested_model: str = Field(max_length=255)
    route: str | None = Field(default=None, max_length=255)
    task: str | None = Field(default=None, max_length=64, description="the class of work that routing took it for")
    provider: str | None = Field(default=None, max_length=64)
    model: str | None = Field(default=None, max_length=255, description="the upstream model that answered")
    offer_id: str | None = Field(default=None, max_length=255)
    outcome: str = Field(max_length=16, description="completed, client_closed, interrupted, failed, refused, cached")
    status: int = Field(description="HTTP status that the caller saw")
    error_code: str | None = Field(default=None, max_length=64)
    stream: bool = False
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    audio_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    unit: str | None = Field(default=None, max_length=12, description="metered in: image, second, character, query; NULL = token")
    quantity: float = Field(default=0, description="of `unit`; seconds to the millisecond")
    usage_source: str = Field(default="none", max_length=12, description="provider, counted (by us, exactly), estimated, none")
    charged_nano: int = Field(default=0, sa_type=sa.BigInteger)
    provider_cost_nano: int = Field(default=0, sa_type=sa.BigInteger)
    saved_nano: int = Field(default=0, sa_type=sa.BigInteger, description="what the answer cost when it was bought; of cached ones alone")
    price_ids: list[str] = Field(default_factory=list, sa_type=Json)
    price_state: str = Field(default="unpriced", max_length=16, description="priced, free, unpriced")
    overrun: bool = False
    latency_ms: int = 0
    first_token_ms: int | None = None
    overhead_us: int = 0
    attempts: int = 0
    recovered: str | None = Field(default=None, max_length=16, description="how a broken stream was gone on with: prefill, repeat")
    tags: list[str] = Field(default_factory=list, sa_type=Json)
    budget_ids: list[str] = Field(default_factory=list, sa_type=Json, description="the budgets that it was charged to")
    budget_day: date | None = Field(default=None, description="the local day that it was reserved on, and counts for")


class CallAttempt(SQLModel, table=True):
    __tablename__ = "call_attempt"
    call_id: str = Field(primary_key=True, foreign_key="call.id", max_length=40)
    number: int = Field(primary_key=True, description="1 is the first")
    provider: str = Field(max_length=64)
    model: str = Field(max_length=255)
    offer_id: str | None = Field(default=None, max_length=255)
    outcome: str = Field(max_length=16)
    status: int | None = Field(default=None, description="HTTP status of the provider, NULL if none came")
    error_code: str | None = Field(default=None, max_length=64)
    latency_ms: int = 0
    first_token_ms: int | None = None
    provider_cost_nano: int = Field(default=0, sa_type=sa.BigInteger)
    price_ids: list[str] = Field(default_factory=list, sa_type=Json)
    usage: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    recovered: str | None = Field(default=None, max_length=16, description="how it went on with what another attempt had begun")
    key_name: str | None = Field(
        default=None, max_length=80, description="which of several keys of the provider; own: and a name for one of the tenant's own"
    )
    reported_cost_nano: int | None = Field(
        default=None, sa_type=sa.BigInteger, description="what the provider itself said that it costs, where it says so"
    )
