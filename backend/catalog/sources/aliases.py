"""Published model names and the offer that each means: the bundled table, which brings no offers and no prices."""

import csv
from datetime import date
from pathlib import Path

from backend.catalog.records import AliasRecord, SourceReading
from backend.catalog.sources import file_hash

BUNDLED = Path(__file__).parents[1] / "data" / "model_aliases.csv"


class ModelAliases:
    """Names of effort or thinking variants are left out: a variant is measured apart, so its name does not mean the plain model."""

    name = "aliases"
    label = "Published model names"
    url = "https://github.com/BerriAI/litellm"
    licence = "derived; facts"

    def __init__(self, path: Path = BUNDLED) -> None:
        self._path = path

    def content_hash(self) -> str:
        return file_hash(self._path)

    def data_date(self) -> date | None:
        return date(2026, 11, 20) if self._path == BUNDLED else None

    def read(self) -> SourceReading:
        with self._path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        exact = [row for row in rows if row["match_type"] == "exact_after_normalising" and not row["variant_note"]]
        return SourceReading(
            self.name, read=len(rows), aliases=tuple(AliasRecord(row["model_name_as_published"], row["litellm_id"]) for row in exact)
        )
