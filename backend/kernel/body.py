"""Reading a request body within limits of size and time, before anything looks at it."""

import asyncio
import zlib
from collections.abc import Iterator

from backend.kernel.errors import BadRequest, RequestTimeout, RequestTooLarge, UnsupportedEncoding
from backend.kernel.request import Receive, Scope, header

MAX_BODY_BYTES = 20 * 1024 * 1024
IDLE_SECONDS = 15.0
PROGRESS_BYTES = 16 * 1024
"""What has to come within that time, unless the body ends: a byte now and then is no progress."""
_PIECE_BYTES = 1024 * 1024
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class ClientDisconnected(Exception):
    """The caller went away while it was sending; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, *, max_bytes: int = MAX_BODY_BYTES, idle_seconds: float = IDLE_SECONDS) -> bytes:
    """The whole body, decoded.

    Raises:
        RequestTooLarge: more than `max_bytes` announced, received, or after decoding; nothing beyond the limit is kept.
        RequestTimeout: less than `PROGRESS_BYTES` in `idle_seconds`.
        UnsupportedEncoding: a content encoding other than identity, gzip or deflate.
        BadRequest: the encoded data is damaged, or Content-Length is no number.
        ClientDisconnected: the caller hung up.
    """
    at_hand: bytes | None = scope.get("bourse.body")
    announced = header(scope, b"content-length") if at_hand is None else None
    if announced is not None:
        if not announced.isdecimal():
            raise BadRequest("Content-Length is not a number.")
        if len(announced) > 12 or int(announced) > max_bytes:
            raise _too_large(max_bytes)
    encoding = (header(scope, b"content-encoding") or "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding("Content-Encoding must be identity, gzip or deflate.")
    decoder = zlib.decompressobj(_WINDOW_BITS[encoding]) if encoding in _WINDOW_BITS else None

    whole = b""  # the usual body comes in one piece and is not copied
    rest: list[bytearray] = []  # blocks, for one buffer that grows to the limit is copied as it grows and takes twice the limit
    length = 0
    received = 0  # on the wire: blocks that decode to nothing must not go on for ever
    progress, until = 0, None if at_hand is not None else asyncio.get_running_loop().time() + idle_seconds
    while True:
        if until is None:
            # Our server has it already (most bodies come with their head): no timer and nothing to wait for, 5 µs less.
            data, more = at_hand or b"", False
        else:
            data, more = await _next_piece(receive, until, idle_seconds)
            progress += len(data)
            if progress >= PROGRESS_BYTES:
                progress, until = 0, asyncio.get_running_loop().time() + idle_seconds
        received += len(data)
        if received > max_bytes:
            raise _too_large(max_bytes)
        for piece in (data,) if decoder is None else _decode(decoder, data):
            length += len(piece)
            if length > max_bytes:
                raise _too_large(max_bytes)
            if not whole:
                whole = piece
                continue
            if not rest or len(rest[-1]) >= _PIECE_BYTES:
                rest.append(bytearray())
            rest[-1] += piece
        if not more:
            break
    if decoder is not None and not decoder.eof and received:
        raise BadRequest("The compressed request body is cut short.")
    return b"".join((whole, *rest)) if rest else whole


async def _next_piece(receive: Receive, until: float, idle_seconds: float) -> tuple[bytes, bool]:
    """What comes next, and whether more will."""
    try:
        async with asyncio.timeout_at(until):
            message = await receive()
    except TimeoutError:
        raise RequestTimeout(f"The request body made no progress for {idle_seconds:g} seconds.") from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    return message.get("body", b""), message.get("more_body", False)


def _decode(decoder: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """What the data unpacks to, a MiB at a time, so that whoever counts can stop."""
    while data:
        try:
            yield decoder.decompress(data, _PIECE_BYTES)
        except zlib.error:
            raise BadRequest("The request body is not valid compressed data.") from None
        if decoder.unused_data:
            raise BadRequest("The compressed request body goes on after its end.")
        data = decoder.unconsumed_tail


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than {max_bytes // (1024 * 1024)} MiB.")
