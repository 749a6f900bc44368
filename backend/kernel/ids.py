"""Sortable ids: a prefix that names the kind, then 48 bits of milliseconds and 80 random bits in Crockford base 32 (a ULID)."""

import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS = bytes(ord(_ALPHABET[value & 31]) for value in range(256))
_POOL_BYTES = 4096

PREFIXES = {
    "request": "req",
    "user": "usr",
    "tenant": "ten",
    "key": "key",
    "session": "ses",
    "access": "acc",
    "event": "evt",
    "attempt": "att",
    "price": "prc",
    "run": "run",
    "budget": "bud",
    "lease": "lse",
    "audit": "aud",
    "response": "resp",
    "provider_key": "pky",
    "ingestion": "ing",
}


def new_id(kind: str) -> str:
    """A fresh id of the given kind, such as `req_01jd…`: unique, and sorted by creation to the millisecond.

    Raises:
        KeyError: if the kind has no prefix in `PREFIXES`.
    """
    return f"{PREFIXES[kind]}_{_ulid(time.time_ns() // 1_000_000, random_bytes(16))}"


def random_bytes(count: int) -> bytes:
    """Up to 4,096 bytes of the system's randomness, fetched in larger portions: an id must not cost a system call each."""
    global _pool, _used
    with _lock:
        if _used + count > len(_pool):
            _pool, _used = os.urandom(_POOL_BYTES), 0
        start, _used = _used, _used + count
        return _pool[start:_used]


def _ulid(milliseconds: int, randomness: bytes) -> str:
    """48 bits as ten digits, and five bits of each of sixteen bytes as one more."""
    global _last_time
    known, digits = _last_time
    if known != milliseconds:
        digits = "".join([_ALPHABET[(milliseconds >> shift) & 31] for shift in range(45, -5, -5)])
        _last_time = (milliseconds, digits)
    return digits + randomness.translate(_DIGITS).decode()


def _forget_pool() -> None:
    """A forked child must not hand out its parent's bytes again."""
    global _pool, _used, _lock
    _pool, _used, _lock = b"", 0, threading.Lock()


_pool = b""
_used = 0
_lock = threading.Lock()
_last_time = (-1, "")
os.register_at_fork(after_in_child=_forget_pool)
