"""What the addresses of pages have in common: a query string out of fields and back. Pure.

What a page does not understand in its address it leaves out, so that an old or mangled link still opens.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlencode

_MOST_FIELDS = 50
_TIMES = {"k": 1_000, "m": 1_000_000}


def values_of(query: str) -> dict[str, list[str]]:
    """All values of each field, without empty ones; the query string with or without its question mark."""
    try:
        return parse_qs(query.lstrip("?"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}  # more fields than any link of ours has


def fields_of(query: str) -> dict[str, str]:
    """The last value of each field."""
    return {name: values[-1] for name, values in values_of(query).items()}


def query_string(fields: Mapping[str, str]) -> str:
    """`?by=openai&can=tools,vision`: with its question mark, without fields that are empty, and empty where none is left."""
    text = urlencode({name: value for name, value in fields.items() if value}, quote_via=quote, safe=",/:")
    return f"?{text}" if text else ""


def whole_number(text: str, most: int) -> int | None:
    """A number from 0 to `most`, also as people write it: `1,000`, `128k`, `2 m`. None for anything else."""
    digits = text.strip().lower().replace(" ", "").replace(",", "")
    times = _TIMES.get(digits[-1:], 1)
    digits = digits if times == 1 else digits[:-1]
    number = int(digits) * times if digits.isascii() and digits.isdigit() and len(digits) < 13 else None
    return number if number is not None and number <= most else None
