"""Edits: the fields of a section of the configuration file that the database decides, over what the file says.

A section such as `timeouts` is merged too, so that one edited field leaves the others to the file; a list is replaced as a whole.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from backend.kernel.errors import BadRequest

Edits = Mapping[str, Any]
_MOST_BYTES = 64 * 1024


def over(base: Edits, edits: Edits) -> dict[str, Any]:
    """`edits` over `base`: sections are merged, everything else is replaced."""
    whole = dict(base)
    for name, value in edits.items():
        below = whole.get(name)
        whole[name] = over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return whole


def without(edits: Edits, field: str) -> Edits:
    """What is left when an edited field (`strategy`, `timeouts.total`) is taken back.

    Raises:
        BadRequest: it was not edited.
    """
    return _without(edits, field.split("."), field)


def field_names(edits: Edits, before: str = "") -> list[str]:
    """What is edited, in dots: `strategy`, `timeouts.total`."""
    names: list[str] = []
    for name, value in sorted(edits.items()):
        names += field_names(value, f"{before}{name}.") if isinstance(value, Mapping) and value else [f"{before}{name}"]
    return names


def facts(edits: Edits) -> list[str]:
    """Edits as the audit log tells them. A list of texts, because it takes `max_output_tokens` as the name of a fact for a secret's."""
    return [f"{field}={json.dumps(value)}"[:500] for field, value in sorted(edits.items())]


def storable(edits: Edits, what: str) -> None:
    """Raises BadRequest: the database cannot keep them. `what` they describe, for the sentence: `A route`."""
    try:
        text = json.dumps(edits, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise BadRequest("A field holds something that is neither text, number, list nor mapping.") from None
    if size > _MOST_BYTES:
        raise BadRequest(f"{what} is described in at most 64 KiB.")
    if "\\u0" in text:
        raise BadRequest("A field holds a control character.")


def as_written(value: Any, leave_out: frozenset[str] = frozenset()) -> Any:
    """Settings as they would be written in the file: `5s`, plain numbers and words."""
    if isinstance(value, BaseModel):
        return {name: as_written(getattr(value, name)) for name in type(value).model_fields if name not in leave_out}
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return [as_written(item) for item in value] if isinstance(value, tuple) else value


def refusal(error: ValidationError) -> BadRequest:
    """What is wrong with a section, field by field, in the words that the configuration file is judged by."""
    problems = [(_dotted(problem["loc"]), _in_words(problem)) for problem in error.errors()]
    return BadRequest("; ".join(f"{where}: {what}" if where else what for where, what in problems), param=problems[0][0])


def _without(edits: Edits, path: list[str], field: str) -> Edits:
    name, *below = path
    inner = edits.get(name)
    if name not in edits or (below and not isinstance(inner, Mapping)):
        raise BadRequest(f"{field!r} was not edited. What was: {', '.join(field_names(edits)) or 'nothing'}.", param="fields")
    rest = {other: value for other, value in edits.items() if other != name}
    left = _without(inner, below, field) if below and isinstance(inner, Mapping) else {}
    return {**rest, name: left} if left else rest


def _in_words(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    return "this is needed" if problem["type"] == "missing" else str(problem["msg"]).removeprefix("Value error, ")


def _dotted(location: tuple[str | int, ...]) -> str:
    shown = [part for part in location if not (isinstance(part, str) and part.startswith(("function-", "literal[")))]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shown).lstrip(".")
