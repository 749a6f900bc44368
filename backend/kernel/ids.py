"""Sortable ids: a prefix that names the kind, then 48 bits of milliseconds and 80 random bits in Crockford base 32 (a ULID)."""

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

PREFIXES = {
    "request": "req",
    "user": "usr",
    "tenant": "ten",
    "key": "key",
    "session": "ses",
    "event": "evt",
    "attempt": "att",
    "price": "prc",
    "run": "run",
    "budget": "bud",
    "audit": "aud",
}


def new_id(kind: str) -> str:
    """A fresh id of the given kind, such as `req_01jd…`: unique, and sorted by creation to the millisecond.

    Raises:
        KeyError: if the kind has no prefix in `PREFIXES`.
    """
    return f"{PREFIXES[kind]}_{_ulid(time.time_ns() // 1_000_000, os.urandom(10))}"


def _ulid(milliseconds: int, randomness: bytes) -> str:
    value = (milliseconds << 80) | int.from_bytes(randomness, "big")
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -5, -5))
