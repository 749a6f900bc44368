"""Where the store's facts come from. A source reads one format and yields neutral records; nothing else knows the format."""

import hashlib
from datetime import date
from pathlib import Path
from typing import Protocol

from backend.catalog.records import SourceReading

BUNDLED_ON = date(2026, 11, 20)
"""The day on which what ships was collected, and the packages that carry price lists were pinned in requirements.txt."""


class PriceSource(Protocol):
    """`licence` and `url` are shown beside what it says."""

    name: str
    label: str
    url: str
    licence: str

    def content_hash(self) -> str:
        """Changes exactly when `read` would say something else; cheap."""
        ...

    def data_date(self) -> date | None:
        """The day that the data describes, None where the source does not say."""
        ...

    def read(self) -> SourceReading: ...


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
