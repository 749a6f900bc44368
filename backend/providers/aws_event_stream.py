"""Amazon's binary event stream, `application/vnd.amazon.eventstream`, cut anywhere, into whole messages; no I/O.

    total length | length of headers | CRC of those two | headers | payload | CRC of all before       lengths and CRCs are 32 bits
    header: length of name (8 bits) | name | type (8 bits) | value, texts and bytes after their length (16 bits)

A stream of which one byte is wrong is given up: where the next message begins is not known any more.
Source: smithy.io/2.0/aws/amazon-eventstream.html.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""A message of Bedrock's is at most some 1.4 MB: a million bytes in base64."""
MAX_HEADER_BYTES = 128 * 1024
_PRELUDE = struct.Struct("!III")
_CRC = struct.Struct("!I")
_LENGTH = struct.Struct("!H")
_SHORTEST = _PRELUDE.size + _CRC.size
_TEXT = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Of the values of each type that has one: true, false, byte, short, integer, long, timestamp, UUID."""
_FIELDS = (6, _TEXT)
"""Bytes and texts, which begin with their length."""
_OFTEN_SEEN_BYTES = 256


class _BrokenError(Exception):
    """Where the next message begins is not known any more."""


class Message(NamedTuple):
    headers: Mapping[str, str]
    """Those whose value is a text."""
    payload: bytes


class EventStreamReader:
    """Feed bytes in order, get each message once it is whole. `broken` says in words why nothing more can come; "" while all is well."""

    __slots__ = ("_buffer", "_wanted", "broken")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = _PRELUDE.size
        """So many bytes are needed to go on: a prelude, or the whole message whose prelude was read."""
        self.broken = ""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete, up to where the stream is broken."""
        found: list[Message] = []
        if self.broken:
            return found
        buffer, start = self._buffer, 0
        buffer += data
        try:
            while len(buffer) - start >= self._wanted:
                total, headers, crc = _PRELUDE.unpack_from(buffer, start)
                if self._wanted == _PRELUDE.size:
                    self._wanted = _checked(total, headers, crc, bytes(buffer[start : start + 8]))
                else:
                    found.append(_message(buffer, start, total, headers))
                    start += total
                    self._wanted = _PRELUDE.size
        except _BrokenError as broken:
            self.broken = str(broken)
            start = len(buffer)
        del buffer[:start]
        return found


def _checked(total: int, headers: int, crc: int, lengths: bytes) -> int:
    """The length of a message, before anything more of it is held."""
    if crc32(lengths) != crc:
        raise _BrokenError("a damaged event stream")
    if headers > MAX_HEADER_BYTES or not _SHORTEST + headers <= total <= MAX_MESSAGE_BYTES:
        raise _BrokenError("an event of an impossible length")
    return total


def _message(buffer: bytearray, start: int, total: int, headers: int) -> Message:
    end = start + total - _CRC.size
    with memoryview(buffer) as view:
        if crc32(view[start:end]) != _CRC.unpack_from(buffer, end)[0]:
            raise _BrokenError("a damaged event stream")
        first = start + _PRELUDE.size
        block = bytes(view[first : first + headers])
        payload = bytes(view[first + headers : end])
    return Message(_often_seen(block) if headers <= _OFTEN_SEEN_BYTES else _headers(block), payload)


def _headers(block: bytes) -> Mapping[str, str]:
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            name, kind = block[at + 1 : name_end].decode(), block[name_end]
            at = name_end + 1
            if kind in _FIELDS:
                at += _LENGTH.size
                size = _LENGTH.unpack_from(block, at - _LENGTH.size)[0]
            else:
                size = _SIZES[kind]
            if at + size > len(block):
                raise _BrokenError("headers that cannot be read")
            if kind == _TEXT:
                found[name] = block[at : at + size].decode()
            at += size
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise _BrokenError("headers that cannot be read") from None
    return found


_often_seen = lru_cache(maxsize=256)(_headers)
"""The events of one kind have the same headers."""
