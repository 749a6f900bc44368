"""JSON from strangers, and JSON out. Bad input is a `BadRequest` within milliseconds, the same on every database.

orjson already refuses NaN, Infinity, lone surrogates and broken UTF-8, and stops at 1024 levels. What it lets through and we do not:
more than 128 levels, more than 100,000 values, NUL characters (PostgreSQL's text cannot hold one), integers beyond 64 bits
(it would silently make floats of them), and one key twice (two readers could see two different requests).
"""

import re
from json import loads as loads_with_pairs
from typing import Any

import orjson

from backend.kernel.errors import BadRequest

MAX_DEPTH = 128
MAX_VALUES = 100_000
MAX_COMMAS = 2_000_000
_BACKSLASH = 0x5C
"""As a number: looking for `bytes` in bytes raises, and drops, an exception first."""
_LEAST_INT, _MOST_INT = -(2**63), 2**63 - 1
_SPACED_KEY = re.compile(rb'"[ \t\r\n]+:')
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_LONG_INTEGER = re.compile(rb"(?<![0-9.eE+])-?[0-9]{19,}(?![0-9.eE])")


def dump_json(value: Any) -> bytes:
    """Compact JSON. Raises TypeError for what JSON cannot say."""
    return orjson.dumps(value)


def parse_json(data: bytes, *, what: str = "The request body", most: int = MAX_VALUES) -> Any:
    """The value that the bytes spell, which is made of `most` values at the most.

    Raises:
        BadRequest: with a sentence that says what is wrong.
    """
    escapes = _BACKSLASH in data
    at_most_keys = _at_most_keys(data, escapes=escapes)
    if at_most_keys > most or (len(data) > MAX_COMMAS and (data.count(b",") > MAX_COMMAS or _at_least_values(data) > most)):
        # Refused before parsing, which would hold up every other call for a quarter of a second.
        raise BadRequest(f"{what} holds more than {most:,} values.")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"{what} is not valid JSON: {_reason(error, data)}.") from None
    keys, large = _count_keys(value, what, most)
    if escapes and b"\\u0000" in data and _holds_nul(value):
        raise BadRequest(f"{what} holds a NUL character.")
    if large:
        _refuse_long_integers(data, what)
    if keys < at_most_keys:
        _refuse_repeated_keys(data, what)
    return value


def _reason(error: orjson.JSONDecodeError, data: bytes) -> str:
    if not data.strip():
        return "it is empty"
    message = error.msg.split(":")[0]
    return f"{message} (line {error.lineno}, column {error.colno})"


def _count_keys(value: Any, what: str, most: int) -> tuple[int, bool]:
    """How many keys all objects have together, and whether any number may be beyond 64 bits.

    Walks level by level, so that depth costs no stack. An integer beyond 64 bits has become an int or a float by now.
    """
    keys = values = depth = 0
    large = False
    level = [value]
    while level:
        depth += 1
        values += len(level)
        if values > most:
            raise BadRequest(f"{what} holds more than {most:,} values.")
        if depth > MAX_DEPTH:
            raise BadRequest(f"{what} is nested deeper than {MAX_DEPTH} levels.")
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict:
                keys += len(item)
                below += item.values()
            elif kind is list:
                below += item
            elif kind in (int, float) and not -9e18 < item < 9e18:  # near enough to look at the text
                large = True
        level = below
    return keys, large


def _at_most_keys(data: bytes, *, escapes: bool) -> int:
    """An upper bound of the keys spelled in the text; exact unless strings hold an escaped backslash before a quote.

    A key ends in a quote that an even number of backslashes precede, then a colon: counted by bytes, because this runs for every call.
    """
    keys = data.count(b'":')
    if escapes:
        keys += data.count(b'\\\\":') - data.count(b'\\":')
    if _SPACED_KEY.search(data) is not None:
        keys += len(_SPACED_KEY.findall(data))
    return keys


def _at_least_values(data: bytes) -> int:
    """A lower bound of the values: each `","` stands between two of them, or is a text of its own, a value or the key of one."""
    return data.count(b'","') // 3


def _refuse_repeated_keys(data: bytes, what: str) -> None:
    def refuse(pairs: list[tuple[str, Any]]) -> None:
        if len({key for key, _ in pairs}) < len(pairs):
            raise BadRequest(f"{what} has the same key twice in one object.")

    loads_with_pairs(data, object_pairs_hook=refuse)


def _refuse_long_integers(data: bytes, what: str) -> None:
    for match in _LONG_INTEGER.finditer(_STRING.sub(b'""', data)):
        # int() of a text of unbounded length is quadratic; 20 digits and a sign decide.
        if len(match[0]) > 20 or not _LEAST_INT <= int(match[0]) <= _MOST_INT:
            raise BadRequest(f"{what} holds an integer beyond 64 bits.")


def _holds_nul(value: Any) -> bool:
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            if type(item) is str:
                if "\x00" in item:
                    return True
            elif type(item) is dict:
                below += item
                below += item.values()
            elif type(item) is list:
                below += item
        level = below
    return False
