"""Upper bounds of the tokens of what is not text: images by their size and detail, sound and files by their bytes."""

import base64
import binascii
import struct
from collections.abc import Mapping
from math import ceil
from typing import Any

from backend.gateway.token_families import Images

_HEAD_CHARACTERS = 262_144
"""Base64 that is looked at to find an image's size; in a JPEG it can lie behind a preview and a color profile."""
_LOW_DETAIL = 85
_SOUND_BYTES_PER_TOKEN = 16
"""The leanest codecs need 750 bytes a second, the hungriest model takes 32 tokens a second."""

_TEXTS = frozenset({
    "text", "input_text", "output_text", "refusal", "thinking", "redacted_thinking", "reasoning", "tool_use", "tool_result", "tool_call",
})  # fmt: skip
"""Parts that hold what they say; a link in them is not followed. What is nested in a tool's result is looked at by itself."""
_POINTERS = ("url", "uri", "id")

Size = tuple[int, int]


def image_tokens(images: Images, url: str | None, detail: str | None) -> int:
    """The most that an image can count. A `data:` URL tells its size; whatever else there is is the largest that the model takes."""
    if images.rule == "tiles" and detail == "low":
        return max(images.base, _LOW_DETAIL)
    size = image_size(url) if url is not None and images.rule != "any" else None
    if size is None or detail not in (None, "auto", "high", "low"):
        return images.most
    width, height = size
    if images.rule == "tiles":
        return min(images.most, images.base + images.each * _tiles(width, height))
    if images.rule == "patches":
        return min(images.most, ceil(min(1536, ceil(width / 32) * ceil(height / 32)) * images.each / 100))
    return min(images.most, ceil(width * height / images.each) + 8)


def _tiles(width: int, height: int) -> int:
    """512-px tiles after fitting into 2048 px and bringing the shorter side to 768 px, small images too."""
    scale = min(1.0, 2048 / max(width, height))
    scale *= 768 / (min(width, height) * scale)
    return min(8, ceil(width * scale / 512) * ceil(height * scale / 512))


def sound_tokens(data: Any, whole_context: int) -> int:
    """The most that sound can count: base64, plain or in a `data:` URL. One that is elsewhere fills the context."""
    if not isinstance(data, str) or "://" in data[:64]:
        return whole_context
    return min(whole_context, len(data) * 3 // 4 // _SOUND_BYTES_PER_TOKEN + 64)


def image_size(url: str) -> Size | None:
    """Width and height of a PNG, GIF, WebP or JPEG in a `data:` URL or plain base64; None where they are not found."""
    head = url[:64]
    if head.startswith("data:"):
        comma = url.find(",", 0, 256)
        if comma < 0 or ";base64" not in url[:comma]:
            return None
        coded = url[comma + 1 : comma + 1 + _HEAD_CHARACTERS]
    elif "://" in head:
        return None
    else:
        coded = url[:_HEAD_CHARACTERS]
    try:
        data = base64.b64decode(coded[: len(coded) // 4 * 4], validate=False)
        size = _size(data)
    except (binascii.Error, ValueError, struct.error, IndexError):
        return None
    return size if size is not None and size[0] > 0 and size[1] > 0 else None


def _size(data: bytes) -> Size | None:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return struct.unpack(">II", data[16:24])
    if data[:3] == b"GIF":
        return struct.unpack("<HH", data[6:10])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:2] == b"\xff\xd8":
        return _jpeg(data)
    return None


def _webp(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _jpeg(data: bytes) -> Size | None:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def media_tokens(part: Mapping[str, Any], images: Images, whole_context: int) -> int | None:
    """The most that a content part counts if it is not text, in the shapes of any of our wire formats; None if it is.

    Of a type that nobody knows, what points elsewhere may be anything: it fills the context.
    """
    kind = part.get("type")
    if isinstance(kind, str) and kind in _TEXTS:
        return None
    if kind in ("image_url", "input_image", "image"):
        source: Any = part.get("image_url") or part.get("source") or part
        if isinstance(source, str):
            source = {"url": source}
        if not isinstance(source, Mapping):
            return images.most
        url = source.get("url") or source.get("data")
        if isinstance(url, str) and url.startswith("data:") and not url.startswith("data:image/"):
            return whole_context
        detail = source.get("detail") or part.get("detail")
        return image_tokens(images, url if isinstance(url, str) else None, detail if isinstance(detail, str) else None)
    if is_sound(part):
        sound = next((part[name] for name in ("input_audio", "audio_url", "audio") if name in part), None)
        if isinstance(sound, Mapping):
            sound = sound.get("data") or sound.get("url")
        return sound_tokens(sound, whole_context)
    if kind in ("file", "input_file", "document"):
        return _file_tokens(part, images, whole_context)
    if kind in ("video_url", "video", "input_video"):
        return whole_context
    return whole_context if _points_elsewhere(part) else None


def is_sound(part: Mapping[str, Any]) -> bool:
    """Whether a content part is sound: `input_audio`, `audio_url` (vLLM), or named so without a type (DashScope)."""
    kind = part.get("type")
    return "audio" in kind if isinstance(kind, str) else "audio" in part


def _points_elsewhere(value: Any) -> bool:
    if isinstance(value, str):
        return "://" in value[:64]
    if isinstance(value, Mapping):
        return any(name.endswith(_POINTERS) or _points_elsewhere(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(_points_elsewhere, value))


def _file_tokens(part: Mapping[str, Any], images: Images, whole_context: int) -> int:
    """Plain text in the call: two tokens a byte. Any other file may hold more than its bytes say: a blank page of a PDF is an image, texts
    are packed, and what is elsewhere is unknown. It fills the context."""
    source: Any = part.get("file") or part.get("source") or part
    if isinstance(source, Mapping):
        data, media_type = source.get("file_data") or source.get("data"), source.get("media_type")
        if isinstance(data, str) and (data.startswith("data:text/") or (_is_text(media_type) and "://" not in data[:64])):
            return min(whole_context, len(data) * 2 + images.most)
    return whole_context


def _is_text(media_type: Any) -> bool:
    return isinstance(media_type, str) and media_type.startswith("text/")
