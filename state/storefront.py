"""What the first paint of the store shows: a snapshot of its first page, written when the pages are built.

Reflex prerenders a page from its state's defaults, so the snapshot becomes the default of the store's vars. Without the file the page
is prerendered as a skeleton; either way the real answer replaces it as soon as the socket is open.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from backend.configuration import load_settings
from state.row_marks import RowMarks
from state.views import Choice, ModelRow

FILE = Path(".build") / "storefront.json"


@dataclasses.dataclass(slots=True)
class Storefront:
    headline: str = ""
    subline: str = ""
    freshness: str = ""
    total: int = 0
    provider_count: int = 0
    rows: list[ModelRow] = dataclasses.field(default_factory=list)
    marks: dict[str, RowMarks] = dataclasses.field(default_factory=dict)
    facets: dict[str, list[Choice]] = dataclasses.field(default_factory=dict)


def first_paint() -> Storefront:
    """What pages begin with: the snapshot, and nothing where the store is not public, because a state's defaults go to everybody."""
    return load_storefront() if load_settings().store.public else Storefront()


def load_storefront(path: Path = FILE) -> Storefront:
    """The snapshot, or an empty one when there is none or it is of another shape."""
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found["rows"] = [ModelRow(**row) for row in found["rows"]]
        found["marks"] = {slug: RowMarks(**one) for slug, one in found["marks"].items()}
        found["facets"] = {name: [Choice(**one) for one in values] for name, values in found["facets"].items()}
        return Storefront(**found)
    except (OSError, ValueError, TypeError, KeyError):
        return Storefront()


def save_storefront(front: Storefront, path: Path = FILE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(front), ensure_ascii=False, separators=(",", ":")), "utf-8")
