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


def decode_cursor(cursor: str, length: int) -> list[Any]:
    """The position that `encode_cursor` was given.

    Raises:
        BadRequest: if it is not a cursor of ours with `length` parts.
    """
    try:
        position = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        position = None
    if not isinstance(position, list) or len(position) != length:
        raise BadRequest("The cursor is not one that this list gave out.", param="cursor")
    return position


def clamp_limit(limit: int) -> int:
    """A page size between 1 and 200."""
    return max(1, min(limit, MAX_LIMIT))
