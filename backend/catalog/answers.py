"""Answers that are kept as bytes until the store changes, with the ETag by which a client learns that nothing has.

In memory, because encoding a page takes longer than finding it and asking Redis takes longer than both: see decision 0039.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from fastapi import Request, Response

from backend import __version__
from backend.kernel.db import patiently

MAX_ANSWERS = 1000
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    etag: str
    media_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Answers:
    """The answers of one version of the store, the least used ones going first.

    Args:
        public: anybody may keep them; otherwise only the caller himself. Either asks again each time, which costs a 304.
    """

    def __init__(self, *, public: bool) -> None:
        self._control = f"{'public' if public else 'private'}, no-cache"
        self._vary = "Accept" if public else "Accept, Authorization, Cookie"
        self._version = ""
        self._kept: OrderedDict[Hashable, Answer] = OrderedDict()
        self._bytes = 0
        self._making: dict[tuple[str, Hashable], asyncio.Task[Answer]] = {}

    async def answer(self, request: Request, version: str, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Response:
        """The answer to a read, or 304 where the client has it already. `make` is called for what is not kept, once for all who ask
        meanwhile: whoever hangs up does not take it from the others.

        Args:
            key: what was asked for, beginning with the kind of question: all addresses share one room. Its size is the caller's to bound.
        """
        found = self._found(version, key)
        if found is None:
            making = self._making.get((version, key))
            if making is None:
                making = self._making[version, key] = asyncio.create_task(self._made(version, key, make), name="answer")
            found = await asyncio.shield(making)
        headers = {"etag": found.etag, "cache-control": self._control, "vary": self._vary, **dict(found.headers)}
        if is_known(request.headers.get("if-none-match"), found.etag):
            return Response(status_code=304, headers=headers)
        return Response(found.body, media_type=found.media_type, headers=headers)

    async def _made(self, version: str, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            with patiently():
                made = await make()
            self._keep(version, key, made)
            return made
        finally:
            del self._making[version, key]

    def _found(self, version: str, key: Hashable) -> Answer | None:
        if version != self._version:
            self._kept.clear()
            self._bytes, self._version = 0, version
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def _keep(self, version: str, key: Hashable, answer: Answer) -> None:
        if version != self._version or len(answer.body) > MAX_BYTES // 8 or key in self._kept:
            return
        self._kept[key] = answer
        self._bytes += len(answer.body)
        while self._bytes > MAX_BYTES or len(self._kept) > MAX_ANSWERS:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone.body)


def etag(body: bytes, mark: str = "") -> str:
    """A weak validator of an answer: the same bytes of the same release. `mark` is appended, for `concurrency.py`."""
    digest = hashlib.blake2b(body, digest_size=9, key=__version__.encode()[:64]).hexdigest()
    return f'W/"{digest}{mark}"'


def is_known(if_none_match: str | None, current: str) -> bool:
    """Whether one of the validators that a client has is the current one; weak and strong compare equal here (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    bare = current.removeprefix("W/")
    return any(part.strip().removeprefix("W/") == bare for part in if_none_match.split(",")[:50])
