"""Rollups: what the ledger adds up to by minute, hour and day, so that no chart reads calls.

A series is one combination of the dimensions that charts split by; a rollup row is what one writer added to a series in one bucket of
time. Rows of several writers are summed on reading: no process ever writes, or waits for, another one's row.
"""

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

_NAME = 255


class RollupSeries(SQLModel, table=True):
    """Empty text where a call has no value; `*` in the dimensions that a coarser series leaves out. Written once, never changed."""

    __tablename__ = "rollup_series"
    __table_args__ = (sa.Index("ix_rollup_series_tenant_id_model", "tenant_id", "model"),)
    id: bytes = Field(sa_column=sa.Column(sa.LargeBinary(16), primary_key=True), description="digest of the eight names")
    tenant_id: str = Field(max_length=40)
    key_id: str = Field(max_length=40)
    user_id: str = Field(max_length=40)
    model: str = Field(max_length=_NAME)
    provider: str = Field(max_length=64)
    route: str = Field(max_length=_NAME)
    task: str = Field(max_length=64)
    outcome: str = Field(max_length=16)


class Rollup(SQLModel, table=True):
    """Sums over the calls that began in [`starts`, `starts` + `span`). Histograms are flat lists, see `histogram`."""

    __tablename__ = "rollup"
    __table_args__ = ({"sqlite_with_rowid": False},)
    series_id: bytes = Field(sa_column=sa.Column(sa.LargeBinary(16), primary_key=True))
    span: int = Field(primary_key=True, description="seconds: 60, 3600 or 86400", sa_column_kwargs={"autoincrement": False})
    starts: int = Field(primary_key=True, sa_type=sa.BigInteger, description="seconds since 1970, a multiple of `span`")
    writer_id: int = Field(primary_key=True, sa_type=sa.BigInteger, description="0: what a repair added or took")
    calls: int = Field(sa_type=sa.BigInteger)
    errors: int = Field(sa_type=sa.BigInteger, description="calls that failed or were interrupted")
    overruns: int = Field(sa_type=sa.BigInteger)
    input_tokens: int = Field(sa_type=sa.BigInteger)
    cache_read_tokens: int = Field(sa_type=sa.BigInteger)
    cache_write_tokens: int = Field(sa_type=sa.BigInteger)
    audio_input_tokens: int = Field(sa_type=sa.BigInteger)
    output_tokens: int = Field(sa_type=sa.BigInteger)
    reasoning_tokens: int = Field(sa_type=sa.BigInteger)
    audio_output_tokens: int = Field(sa_type=sa.BigInteger)
    charged_nano: int = Field(sa_type=sa.BigInteger)
    provider_cost_nano: int = Field(sa_type=sa.BigInteger)
    saved_nano: int = Field(sa_type=sa.BigInteger, description="what answers from the cache cost when they were bought")
    images: int = Field(sa_type=sa.BigInteger, description="of calls that are metered by them, and so the next three")
    characters: int = Field(sa_type=sa.BigInteger)
    searches: int = Field(sa_type=sa.BigInteger)
    sound_ms: int = Field(sa_type=sa.BigInteger, description="milliseconds of sound")
    latency: str = Field(sa_type=sa.Text, description="milliseconds of all calls")
    first_token: str = Field(sa_type=sa.Text, description="milliseconds of the calls that have one")
