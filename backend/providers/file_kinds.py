"""What a file is by its first bytes. Its name and its type are words of whoever sent it."""

_PICTURES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
_SOUNDS = (
    (b"ID3", "audio/mp3"), (b"\xff\xfb", "audio/mp3"), (b"\xff\xf3", "audio/mp3"), (b"\xff\xf2", "audio/mp3"), (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"), (b"FORM", "audio/aiff"), (b"\x1a\x45\xdf\xa3", "audio/webm"), (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
)  # fmt: skip


def picture_type(data: bytes) -> str | None:
    """Of PNG, JPEG, GIF and WebP; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _PICTURES if data.startswith(start)), None)


def sound_type(data: bytes) -> str | None:
    """Of wav, mp3, ogg, flac, aac, mp4, webm and aiff; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    if data[4:8] == b"ftyp":
        return "audio/mp4"
    return next((kind for start, kind in _SOUNDS if data.startswith(start)), None)
