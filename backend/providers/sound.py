"""How long a sound file plays, read off its own header, and the most that a file of its size can play. Nothing is decoded.

wav (RFC 2361), mp3 (ISO 11172-3, and the Xing, Info and VBRI tags of variable rates), ogg (RFC 3533 with RFC 7845 and Vorbis I),
flac (RFC 9639), mp4 and m4a (ISO 14496-12), webm (RFC 9559). A header may lie or be damaged: whatever does not add up is "not known",
and looking takes some hundred steps at the most, however the file is made.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

LEANEST_BITS = 6_000
"""A second, of the leanest codec that is in use: Opus (RFC 6716, 2.1.1)."""
USUAL_BITS = 64_000
"""A second of speech in files that do not say how long they are."""
_STEPS = 512
_NEAR = 256 * 1024
"""How much of a file's beginning or end is searched."""
_MOST_SECONDS = 100 * 3600.0


class Sound(NamedTuple):
    """`seconds` is None where the file does not say. `most` is what a file of its kind and size can be; only one that was made to deceive
    plays longer."""

    seconds: float | None
    most: float

    @property
    def likely(self) -> float:
        """As it says, else as files of that size mostly are."""
        return self.seconds if self.seconds is not None else self.most * LEANEST_BITS / USUAL_BITS


def sound_of(data: bytes) -> Sound:
    """What is known of a file."""
    most = len(data) * 8 / LEANEST_BITS
    seconds: float | None = None
    try:
        if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
            seconds, exact = _wav(data)
            most = exact or most
        elif data[:4] == b"OggS":
            seconds = _ogg(data)
        elif data[:4] == b"fLaC":
            seconds = _flac(data)
        elif data[4:8] == b"ftyp":
            seconds = _mp4(data)
        elif data[:4] == b"\x1a\x45\xdf\xa3":
            seconds = _webm(data)
        elif (found := _mp3(data)) is not None:
            seconds, most = found
    except (struct.error, IndexError, ZeroDivisionError, OverflowError):
        seconds = None
    if seconds is not None and not 0 <= seconds <= _MOST_SECONDS:
        seconds = None
    return Sound(seconds, max(most, seconds or 0.0))


_PLAIN_WAV = frozenset({1, 3, 6, 7, 0xFFFE})
"""One sample after another: PCM, floats, the two of telephony, and those with a longer header."""


_FASTEST_WAV = 384_000
_MOST_CHANNELS = 32
_MOST_BITS = 64


def _wav(data: bytes) -> tuple[float | None, float | None]:
    rate = 0.0
    is_plain = False
    at = 12
    for _ in range(_STEPS):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        at += 8
        if name == b"fmt ":
            kind, channels, samples, told, _, bits = struct.unpack_from("<HHIIHH", data, at)
            is_plain = kind in _PLAIN_WAV
            if samples > _FASTEST_WAV or channels > _MOST_CHANNELS or bits > _MOST_BITS:
                return None, None  # nothing sounds so: who believed it would take an hour for a moment
            rate = samples * channels * bits / 8 if is_plain else told
        elif name == b"data":
            rest = len(data) - at
            # Who streams a file writes its length before it is known.
            size = min(size, rest) if 0 < size < 0xFFFFFF00 else rest
            return size / rate, (rest / rate if is_plain else None)
        at += size + size % 2
    return None, None


_MP3_BITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3(data: bytes) -> tuple[float | None, float] | None:
    at = 0
    if data[:3] == b"ID3":
        at = 10 + (data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9])
    end = min(len(data) - 4, at + _NEAR)
    head = None
    for _ in range(_STEPS):
        at = data.find(b"\xff", at, end)
        head = _mp3_frame(data, at) if at >= 0 else None
        if head is not None or at < 0:
            break
        at += 1
    if head is None:
        return None
    is_first, is_mono, bits, rate = head
    rest, samples = len(data) - at, 1152 if is_first else 576
    most = rest * 8 / (_MP3_BITS[is_first][1] * 1000)
    tag = at + 4 + ((17 if is_mono else 32) if is_first else (9 if is_mono else 17))
    if data[tag : tag + 4] in (b"Xing", b"Info") and data[tag + 7] & 1:
        return struct.unpack_from(">I", data, tag + 8)[0] * samples / rate, most
    if data[at + 36 : at + 40] == b"VBRI":
        return struct.unpack_from(">I", data, at + 50)[0] * samples / rate, most
    return rest * 8 / (bits * 1000), most


def _mp3_frame(data: bytes, at: int) -> tuple[bool, bool, int, int] | None:
    """Whether it is MPEG-1, whether it is mono, kilobits a second and samples a second, of a header of layer III; None: it is none."""
    second, third = data[at + 1], data[at + 2]
    version = second >> 3 & 3
    if second & 0xE0 != 0xE0 or second >> 1 & 3 != 1 or version == 1 or third >> 2 & 3 == 3:
        return None
    bits = _MP3_BITS[version == 3][third >> 4]
    return (version == 3, data[at + 3] >> 6 == 3, bits, _MP3_RATES[version][third >> 2 & 3]) if bits else None


def _ogg(data: bytes) -> float | None:
    first = 27 + data[26]
    packet = data[first : first + 64]
    skipped = 0
    if packet[:8] == b"OpusHead":
        rate, skipped = 48_000, struct.unpack_from("<H", packet, 10)[0]
    elif packet[:7] == b"\x01vorbis":
        rate = struct.unpack_from("<I", packet, 12)[0]
    elif packet[:8] == b"Speex   ":
        rate = struct.unpack_from("<I", packet, 36)[0]
    elif packet[:5] == b"\x7fFLAC":
        rate = _flac_rate(packet, 9)[0]
    else:
        return None
    last = data.rfind(b"OggS", max(0, len(data) - _NEAR))
    played = struct.unpack_from("<q", data, last + 6)[0] - skipped if last >= 0 else -1
    return played / rate if played >= 0 else None


def _flac(data: bytes) -> float | None:
    rate, samples = _flac_rate(data, 0)
    return samples / rate if samples else None


def _flac_rate(data: bytes, at: int) -> tuple[int, int]:
    """Samples a second and in all; 0 = not known. The first block is the one with these facts."""
    packed = int.from_bytes(data[at + 18 : at + 26])
    return packed >> 44, packed & 0xFFFFFFFFF


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of what each box holds."""
    for _ in range(_STEPS):
        if at + 8 > end:
            return
        size, begin = struct.unpack_from(">I", data, at)[0], at + 8
        if size == 1:
            size, begin = struct.unpack_from(">Q", data, at + 8)[0], at + 16
        until = end if size == 0 else at + size
        if until < begin:
            return
        yield data[at + 4 : at + 8], begin, min(until, end)
        at = until


def _mp4(data: bytes) -> float | None:
    for name, begin, end in _boxes(data, 0, len(data)):
        if name == b"moov":
            scale, played = 0, 0
            for inner, at, until in _boxes(data, begin, end):
                if inner == b"mvhd":
                    scale, played = struct.unpack_from(">IQ" if data[at] == 1 else ">II", data, at + (20 if data[at] == 1 else 12))
                elif inner == b"mvex" and not played:
                    # In fragments: the whole is told apart.
                    for deep, place, _ in _boxes(data, at, until):
                        if deep == b"mehd":
                            played = struct.unpack_from(">Q" if data[place] == 1 else ">I", data, place + 4)[0]
            return played / scale if played else None
    return None


def _elements(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Id, begin and end of what each element holds; one of unknown size goes to the end."""
    for _ in range(_STEPS):
        if at >= end:
            return
        width = 9 - data[at].bit_length()
        name, at = int.from_bytes(data[at : at + width]), at + width
        width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
        begin = at + width
        at = end if size == (1 << 7 * width) - 1 else begin + size
        yield name, begin, min(at, end)


def _webm(data: bytes) -> float | None:
    for name, begin, end in _elements(data, 0, len(data)):
        if name != 0x18538067:  # Segment
            continue
        scale, played = 1_000_000, 0.0
        for inner, at, until in _elements(data, begin, end):
            if inner == 0x1549A966:  # Info
                for fact, place, last in _elements(data, at, until):
                    if fact == 0x2AD7B1:
                        scale = int.from_bytes(data[place:last])
                    elif fact == 0x4489:
                        played = struct.unpack_from(">d" if last - place == 8 else ">f", data, place)[0]
                return (played or _last_block(data)) * scale / 1e9 or None
    return None


def _last_block(data: bytes) -> int:
    """When the last thing begins, in the file's own ticks: recordings of browsers do not say how long they are."""
    cluster = data.rfind(b"\x1f\x43\xb6\x75", max(0, len(data) - 4 * _NEAR))
    if cluster < 0:
        return 0
    # Unknown sizes are usual here, so the element itself is read as if it went to the end.
    width = 9 - data[cluster + 4].bit_length()
    start = last = 0
    for name, begin, end in _elements(data, cluster + 4 + width, len(data)):
        if name == 0xE7:
            start = int.from_bytes(data[begin:end])
        elif name == 0xA3:
            last = max(last, struct.unpack_from(">h", data, begin + (9 - data[begin].bit_length()))[0])
    return start + last
