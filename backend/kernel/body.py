"""Reading a request body within limits of size and time, before anything looks at it."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from backend.kernel.errors import BadRequest, RequestTimeout, RequestTooLarge, UnsupportedEncoding
from backend.kernel.request import Scope, header

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_BODY_BYTES = 20 * 1024 * 1024
IDLE_SECONDS = 15.0
_WINDOW_BITS = {"gzip": 31, "deflate": 15}


class ClientDisconnected(Exception):
    """The caller went away while it was sending; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, *, max_bytes: int = MAX_BODY_BYTES, idle_seconds: float = IDLE_SECONDS) -> bytes:
    """The whole body, decoded.

    Raises:
        RequestTooLarge: more than `max_bytes` announced, received, or after decoding; nothing beyond the limit is kept.
        RequestTimeout: no progress for `idle_seconds`.
        UnsupportedEncoding: a content encoding other than identity, gzip or deflate.
        BadRequest: the encoded data is damaged, or Content-Length is no number.
        ClientDisconnected: the caller hung up.
    """
    announced = header(scope, b"content-length")
    if announced is not None:
        if not announced.isdecimal():
            raise BadRequest("Content-Length is not a number.")
        if len(announced) > 12 or int(announced) > max_bytes:
            raise _too_large(max_bytes)
    encoding = (header(scope, b"content-encoding") or "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding("Content-Encoding must be identity, gzip or deflate.")
    decoder = zlib.decompressobj(_WINDOW_BITS[encoding]) if encoding in _WINDOW_BITS else None

    first = b""
    chunks: list[bytes] = []
    size = received = 0  # after decoding, and on the wire: blocks that decode to nothing must not go on for ever
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(f"The request body made no progress for {idle_seconds:g} seconds.") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        data: bytes = message.get("body", b"")
        received += len(data)
        if received > max_bytes:
            raise _too_large(max_bytes)
        if decoder is not None and data:
            try:
                data = decoder.decompress(data, max_bytes + 1 - size)
            except zlib.error:
                raise BadRequest("The request body is not valid compressed data.") from None
            if decoder.unconsumed_tail:
                raise _too_large(max_bytes)
            if decoder.unused_data:
                raise BadRequest("The compressed request body goes on after its end.")
        size += len(data)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not first:
            first = data
        elif data:
            chunks.append(data)
        if not message.get("more_body", False):
            break
    if decoder is not None and not decoder.eof and size:
        raise BadRequest("The compressed request body is cut short.")
    return first if not chunks else b"".join((first, *chunks))


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is larger than {max_bytes // (1024 * 1024)} MiB.")
