"""What a request may say: the types that its description names, and nothing that merely could be taken for one of them.

Left alone, `"free": 0` would be false, `"limit": "5"` five, and a day `"0"` the first of January 1970.
"""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DAY.pattern + r"[Tt ].+")
MOST_FIELDS = 100
"""Each field that does not exist is an error by itself: a body of them would be answered by seconds of work and six times as many bytes."""


def _written(pattern: re.Pattern[str], as_in: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, int | float) or (isinstance(value, str) and pattern.fullmatch(value) is None):
            raise ValueError(f"must be as in {as_in}")
        return value

    return BeforeValidator(check)


def _as_instant(value: Any) -> Any:
    return f"{value}T00:00:00Z" if isinstance(value, str) and _DAY.fullmatch(value) else value


class Asked(BaseModel):
    """A JSON body, or a part of one. A field that does not exist is refused, and no value is repeated in an error."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, given: Any) -> Any:
        if isinstance(given, dict) and len(given) > MOST_FIELDS:
            raise ValueError(f"an object of more than {MOST_FIELDS} fields")
        return given


Day = Annotated[date, Field(strict=False), _written(_DAY, "2026-01-31")]
Instant = Annotated[
    AwareDatetime,
    Field(strict=False),
    _written(_INSTANT, "2026-01-31T12:00:00Z, or 2026-01-31"),
    BeforeValidator(_as_instant),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}),
]
"""A day stands for its beginning in UTC."""
Amount = Annotated[Decimal, Field(strict=False, allow_inf_nan=False)]
"""A JSON number, or a text that is one: exact either way."""
