"""Where the store's facts come from. A source reads one format and yields neutral records; nothing else knows the format."""

import hashlib
from datetime import date
from pathlib import Path
from typing import Protocol

from backend.catalog.records import SourceReading


class PriceSource(Protocol):
    """`rank`: who is believed when everything else is equal, higher first. `licence` and `url` are shown beside what it says."""

    name: str
    label: str
    url: str
    licence: str
    rank: int

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
