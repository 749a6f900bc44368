"""Every format in which a text about models and prices may arrive, by name; and which one a text looks like."""

from collections.abc import Callable
from datetime import date

from backend.catalog.records import SourceReading
from backend.catalog.sources.feed import FeedUnreadable, parse_feed

NOTHING = "nothing"
"""The format of a source that was taken away: it says nothing any more, so what only it said ends."""


def read_text(kind: str, text: bytes, source: str, day: date) -> SourceReading:
    """What a text of this format says. `day`: when it came; other currencies than USD are converted at that day's rate.

    Raises:
        FeedUnreadable: it is not of this format.
    """
    if kind == "table":
        from backend.catalog.sources.table import read_table

        return read_table(text, source, day)
    return _READERS[kind](text, source)


def looks_like(text: bytes) -> str:
    """The format of a text whose sender does not say it: the one of the JSON that it is, else `table`."""
    if text.lstrip()[:1] not in (b"{", b"["):
        return "table"
    try:
        value = parse_feed(text)
    except FeedUnreadable:
        return "table"
    some = [entry for entry in (value[:50] if isinstance(value, list) else list(value.values())[:50]) if isinstance(entry, dict)]
    if isinstance(value, list):
        return "genai-prices" if any(isinstance(entry.get("models"), list) for entry in some) else "table"
    if isinstance(value.get("data"), list):
        return "openrouter"
    if any("litellm_provider" in entry for entry in some):
        return "litellm"
    return "models.dev" if any(isinstance(entry.get("models"), dict) for entry in some) else "table"


def _litellm(text: bytes, source: str) -> SourceReading:
    from backend.catalog.sources.litellm_map import read_map

    return read_map(text, source)


def _genai_prices(text: bytes, source: str) -> SourceReading:
    from backend.catalog.sources.genai_prices import read_data

    return read_data(text, source)


def _models_dev(text: bytes, source: str) -> SourceReading:
    from backend.catalog.sources.models_dev import read_api

    return read_api(text, source)


def _openrouter(text: bytes, source: str) -> SourceReading:
    from backend.catalog.sources.openrouter import read_models

    return read_models(text, source)


def _nothing(_text: bytes, source: str) -> SourceReading:
    return SourceReading(source, read=0)


_READERS: dict[str, Callable[[bytes, str], SourceReading]] = {
    "litellm": _litellm,
    "genai-prices": _genai_prices,
    "models.dev": _models_dev,
    "openrouter": _openrouter,
    NOTHING: _nothing,
}
FORMATS = (*(name for name in _READERS if name != NOTHING), "table")
