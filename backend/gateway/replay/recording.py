"""An answer while it is given: written once by the endpoint, read by everybody who asked for the same, each at his own pace."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from backend.gateway.replay.answer import Answer, lasting
from backend.gateway.responses import CUT
from backend.kernel.errors import BourseError, as_openai
from backend.kernel.header_lines import EXTENSION, Header, Lines, pairs_of
from backend.kernel.json import dump_json
from backend.kernel.request import Message

PORTION_BYTES = 64 * 1024
"""The most that a reader takes at once, so that what its socket has not taken yet is not copied."""
WINDOW_BYTES = 256 * 1024
"""Of an answer that is too large to keep, this much waits for its readers."""


class Room:
    """How many bytes all recordings of a process may hold together, and those of one tenant."""

    def __init__(self, most_bytes: int, most_of_one: int | None = None) -> None:
        self.left = most_bytes
        self._most_of_one = most_of_one if most_of_one is not None else most_bytes
        self._taken: dict[str, int] = {}

    def take(self, tenant_id: str, count: int) -> bool:
        """Whether there was so much."""
        taken = self._taken.get(tenant_id, 0) + count
        if count > self.left or taken > self._most_of_one:
            return False
        self.left -= count
        self._taken[tenant_id] = taken
        return True

    def give_back(self, tenant_id: str, count: int) -> None:
        self.left += count
        self._taken[tenant_id] -= count
        if not self._taken[tenant_id]:
            del self._taken[tenant_id]


class Reader:
    """Where one caller is in the recording. `made_it`: the call is his own, and not a twin's."""

    __slots__ = ("at", "gone", "made_it", "offset", "read_bytes", "started")

    def __init__(self, *, made_it: bool) -> None:
        self.made_it = made_it
        self.at = 0
        self.offset = 0
        self.read_bytes = 0
        self.started = False
        self.gone = False


class TooSlow(Exception):
    """The reader takes nothing, or the answer is too large to keep and what he has not read is gone."""


class Recording:
    """Starts empty. The endpoint fills it through `take`; `end` lets the last piece out, which waits for what becomes of the answer.

    Args:
        request_id: of the request that makes the call.
        most_bytes: a longer answer is passed on and not kept.
    """

    def __init__(self, fingerprint: str, request_id: str, room: Room, *, most_bytes: int, tenant_id: str = "") -> None:
        self._tenant_id = tenant_id
        self.fingerprint = fingerprint
        self.request_id = request_id
        self.task: asyncio.Task[None] | None = None
        self.status = 0
        self.whole = True
        """Everything is still here, from the first byte on."""
        self.complete = False
        """All of a successful answer has come."""
        self.over = False
        self.interruptible = True
        """The endpoint may be at work; after it only moments are needed."""
        self._room = room
        self._most_bytes = most_bytes
        self._headers: tuple[Header, ...] = ()
        self._lines: list[Lines] = []
        self._pieces: list[bytes] = []
        self._dropped = 0
        self._bytes = 0
        self._charged = 0
        self._last: bytes | None = None
        self._error: BaseException | None = None
        self._readers: set[Reader] = set()
        self._kept = False
        self._news = asyncio.Event()
        self._drained = asyncio.Event()
        self._abandoned = asyncio.Event()

    # The endpoint's side -----------------------------------------------------------------------------------------------------------

    async def take(self, message: Message) -> None:
        """The endpoint's `send`."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = tuple(message.get("headers", ()))
            self._lines = list(message.get(EXTENSION, ()))
            return
        piece: bytes = message.get("body", b"")
        self._count(len(piece))
        if not message.get("more_body", False):
            self._last = piece
            self.complete = 200 <= self.status < 300 and not message.get(CUT, False)
            return
        if piece:
            self._pieces.append(piece)
            self._tell()
        if not self.whole:
            await self._make_room()

    async def hang_up(self) -> MutableMapping[str, Any]:
        """The endpoint's `receive`: it returns when nobody is left who wants the answer."""
        await self._abandoned.wait()
        return {"type": "http.disconnect"}

    @property
    def abandoned(self) -> bool:
        return self._abandoned.is_set()

    def is_abandoned(self) -> bool:
        """In the scope of the call: its caller is everybody who reads."""
        return self._abandoned.is_set()

    def load(self, answer: Answer) -> None:
        """Somebody else's answer, from where it was kept."""
        self.request_id = answer.request_id
        self.status, self._headers = answer.status, answer.headers
        self._last, self.complete = answer.body, True
        self._count(len(answer.body))
        for reader in self._readers:
            reader.made_it = False

    def answer(self) -> Answer:
        """All of it, once it is complete and whole."""
        return Answer(self.status, self._lasting(), self.request_id, b"".join((*self._pieces, self._last or b"")))

    def end(self, error: BaseException | None = None, *, kept: bool = False) -> None:
        """Nothing more comes. `error` is raised in every reader that has got nothing yet; a stream ends in an event that tells it."""
        self._kept = kept
        if self._last is not None:
            self._pieces.append(self._last)
            self._last = None
        elif error is not None and self._pieces and self._is_stream and isinstance(error, BourseError):
            self._pieces.append(b"data: " + dump_json(as_openai(error)) + b"\n\n")
        else:
            self._error = error or ConnectionError("the answer broke off")
        self.over = True
        self._tell()
        self._settle()

    def refuse(self, error: BourseError) -> None:
        """What the endpoint said last is not to be told; `error` is."""
        self._last, self.complete = None, False
        self.end(error)

    def forget(self) -> None:
        """It is not kept in memory any longer."""
        self._kept = False
        self._settle()

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return self._bytes

    @property
    def _is_stream(self) -> bool:
        return any(value.startswith(b"text/event-stream") for name, value in self._headers if name == b"content-type")

    def _count(self, count: int) -> None:
        self._bytes += count
        if self.whole and self._bytes <= self._most_bytes and self._room.take(self._tenant_id, count):
            self._charged += count
        else:
            self.whole = False

    async def _make_room(self) -> None:
        """Wait until the fastest reader has come near, and drop what he has read. Who is far behind him has lost the thread."""
        while self._readers and self._bytes - max(reader.read_bytes for reader in self._readers) > WINDOW_BYTES:
            self._drained.clear()
            await self._drained.wait()
        read_by_all = min((reader.at for reader in self._readers), default=self._dropped + len(self._pieces))
        read_by_one = max((reader.at for reader in self._readers), default=read_by_all)
        held, count = sum(map(len, self._pieces)), 0
        while count < len(self._pieces):
            number = self._dropped + count
            if number >= read_by_all and (number >= read_by_one or held <= WINDOW_BYTES):
                break
            held -= len(self._pieces[count])
            count += 1
        del self._pieces[:count]
        self._dropped += count
        if count:
            self._tell()

    # The readers' side -------------------------------------------------------------------------------------------------------------

    @property
    def joinable(self) -> bool:
        """Whether somebody who comes now gets all of it."""
        return not self._dropped and self._error is None and (self.over or not self.abandoned)

    def join(self, *, made_it: bool) -> Reader:
        reader = Reader(made_it=made_it)
        self._readers.add(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """The last who leaves before the end ends the call."""
        self._readers.discard(reader)
        self._drained.set()
        if not self._readers and not self.over:
            self._abandoned.set()
        self._settle()

    def hung_up(self, reader: Reader) -> None:
        reader.gone = True
        self._tell()

    def interrupt(self) -> None:
        """This process is ending, and so is the call."""
        if self.task is not None and self.interruptible:
            self.interruptible = False
            self.task.cancel()

    def start(self, reader: Reader) -> Message:
        """The answer's head, as this reader is told it."""
        message: Message = {"type": "http.response.start", "status": self.status}
        if reader.made_it:
            return {**message, "headers": self._headers, EXTENSION: self._lines}
        marks = ((b"idempotency-replayed", b"true"), (b"x-bourse-replay-of", self.request_id.encode("ascii")))
        return {**message, "headers": (*self._lasting(), *marks)}

    async def portion(self, reader: Reader) -> tuple[bytes, bool]:
        """What comes next for this reader, and whether it is the last; `advance` when he has taken it.

        Raises:
            TooSlow
            BaseException: what the endpoint raised, or what it was refused for.
        """
        while True:
            if reader.gone:
                return b"", True
            index = reader.at - self._dropped
            if index < 0:
                raise TooSlow
            if index < len(self._pieces):
                return self._portion_from(index, reader.offset)
            if self.over:
                if self._error is not None:
                    raise self._error
                return b"", True
            await self._news.wait()

    def _portion_from(self, index: int, offset: int) -> tuple[bytes, bool]:
        pieces = self._pieces
        first = pieces[index]
        if len(first) - offset > PORTION_BYTES:
            return first[offset : offset + PORTION_BYTES], False
        taken, size = [first[offset:] if offset else first], len(first) - offset
        index += 1
        while index < len(pieces) and size + len(pieces[index]) <= PORTION_BYTES:
            taken.append(pieces[index])
            size += len(pieces[index])
            index += 1
        is_last = self.over and self._error is None and index == len(pieces)
        return (taken[0] if len(taken) == 1 else b"".join(taken)), is_last

    def advance(self, reader: Reader, count: int) -> None:
        """The reader has taken so many bytes more."""
        reader.read_bytes += count
        count += reader.offset
        index = reader.at - self._dropped
        # A reader that was overtaken by `_make_room` meanwhile hears of it with its next portion.
        while 0 <= index < len(self._pieces) and count >= len(self._pieces[index]):
            count -= len(self._pieces[index])
            index += 1
        if index >= 0:
            reader.at, reader.offset = index + self._dropped, count
        if not self.whole:
            self._drained.set()

    def _tell(self) -> None:
        self._news.set()
        self._news.clear()

    def _settle(self) -> None:
        """The room that it took is free once nobody reads it and nothing keeps it."""
        if self.over and not self._readers and not self._kept and self._charged:
            self._room.give_back(self._tenant_id, self._charged)
            self._charged = 0

    def _lasting(self) -> tuple[Header, ...]:
        pairs = [*self._headers, *(pair for block in self._lines for pair in pairs_of(block))]
        return lasting(pairs)
