"""The parameters of `GET /catalog/models` as OpenAPI tells them. They are read by hand (`query.py`), because an unknown one is an error."""

from typing import Any

from backend.catalog.bodies import ROW_FIELDS
from backend.catalog.index import MAX_LIMIT
from backend.catalog.languages import TAG
from backend.catalog.query import ALL_SORTS, HIGHEST_LIMIT, MAX_WORD, MAX_WORDS, RANGE
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES, STATUSES

Schema = dict[str, Any]
_RANGE = f"^({RANGE.pattern})?$"
_TAG = f"^{TAG.pattern}$"
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": HIGHEST_LIMIT, "default": 24}


def _query(name: str, description: str, schema: Schema, example: Any = None) -> Schema:
    shown = {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
    return shown if example is None else shown | {"example": example}


def _any_of(name: str, description: str, words: Any, example: str, **more: Any) -> Schema:
    """Several values by repetition or commas."""
    items: Schema = {"type": "string", "maxLength": MAX_WORD, **more} if words is None else {"type": "string", "enum": list(words)}
    schema = {"type": "array", "items": items, "maxItems": MAX_WORDS}
    return _query(name, description, schema, [example]) | {"style": "form", "explode": False}


LIST_PARAMETERS: Schema = {
    "parameters": [
        _query("search", "words that all occur in a name, alias or seller", {"type": "string"}, "claude"),
        _any_of("capability", "all of these", CAPABILITIES, "tools"),
        _any_of("modality", "takes all of these in", MODALITIES, "image"),
        _any_of("modality_out", "gives all of these out", MODALITIES, "text"),
        _any_of("language", "BCP 47; known to speak all of these: stated, or measured at 50 of 100 or more", None, "de", pattern=_TAG),
        _any_of("provider", "sold by any of these, by id or name", None, "openai"),
        _any_of("mode", "any of these", MODES, "chat"),
        _any_of("status", "any of these", STATUSES, "active"),
        _query("open_weights", "whether its weights are published", {"type": "boolean"}),
        _query("context_min", "at least so many tokens of context", {"type": "integer", "minimum": 0, "maximum": 2**40}, 128000),
        _query("min_score", "at least so good overall, or on `benchmark`: 0–100", {"type": "number", "minimum": 0, "maximum": 100}, 60),
        _query("benchmark", "the benchmark that `min_score` and those sorts go by; alone: measured on it", {"type": "string"}),
        _query("priceRange", "`low-high`, USD per 1M input tokens; either may be missing", {"type": "string", "pattern": _RANGE}, "0-3"),
        _query("priceRangeOut", "the same for output", {"type": "string", "pattern": _RANGE}),
        _query("sort", "what comes first; `value`: best for its price", {"type": "string", "enum": [*ALL_SORTS], "default": "relevance"}),
        _query("order", "`desc` turns the sort round", {"type": "string", "enum": ["asc", "desc"], "default": "asc"}),
        _query("limit", f"rows of a page; more than {MAX_LIMIT} are {MAX_LIMIT}", _LIMIT),
        _query("cursor", "`next_cursor` of the page before, with the same filters", {"type": "string"}),
        _query("offset", "rows to skip, instead of a cursor", {"type": "integer", "minimum": 0, "maximum": 10**7}),
        _any_of("fields", "only these fields of each row", ROW_FIELDS, "id"),
        _query("format", "`csv`, or `Accept: text/csv`: every model found, as a table", {"type": "string", "enum": ["json", "csv"]}),
    ]
}  # fmt: skip
