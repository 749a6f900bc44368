"""What was measured: benchmarks, and what each published model name scored on them.

A benchmark is one metric of one version: LiveBench's coding of two releases are two benchmarks, and so are accuracy and cost of one run.
"""

from datetime import date, datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from backend.kernel.db import UtcDateTime


class Benchmark(SQLModel, table=True):
    """`scale_worst` and `scale_best` are the raw scores that mean 0 and 100; without them results are shown, but never compared."""

    __tablename__ = "benchmark"
    id: str = Field(primary_key=True, max_length=160)
    name: str = Field(max_length=160)
    metric: str = Field(max_length=120)
    version: str = Field(default="", max_length=64, description="empty: the benchmark has no versions")
    skill: str | None = Field(default=None, max_length=32, index=True, description="None: speed, cost, a part or an average of others")
    language: str | None = Field(default=None, max_length=16, description="BCP 47, where it measures one language")
    direction: str = Field(max_length=8, description="higher or lower: which raw score is better; unknown")
    unit: str = Field(max_length=64)
    scale_worst: float | None = None
    scale_best: float | None = None
    family: str = Field(max_length=120, description="what versions and parts of one benchmark share: together one piece of evidence")
    dataset: str = Field(max_length=120)
    licence: str = Field(max_length=120)
    origin: str = Field(max_length=16, description="bundled or operator")
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class BenchmarkResult(SQLModel, table=True):
    """`id` is a digest of what the result is about, so that the same result twice is one row."""

    __tablename__ = "benchmark_result"
    id: str = Field(primary_key=True, max_length=40)
    benchmark_id: str = Field(foreign_key="benchmark.id", index=True, max_length=160)
    published_name: str = Field(max_length=255)
    stated_id: str | None = Field(default=None, max_length=255, description="the model's id where the source gives one beside the name")
    variant: str = Field(default="", max_length=64, description="effort, thinking or calling mode; empty: what one gets without asking")
    model_id: str | None = Field(
        default=None, sa_column=sa.Column(sa.String(200), sa.ForeignKey("model.id", ondelete="SET NULL"), index=True, nullable=True)
    )
    score: float
    measured_on: date | None = Field(default=None, description="when it was run or published, where the source says so")
    source_url: str = Field(max_length=1000)
    dataset: str = Field(max_length=120)
    licence: str = Field(max_length=120)
    reported_by: str = Field(max_length=120)
    self_reported: bool = Field(description="by the model's vendor, or by nobody knows whom")
    notes: str = Field(default="", max_length=500)
    origin: str = Field(max_length=16, description="bundled or operator")
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
