"""Images, sound, video and files of an OpenAI-shaped message as Gemini's `inlineData` and `fileData`.

Bytes in `data:` URLs go along as they are. What is on the web is fetched by us, as Gemini does not; a film on YouTube and a file in the
operator's own Cloud Storage stay where they are. Sources: Part, Blob and FileData in ai.google.dev/api/caching;
ai.google.dev/gemini-api/docs/video-understanding.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mimetypes import guess_type
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.data_url import data_url

_YOUTUBE = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"})
_SOUNDS = {"mp3": "audio/mp3", "m4a": "audio/mp4", "opus": "audio/ogg", "pcm16": "audio/pcm"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of a part are: `url` as the caller wrote it, or `data` in base64."""

    url: str | None
    data: str | None
    media_type: str | None
    kind: str
    """The media type that it must have up to the slash; "" where any will do."""


class Fetched(NamedTuple):
    media_type: str
    data: str
    """Base64."""


def source_of(part: Mapping[str, Any], where: str) -> Source | None:
    """The source of a part with media, None for any other part.

    Raises:
        BadRequest, UnsupportedParameter: it has none that could be sent; `where` is its place in the body.
    """
    kind = part.get("type")
    if kind in ("image_url", "video_url"):
        given = part.get(kind)
        url = given.get("url") if isinstance(given, dict) else given
        return _of_url(url, kind.partition("_")[0], f"{where}.{kind}.url")
    if kind == "input_audio":
        sound = part.get("input_audio")
        data, form = (sound.get("data"), sound.get("format")) if isinstance(sound, dict) else (None, None)
        if not isinstance(data, str) or not isinstance(form, str):
            raise BadRequest("Sound needs its 'data' in base64 and its 'format'.", param=f"{where}.input_audio")
        return Source(None, data, _SOUNDS.get(form, f"audio/{form}"), "audio")
    if kind == "file":
        return _of_file(part.get("file"), f"{where}.file")
    return None


def _of_file(file: Any, where: str) -> Source:
    file = file if isinstance(file, dict) else {}
    data, name = file.get("file_data"), file.get("filename")
    if isinstance(data, str) and ":" in data[:16]:
        return _of_url(data, "", f"{where}.file_data")
    if file.get("file_id") is not None:
        raise UnsupportedParameter("Files by id are not known to this provider. Send 'file_data'.", param=f"{where}.file_id")
    media_type = guess_type(name)[0] if isinstance(name, str) else None
    if not isinstance(data, str) or media_type is None:
        raise BadRequest("A file needs its bytes in 'file_data', as a data: URL.", param=where)
    return Source(None, data, media_type, "")


def _of_url(url: Any, kind: str, where: str) -> Source:
    if not isinstance(url, str):
        raise BadRequest("A text with a URL belongs here.", param=where)
    if not url.startswith("data:"):
        return Source(url, None, None, kind)
    found = data_url(url)
    if found is None:
        raise BadRequest("A data: URL must look like data:image/png;base64,…", param=where)
    if kind and not found.media_type.startswith(f"{kind}/"):
        raise BadRequest(f"The data: URL holds {found.media_type[:80]}, where {kind}/… belongs.", param=where)
    return Source(None, found.data, found.media_type, kind)


def media_part(source: Source, fetched: Mapping[str, Fetched], buckets: tuple[str, ...], where: str) -> dict[str, Any]:
    """The part for Gemini.

    Args:
        fetched: what was found under the URLs that `to_fetch` named.
        buckets: beginnings of gs:// addresses that callers may name.
    """
    url = source.url
    if url is None:
        return {"inlineData": {"mimeType": source.media_type, "data": source.data}}
    if url in fetched:
        return {"inlineData": {"mimeType": fetched[url].media_type, "data": fetched[url].data}}
    if is_film(source):
        return {"fileData": {"fileUri": url}}
    if url.startswith("gs://"):
        media_type = guess_type(url)[0]
        if not url.startswith(buckets):
            raise BadRequest("The operator has not allowed this place in Cloud Storage (metadata: gs_allowed).", param=where)
        if media_type is None or not media_type.startswith(source.kind):
            raise BadRequest("The file's name must end in what it is, such as .pdf or .png.", param=where)
        return {"fileData": {"mimeType": media_type, "fileUri": url}}
    raise BadRequest("Only data:, http: and https: URLs can be read here.", param=where)


def is_film(source: Source) -> bool:
    """A film on YouTube, which Gemini gets itself. As an image it would be one that costs what a film costs."""
    return source.kind != "image" and source.url is not None and (urlsplit(source.url).hostname or "") in _YOUTUBE


def to_fetch(messages: list[dict[str, Any]]) -> Iterator[tuple[Source, str]]:
    """What has to be fetched before these messages can be translated, and where in the body it is named."""
    for number, message in enumerate(messages):
        content = message.get("content")
        if type(content) is not list:
            continue
        for index, part in enumerate(content):
            if type(part) is dict and part.get("type") != "text":
                where = f"messages[{number}].content[{index}]"
                source = source_of(part, where)
                if source is not None and source.url is not None and not is_film(source) and source.url[:5].lower() != "gs://":
                    yield source, where
