"""The body of a provider's event stream without a socket: these pieces, and then its end or a broken connection."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from backend.providers.failures import UpstreamFailure, reset_failure


def cut_at(wire: bytes, places: Iterable[int]) -> list[bytes]:
    """The bytes in pieces; places beyond the end are the end."""
    return [wire[start:end] for start, end in pairwise([0, *sorted({min(place, len(wire)) for place in places}), len(wire)])]


class CutStream:
    """Reads as `EventBytes` does."""

    def __init__(self, name: str, pieces: list[bytes], *, breaks: bool = False) -> None:
        self._name = name
        self._pieces = list(filter(None, pieces))
        self._breaks = breaks

    async def read(self) -> bytes:
        if not self._pieces and self._breaks:
            raise reset_failure(self._name)
        return self._pieces.pop(0) if self._pieces else b""


async def read_to_end(stream: Any) -> bytes:
    """Everything that comes before the end or the break."""
    out = b""
    try:
        while data := await stream.read():
            out += data
    except UpstreamFailure:
        pass
    return out
