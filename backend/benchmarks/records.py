"""What a source of benchmark results yields; nothing downstream knows its format."""

import hashlib
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class BenchmarkRecord:
    """One metric of one version of a benchmark; the fields are the columns of `benchmark`."""

    id: str
    name: str
    metric: str
    version: str
    skill: str | None
    language: str | None
    direction: str
    unit: str
    scale_worst: float | None
    scale_best: float | None
    family: str
    dataset: str
    licence: str

    def normalised(self, score: float) -> float | None:
        """0 (worst) to 100 (best), whichever direction the raw score has; None where the scale is unknown."""
        return normalised(score, self.scale_worst, self.scale_best)


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """One published number; the fields are the columns of `benchmark_result`."""

    benchmark_id: str
    published_name: str
    score: float
    measured_on: date | None
    source_url: str
    dataset: str
    licence: str
    reported_by: str
    self_reported: bool
    variant: str = ""
    stated_id: str | None = None
    notes: str = ""

    @property
    def id(self) -> str:
        """The same for the same measurement, whatever it scored: reading it again corrects the row instead of adding one."""
        where = (self.measured_on, self.source_url, self.dataset, self.reported_by, self.notes)
        about = (self.benchmark_id, self.published_name, self.stated_id or "", self.variant, *map(str, where))
        return "res_" + hashlib.sha256("\x1f".join(about).encode()).hexdigest()[:32]


def normalised(score: float, worst: float | None, best: float | None) -> float | None:
    """Where a raw score lies between the worst (0) and the best (100) of its scale; beyond either end is that end."""
    if worst is None or best is None or worst == best:
        return None
    return min(100.0, max(0.0, 100.0 * (score - worst) / (best - worst)))
