"""Text that a stranger serves, read so that no entry can harm the others or the process: numbers of human size, wrong types refused."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

T = TypeVar("T")
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""What reading one entry of the wrong shape raises."""
MOST_ENTRIES = 50_000
"""Public lists have some thousands."""
_LONGEST_NUMBER = 40
_SMALLEST, _LARGEST = -30, 18
"""Powers of ten."""


class FeedUnreadable(ValueError):
    """The text as a whole is not what its format says; a sentence."""


def parse_feed(text: bytes) -> Any:
    """The JSON that the text spells, with Decimal for fractions; numbers beyond all measure are None.

    Raises:
        FeedUnreadable: it is no JSON, half of one, or nested beyond measure.
    """
    try:
        return json.loads(text, parse_float=number, parse_int=_integer, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise FeedUnreadable(f"this is no JSON: {reason}") from None


def number(text: str) -> Decimal | None:
    """The number, or None if it is none or beyond all measure: written out, 1e-999999 would fill a megabyte."""
    if len(text) > _LONGEST_NUMBER:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or (value and not _SMALLEST <= value.adjusted() <= _LARGEST):
        return None
    return value


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _LARGEST else None


def each(entries: Iterable[tuple[str, Any]], read: Callable[[str, Any], T]) -> tuple[list[T], dict[str, str]]:
    """What `read` makes of every entry, and the names of those that it cannot read, with the reason.

    Raises:
        FeedUnreadable: there are more than `MOST_ENTRIES`.
    """
    good: list[T] = []
    refused: dict[str, str] = {}
    for name, entry in not_endless(entries):
        try:
            good.append(read(name, entry))
        except UNREADABLE as error:
            # Our own sentences are ValueErrors and speak for themselves; a KeyError's text is a bare name.
            refused[name[:255]] = (str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")[:200]
    return good, refused


def not_endless(entries: Iterable[T]) -> Iterator[T]:
    """The same.

    Raises:
        FeedUnreadable: there are more than `MOST_ENTRIES`, before more are read.
    """
    for count, entry in enumerate(entries):
        if count >= MOST_ENTRIES:
            raise FeedUnreadable(f"it has more than {MOST_ENTRIES:,} entries")
        yield entry


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """The value, if it is a JSON object.

    Raises:
        FeedUnreadable: it is something else.
    """
    if not isinstance(value, dict):
        raise FeedUnreadable(f"{what} is {_kind(value)} where an object belongs")
    return value


def listing(value: Any, what: str) -> list[Any]:
    """The value, if it is a JSON array.

    Raises:
        FeedUnreadable: it is something else.
    """
    if not isinstance(value, list):
        raise FeedUnreadable(f"{what} is {_kind(value)} where a list belongs")
    return value


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "nothing"}.get(type(value), "a number")
