"""Reading a body within limits (case C4): size before and after decoding, time without progress, encodings."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterable
from typing import Any

import pytest

from backend.kernel.body import MAX_BODY_BYTES, PROGRESS_BYTES, ClientDisconnected, read_body
from backend.kernel.errors import BadRequest, RequestTimeout, RequestTooLarge, UnsupportedEncoding

MIB = 1024 * 1024


class Sender:
    """The server's side of `receive`: hands out chunks and counts what was taken; after the last one it ends, hangs up or stays silent."""

    def __init__(self, chunks: Iterable[bytes], *, then: str = "end") -> None:
        self._chunks = iter(chunks)
        self._then = then
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        chunk = next(self._chunks, None)
        if chunk is not None:
            self.taken += len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": True}
        if self._then == "silence":
            await asyncio.Event().wait()
        if self._then == "hang up":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


def scope(**headers: str) -> dict[str, Any]:
    return {"type": "http", "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]}


async def test_a_body_in_pieces_is_put_together() -> None:
    assert await read_body(scope(), Sender([b"", b"one ", b"", b"two ", b"three"])) == b"one two three"


async def test_a_body_of_exactly_the_limit_is_welcome_and_one_byte_more_is_not() -> None:
    assert len(await read_body(scope(), Sender([b"x" * MAX_BODY_BYTES]))) == 20 * MIB
    with pytest.raises(RequestTooLarge):
        await read_body(scope(), Sender([b"x" * MAX_BODY_BYTES, b"x"]))


@pytest.mark.case("C4")
async def test_an_announced_length_beyond_the_limit_is_refused_before_a_byte_is_read() -> None:
    for announced in (str(MAX_BODY_BYTES + 1), "9" * 40):
        sender = Sender([b"x"])
        with pytest.raises(RequestTooLarge):
            await read_body(scope(content_length=announced), sender)
        assert sender.taken == 0


@pytest.mark.case("C4")
async def test_a_body_without_length_is_cut_off_at_the_limit() -> None:
    sender = Sender(b"x" * MIB for _ in range(1000))
    with pytest.raises(RequestTooLarge):
        await read_body(scope(transfer_encoding="chunked"), sender)
    assert sender.taken <= MAX_BODY_BYTES + MIB


@pytest.mark.case("C4")
async def test_a_length_that_lies_small_does_not_help() -> None:
    with pytest.raises(RequestTooLarge):
        await read_body(scope(content_length="10"), Sender(b"x" * MIB for _ in range(1000)))


@pytest.mark.parametrize("length", ["", "-1", "1.5", "0x10", "1e3", "ten", "1, 1"])
async def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(BadRequest):
        await read_body(scope(content_length=length), Sender([b"x"]))


@pytest.mark.parametrize(("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZip", gzip.compress)])
async def test_compressed_bodies_are_decoded_in_any_slices(encoding: str, encode: Any) -> None:
    body = b'{"model": "sandbox/chat"}' * 1000
    packed = encode(body)
    assert await read_body(scope(content_encoding=encoding), Sender([packed])) == body
    assert await read_body(scope(content_encoding=encoding), Sender(bytes([byte]) for byte in packed)) == body


@pytest.mark.case("C4")
async def test_a_compressed_bomb_is_refused_without_being_unpacked() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(b"\0" * MIB) for _ in range(1000)) + packer.flush()
    assert len(bomb) < 2 * MIB
    tracemalloc.start()
    with pytest.raises(RequestTooLarge):
        await read_body(scope(content_encoding="gzip"), Sender([bomb]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * MIB


@pytest.mark.case("C4")
async def test_blocks_that_unpack_to_nothing_do_not_go_on_for_ever() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(b"x") + packer.flush(zlib.Z_FULL_FLUSH)
    nothing = packer.flush(zlib.Z_FULL_FLUSH) or b"\x00\x00\x00\xff\xff"
    sender = Sender([start, *(nothing * 100_000 for _ in range(1000))])
    with pytest.raises(RequestTooLarge):
        await read_body(scope(content_encoding="gzip"), sender)
    assert sender.taken < MAX_BODY_BYTES + MIB


@pytest.mark.case("C4")
async def test_bytes_after_the_end_of_compressed_data_are_refused_at_once() -> None:
    sender = Sender([gzip.compress(b"{}"), *(b"x" * MIB for _ in range(1000))])
    with pytest.raises(BadRequest, match="after its end"):
        await read_body(scope(content_encoding="gzip"), sender)
    assert sender.taken <= 2 * MIB


async def test_damaged_and_cut_compressed_data_is_a_bad_request() -> None:
    with pytest.raises(BadRequest):
        await read_body(scope(content_encoding="gzip"), Sender([b"this is not gzip"]))
    with pytest.raises(BadRequest, match="cut short"):
        await read_body(scope(content_encoding="gzip"), Sender([gzip.compress(b"x" * 1000)[:-9]]))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "x"])
async def test_other_encodings_are_not_supported(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        await read_body(scope(content_encoding=encoding), Sender([b"x"]))


async def test_a_sender_that_goes_silent_is_a_timeout() -> None:
    with pytest.raises(RequestTimeout):
        await read_body(scope(), Sender([b"half a "], then="silence"), idle_seconds=0.05)


async def test_a_sender_that_hangs_up_leaves_nobody_to_answer() -> None:
    with pytest.raises(ClientDisconnected):
        await read_body(scope(), Sender([b"half a "], then="hang up"))


async def test_a_body_that_the_server_has_already_is_held_to_the_same_limits() -> None:
    async def never() -> dict[str, Any]:
        raise AssertionError("nobody has to be asked")

    packed = gzip.compress(b"hello")
    assert await read_body({"headers": [], "bourse.body": b"hello"}, never) == b"hello"
    assert await read_body({"headers": [(b"content-encoding", b"gzip")], "bourse.body": packed}, never) == b"hello"
    with pytest.raises(RequestTooLarge):
        await read_body({"headers": [], "bourse.body": b"hello"}, never, max_bytes=4)
    with pytest.raises(BadRequest):
        await read_body({"headers": [(b"content-encoding", b"gzip")], "bourse.body": packed[:-4]}, never)


@pytest.mark.case("C2")
async def test_a_byte_now_and_then_is_no_progress_and_a_slow_line_is() -> None:
    class Slow(Sender):
        async def __call__(self) -> dict[str, Any]:
            await asyncio.sleep(0.1)
            return await super().__call__()

    with pytest.raises(RequestTimeout):
        await read_body(scope(), Slow([b"x"] * 1000), idle_seconds=0.2)
    pieces = [b"x" * PROGRESS_BYTES] * 15
    assert len(await read_body(scope(), Slow(pieces), idle_seconds=1.0)) == 15 * PROGRESS_BYTES
