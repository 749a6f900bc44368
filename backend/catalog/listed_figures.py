"""What price lists say of an offer beside its price: MMLU and size, as Price Runner's CSV has them. Shown as theirs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from backend.catalog.model_size import UNKNOWN

FIELDS = ("mmlu_score", "model_size")
_LONGEST_SIZE = 40


class ListedFigures(NamedTuple):
    """Each with the name of the list that says so, None where none does. The score is 0 to 100."""

    mmlu: tuple[float, str] | None = None
    size: tuple[str, str] | None = None


def listed_figures(extra: Mapping[str, Any]) -> ListedFigures | None:
    """Of an offer's `extra`, by source; of several lists the first by name. None where none has anything to say."""
    mmlu: tuple[float, str] | None = None
    size: tuple[str, str] | None = None
    for source, fields in sorted(extra.items()):
        if not isinstance(fields, Mapping):
            continue
        if mmlu is None and (score := _score(fields.get("mmlu_score"))) is not None:
            mmlu = score, source
        word = str(fields.get("model_size") or UNKNOWN).strip()
        if size is None and word.lower() not in ("", UNKNOWN.lower()):
            size = word[:_LONGEST_SIZE], source
    return ListedFigures(mmlu, size) if mmlu or size else None


def _score(value: Any) -> float | None:
    """None for what is no result on a scale of 0 to 100; up to 1 it may be a share as well, and nobody says which."""
    try:
        score = float(str(value))
    except ValueError:
        return None
    return round(score, 1) if 1 < score <= 100 else None
