"""Server-sent events of a streamed response: `event:` line, `data:` line, numbered."""

from typing import Any

import orjson


class Events:
    """Numbers the events of one stream and gathers those that go out together."""

    __slots__ = ("_number", "_out")

    def __init__(self) -> None:
        self._number = 0
        self._out: list[bytes] = []

    def add(self, kind: str, **fields: Any) -> None:
        body = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        self._out.append(b"event: %b\ndata: %b\n\n" % (kind.encode("ascii"), body))

    def delta(self, head: bytes, place: bytes, text: str, rest: bytes) -> None:
        """One of many of the same kind, most of which is the same in all: see `delta_head` and `delta_place`."""
        number = self._number
        self._number = number + 1
        self._out.append(b"%b%d%b%b%b" % (head, number, place, orjson.dumps(text), rest))

    def taken(self) -> bytes:
        """What has been added since the last time."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)


def delta_head(kind: bytes) -> bytes:
    """The beginning of an event, up to its number."""
    return b'event: %b\ndata: {"type":"%b","sequence_number":' % (kind, kind)


def delta_place(**fields: Any) -> bytes:
    """What stands between the number and the text."""
    return b"," + orjson.dumps(fields)[1:-1] + b',"delta":'


DELTA_END = b"}\n\n"
