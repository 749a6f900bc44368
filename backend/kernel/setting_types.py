"""What values of the configuration may look like: durations, sizes, names, amounts; and the base of its sections."""

import re
from datetime import timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_SIZES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

WINDOW_PATTERN = r"^(calendar_month|calendar_week|calendar_day|lifetime|rolling_[1-9][0-9]{0,2}d)$"
MOST_COUNTED = 10**12
"""No limit of requests or tokens is higher."""
LONGEST_REDIS_SECONDS = 10.0
SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


def is_slug(text: str) -> bool:
    """Whether it is a name as those of tenants and providers are."""
    return re.fullmatch(SLUG_PATTERN, text) is not None


def _duration(value: Any) -> Any:
    """`300s`, `250ms`, `5m`, or a plain number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return timedelta(seconds=value)
        except (ValueError, OverflowError):
            raise ValueError("must be a duration such as 30s, 250ms or 5m") from None
    if isinstance(value, str):
        text = value.strip()
        number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = text[len(number) :]
        if unit in _UNITS:
            try:
                return timedelta(seconds=float(number) * _UNITS[unit])
            except (ValueError, OverflowError):
                pass
        raise ValueError("must be a duration such as 30s, 250ms or 5m")
    return value


def _size(value: Any) -> Any:
    """`64MiB`, `512KiB`, `2GiB`, or a plain number of bytes."""
    if isinstance(value, str):
        text = value.strip()
        number = text.rstrip("BGKMi")
        unit = text[len(number) :]
        if unit in _SIZES and number.strip().isdecimal() and len(number) < 16:
            return int(number) * _SIZES[unit]
        raise ValueError("must be a size such as 64MiB, 512KiB or 2GiB")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from error
    return value


def _redis_url(value: str) -> str:
    """Refused here, because every process goes on without a Redis that is never found."""
    where = urlsplit(value)
    if where.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must be redis://HOST:PORT/DATABASE, rediss://… or unix://PATH")
    for seconds in parse_qs(where.query).get("socket_timeout", []):
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", seconds) is None or not 0 < float(seconds) <= LONGEST_REDIS_SECONDS:
            raise ValueError(f"socket_timeout must be more than 0 and at most {LONGEST_REDIS_SECONDS:.0f} seconds")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(0))]
Limit = Annotated[Duration, Field(gt=timedelta(0))]
"""A duration within which something must happen; 0 would forbid it."""
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
"""Its `socket_timeout` is how long, in seconds, Redis may be silent while an answer is due."""
TimeZone = Annotated[str, AfterValidator(_timezone)]
Slug = Annotated[str, Field(pattern=SLUG_PATTERN)]
Usd = Annotated[Decimal, Field(ge=0, le=Decimal("9000000000"), allow_inf_nan=False)]
Bytes = Annotated[int, BeforeValidator(_size), Field(ge=0, le=2**50)]
Count = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
OneOrMore = BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
"""One word stands for a list of it."""
Words = Annotated[tuple[Slug, ...], OneOrMore]
ModelName = Annotated[str, Field(min_length=1, max_length=255)]
Network = IPv4Network | IPv6Network


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
