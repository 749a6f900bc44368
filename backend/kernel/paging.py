"""Pages of long lists: keyset cursors that a caller cannot read anything into."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from backend.kernel.errors import BadRequest

T = TypeVar("T")

MAX_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*position: Any) -> str:
    """The place after which the next page starts, such as (created_at, id), as one opaque word."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The position that `encode_cursor` was given. Anybody can make one up, so it is believed no further than that its
    parts are of these kinds: texts without NUL, integers of 64 bits.

    Raises:
        BadRequest: if it is not a cursor of ours with such parts.
    """
    try:
        position = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        position = None
    if not isinstance(position, list) or len(position) != len(kinds) or not all(map(_is_of, position, kinds)):
        raise not_ours()
    return position


def not_ours() -> BadRequest:
    """What somebody is told whose cursor cannot be followed."""
    return BadRequest("The cursor is not one that this list gave out: begin again without one.", param="cursor")


def _is_of(part: Any, kind: type) -> bool:
    if type(part) is not kind:
        return False
    if isinstance(part, str):
        return "\x00" not in part
    return not isinstance(part, int) or -(2**63) <= part < 2**63


def clamp_limit(limit: int) -> int:
    """A page size between 1 and 200."""
    return max(1, min(limit, MAX_LIMIT))
