"""The binary event stream: every cut gives the same messages, every damage is noticed, no length that is claimed is believed."""

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.providers.aws_event_stream import MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, EventStreamReader, Message
from tests.fakes.bedrock_upstream import encoded
from tests.fakes.cut_stream import cut_at

# Published with the encoding's specification.
EMPTY = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")
PAYLOAD = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96"
ONE_HEADER = b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1"
EVERY_TYPE = (
    b"\x00\x00\x00\x62\x00\x00\x00\x52\x03\xb5\xcb\x9c\x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03\x014\x04\x00\x00\x00\x04"
    b"\x015\x05\x00\x00\x00\x00\x00\x00\x00\x05\x016\x06\x00\x05bytes\x017\x07\x00\x04utf8\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08"
    b"\x019\x090123456789abcdef\x63\x35\x36\x71"
)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
MESSAGES = st.lists(st.tuples(st.dictionaries(TEXTS, TEXTS, max_size=4), st.binary(max_size=60)), max_size=5)
CUTS = st.lists(st.integers(0, 2000), max_size=12)


def read(wire: bytes, cuts: list[int]) -> tuple[list[Message], str]:
    reader = EventStreamReader()
    found = [one for piece in cut_at(wire, cuts) for one in reader.feed(piece)]
    return found, reader.broken


@pytest.mark.parametrize(
    ("wire", "headers", "payload"),
    [
        pytest.param(EMPTY, {}, b"", id="empty"),
        pytest.param(PAYLOAD, {}, b"{'foo':'bar'}", id="payload"),
        pytest.param(ONE_HEADER, {"content-type": "application/json"}, b"{'foo':'bar'}", id="one header"),
        pytest.param(EVERY_TYPE, {"7": "utf8"}, b"", id="headers of every type"),
    ],
)
def test_published_messages(wire: bytes, headers: dict[str, str], payload: bytes) -> None:
    assert read(wire, []) == ([Message(headers, payload)], "")
    assert read(wire * 3, [5, 20, 21]) == ([Message(headers, payload)] * 3, "")


def test_the_fake_server_writes_the_published_bytes() -> None:
    assert encoded({}, b"") == EMPTY
    assert encoded({"content-type": "application/json"}, b"{'foo':'bar'}") == ONE_HEADER


@settings(max_examples=40)
@given(messages=MESSAGES, cuts=CUTS)
def test_any_cut_gives_the_same_messages(messages: list[tuple[dict[str, str], bytes]], cuts: list[int]) -> None:
    wire = b"".join(encoded(headers, payload) for headers, payload in messages)
    assert read(wire, cuts) == ([Message(headers, payload) for headers, payload in messages], "")


def check_damage(messages: list[tuple[dict[str, str], bytes]], at: int, mask: int, cuts: list[int]) -> None:
    pieces = [encoded(headers, payload) for headers, payload in messages]
    wire = bytearray(b"".join(pieces))
    at %= len(wire)
    wire[at] ^= mask
    found, broken = read(bytes(wire), cuts)
    good, start = [], 0
    for piece, (headers, payload) in zip(pieces, messages, strict=True):
        start += len(piece)
        if start > at:
            break
        good.append(Message(headers, payload))
    assert found == good
    assert broken


damage = given(messages=MESSAGES.filter(bool), at=st.integers(0, 5000), mask=st.integers(1, 255), cuts=CUTS)


@settings(max_examples=40)
@damage
def test_a_byte_that_is_wrong_is_noticed_and_what_came_before_it_is_kept(
    messages: list[tuple[dict[str, str], bytes]], at: int, mask: int, cuts: list[int]
) -> None:
    check_damage(messages, at, mask, cuts)


@settings(max_examples=40)
@given(wire=st.binary(max_size=300), cuts=CUTS)
def test_any_bytes_are_read_to_their_end(wire: bytes, cuts: list[int]) -> None:
    found, broken = read(wire, cuts)
    assert (found, broken) == read(wire, [])


def prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack("!II", total, headers)
    return lengths + struct.pack("!I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers"),
    [(2**32 - 1, 0), (MAX_MESSAGE_BYTES + 1, 0), (MAX_MESSAGE_BYTES, MAX_HEADER_BYTES + 1), (15, 0), (0, 0), (40, 30), (16, 2**32 - 1)],
)
def test_a_length_that_cannot_be_is_refused_before_anything_of_it_is_held(total: int, headers: int) -> None:
    reader = EventStreamReader()
    assert reader.feed(prelude(total, headers)) == []
    assert reader.broken
    reader.feed(b"x" * 1_000_000)
    assert len(reader._buffer) == 0


@pytest.mark.parametrize(
    "block",
    [b"\xff", b"\x01a", b"\x01a\x07", b"\x01a\x07\x00\x05abc", b"\x01a\x0a", b"\x01a\x05\x00", b"\x01\xff\x00", b"\x01a\x07\x00\x01\xff"],
)
def test_headers_that_cannot_be_read_break_the_stream(block: bytes) -> None:
    wire = prelude(16 + len(block), len(block)) + block
    wire += struct.pack("!I", zlib.crc32(wire))
    assert read(wire, []) == ([], "headers that cannot be read")


def test_a_long_message_in_small_pieces_costs_its_length_only() -> None:
    wire = encoded({":event-type": "chunk"}, b"x" * 1_400_000)
    reader = EventStreamReader()
    found = [one for at in range(0, len(wire), 1000) for one in reader.feed(wire[at : at + 1000])]
    assert [len(one.payload) for one in found] == [1_400_000]
    assert len(reader._buffer) == 0
