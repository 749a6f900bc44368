"""Passwords: argon2id (46 MiB, one pass, one lane), a few at a time, and as much work for an unknown account as for a known one."""

import asyncio
import os
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from backend.kernel.errors import BadRequest, RateLimited

MEMORY_KIB = 46 * 1024
MIN_LENGTH = 8
MAX_BYTES = 1024
POOL_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""Half of the machine at most, and never more than four: calls and pages go on while people sign in."""
MAX_WAITING = 16

_DUMMY = "$argon2id$v=19$m=47104,t=1,p=1$GcMYI6T03nsPYewdY4wxxg$EO4atxOrOZga64yOC3cxDPbE6qj2JjTONZ+UINQLYow"
"""Checked in place of the hash of an account that does not exist, so that the answer takes as long; it never lets anybody in."""


class Passwords:
    """Hashing in a pool of its own: at most four at a time (46 MiB each), at most sixteen waiting, the rest is turned away."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=POOL_THREADS, thread_name_prefix="password", initializer=_step_back)
        self._pending = 0

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The argon2id string to store.

        Raises:
            RateLimited: too many sign-ins are being checked at this moment.
        """
        return str(await self._run(partial(_hash, _normal(password))))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password fits. With `stored=None` (no such account, or none with a password) the same work is done for a no.

        Raises:
            RateLimited: too many sign-ins are being checked at this moment.
        """
        fits = await self._run(partial(_verify, _normal(password), stored or _DUMMY))
        return bool(fits) and stored is not None

    async def _run(self, work: partial[Any]) -> Any:
        if self._pending >= POOL_THREADS + MAX_WAITING:
            raise RateLimited("Too many people are signing in at this moment. Try again in a few seconds.", retry_after=2)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._pending -= 1


def _step_back() -> None:
    """Let the event loop have the processor first, where the system knows priorities of threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _argon2id() -> Any:
    # Imported on first use, in the pool's thread: what only serves programs never needs it.
    from passlib.hash import argon2

    return argon2.using(type="ID", memory_cost=MEMORY_KIB, time_cost=1, parallelism=1)


def _hash(password: bytes) -> str:
    return str(_argon2id().hash(password))


def _verify(password: bytes, stored: str) -> bool:
    return bool(_argon2id().verify(password, stored))


def check_new_password(password: str) -> None:
    """The rule for a password that a person chooses: 8 characters or more, at most 1,024 bytes; no rules about kinds of characters.

    Raises:
        BadRequest: it is shorter or longer.
    """
    if len(password) < MIN_LENGTH:
        raise BadRequest(f"A password has at least {MIN_LENGTH} characters.", param="password")
    if len(_normal(password)) > MAX_BYTES:
        raise BadRequest(f"A password has at most {MAX_BYTES} bytes.", param="password")


def _normal(password: str) -> bytes:
    """The same characters typed on another keyboard are the same password (NFKC); cut well above what may be chosen."""
    return unicodedata.normalize("NFKC", password[: 2 * MAX_BYTES]).encode("utf-8", "surrogatepass")[: 2 * MAX_BYTES]
