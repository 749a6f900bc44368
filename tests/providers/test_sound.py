"""How long a file plays: files as their formats describe them, lies, and damage."""

import struct
import wave
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.providers.sound import LEANEST_BITS, sound_of


def wav(seconds: float, *, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(round(seconds * rate) * channels * width))
    return file.getvalue()


def mp3(frames: int, *, tag: bytes = b"", id3: int = 0) -> bytes:
    """MPEG-2 layer III, 8 kbit/s, 24 kHz, mono: 24 bytes and 24 ms each."""
    head = b"ID3\x04\0\0" + bytes([0, 0, id3 >> 7, id3 & 127]) + bytes(id3) if id3 else b""
    first = (b"\xff\xf3\x14\xc4" + bytes(9) + tag).ljust(24, b"\0")
    return head + first + (b"\xff\xf3\x14\xc4" + bytes(20)) * (frames - 1)


def ogg(granule: int, packet: bytes) -> bytes:
    def page(at: int, data: bytes) -> bytes:
        return b"OggS\0\0" + struct.pack("<qIII", at, 1, 0, 0) + bytes([1, len(data)]) + data

    return page(0, packet) + page(granule, b"sound")


def opus(seconds: float) -> bytes:
    return ogg(round(seconds * 48_000) + 312, b"OpusHead\x01\x01" + struct.pack("<HIHB", 312, 16_000, 0, 0))


def vorbis(seconds: float) -> bytes:
    return ogg(round(seconds * 22_050), b"\x01vorbis" + struct.pack("<IBI", 0, 1, 22_050) + bytes(14))


def flac(seconds: float, rate: int = 44_100) -> bytes:
    packed = rate << 44 | 1 << 41 | 15 << 36 | round(seconds * rate)
    return b"fLaC\x80\0\0\x22" + bytes(10) + packed.to_bytes(8) + bytes(16) + b"frames"


def box(name: bytes, *inside: bytes) -> bytes:
    data = b"".join(inside)
    return struct.pack(">I4s", 8 + len(data), name) + data


def m4a(seconds: float, *, version: int = 0) -> bytes:
    facts = (
        struct.pack(">IIIIQ", 1 << 24, *(0, 0, 0), 0)[:4] + struct.pack(">QQIQ", 0, 0, 1000, round(seconds * 1000))
        if version
        else struct.pack(">IIIII", 0, 0, 0, 1000, round(seconds * 1000))
    )
    return box(b"ftyp", b"M4A \0\0\0\0") + box(b"free", bytes(100)) + box(b"moov", box(b"mvhd", facts, bytes(80))) + box(b"mdat", b"sound")


def element(name: str, data: bytes, *, size: bytes | None = None) -> bytes:
    return bytes.fromhex(name) + (size or (0x10000000 | len(data)).to_bytes(4)) + data


UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"


def webm(seconds: float | None) -> bytes:
    """With its duration, or as browsers record it: sizes unknown, and the time only in the blocks."""
    head = element("1A45DFA3", element("4282", b"webm"))
    info = element("2AD7B1", (1_000_000).to_bytes(3)) + (element("4489", struct.pack(">d", seconds * 1000)) if seconds else b"")
    first = element("1F43B675", element("E7", b"\0") + element("A3", b"\x81\0\0\x80sound"), size=UNKNOWN)
    later = element(
        "1F43B675", element("E7", (4000).to_bytes(2)) + element("A3", b"\x81" + struct.pack(">h", 500) + b"\x80x"), size=UNKNOWN
    )
    return head + element("18538067", element("1549A966", info) + first + later, size=UNKNOWN)


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        pytest.param(wav(2.5), 2.5, id="wav"),
        pytest.param(wav(2.5, rate=8_000, channels=2, width=3), 2.5, id="wav, stereo, 24 bits"),
        pytest.param(mp3(125), 3.0, id="mp3 of one rate"),
        pytest.param(mp3(125, id3=300), 3.0, id="mp3 behind an ID3 tag"),
        pytest.param(mp3(5, tag=b"Xing\0\0\0\1" + struct.pack(">I", 250)), 6.0, id="mp3 of a variable rate"),
        pytest.param(opus(4.25), 4.25, id="opus"),
        pytest.param(vorbis(1.5), 1.5, id="vorbis"),
        pytest.param(flac(7.0), 7.0, id="flac"),
        pytest.param(m4a(12.345), 12.345, id="m4a"),
        pytest.param(m4a(12.345, version=1), 12.345, id="m4a with long numbers"),
        pytest.param(webm(9.5), 9.5, id="webm"),
        pytest.param(webm(None), 4.5, id="webm of a browser"),
    ],
)
def test_a_file_says_how_long_it_plays(data: bytes, seconds: float) -> None:
    sound = sound_of(data)
    assert sound.seconds == pytest.approx(seconds)
    assert sound.most >= sound.likely == sound.seconds


def test_a_wav_cannot_play_longer_than_its_samples_whatever_its_header_says() -> None:
    data = bytearray(wav(10))
    data[40:44] = struct.pack("<I", 100)
    assert sound_of(bytes(data)).most == pytest.approx(10)
    data[40:44] = struct.pack("<I", 0xFFFFFFFF)
    assert sound_of(bytes(data)).seconds == pytest.approx(10)


@pytest.mark.parametrize(("at", "format", "value"), [(24, "<I", 2**31), (22, "<H", 60_000), (34, "<H", 60_000)])
def test_a_wav_that_claims_to_play_faster_than_anything_does_is_believed_nothing(at: int, format: str, value: int) -> None:
    data = bytearray(wav(10))
    struct.pack_into(format, data, at, value)
    sound = sound_of(bytes(data))
    assert sound.seconds is None
    assert sound.most > 10


def test_what_says_nothing_is_taken_for_speech_as_it_mostly_is_and_bounded_by_the_leanest_codec() -> None:
    sound = sound_of(b"?" * 8_000)
    assert (sound.seconds, sound.likely) == (None, 1.0)
    assert sound.most == 64_000 / LEANEST_BITS


def test_a_length_beyond_all_sense_is_none() -> None:
    assert sound_of(flac(400 * 3600, rate=40_000)).seconds is None
    assert sound_of(wav(1).replace(struct.pack("<I", 16_000), bytes(4), 1)).seconds is None


@given(st.sampled_from([wav(1), mp3(5), opus(1), vorbis(1), flac(1), m4a(1), webm(1), webm(None)]), st.data())
def test_damage_is_no_error_and_no_nonsense(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for at in draw.draw(st.lists(st.integers(0, min(len(data), 200) - 1), max_size=8)):
        damaged[at] = draw.draw(st.integers(0, 255))
    sound = sound_of(bytes(damaged[: draw.draw(st.integers(0, len(data)))]))
    assert sound.seconds is None or 0 <= sound.seconds <= sound.most


@given(
    st.binary(max_size=64),
    st.sampled_from([b"RIFF\0\0\0\0WAVE", b"OggS", b"fLaC", b"\0\0\0\x20ftyp", b"\x1a\x45\xdf\xa3", b"ID3", b"\xff"]),
)
def test_any_bytes_behind_a_known_beginning_are_looked_at(data: bytes, beginning: bytes) -> None:
    assert sound_of(beginning + data).most >= 0
