"""What a caller names by URL in messages for Bedrock, which fetches nothing itself: found, and put in place as `data:` URLs."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from backend.providers.http import UpstreamHttp
from backend.providers.media_fetch import Media, Wanted, fetch_media

_FIELDS = {"image_url": ("url", "image"), "file": ("file_data", "")}
"""By type of part: where its URL is, and the media type that it must have up to the slash."""


async def with_media(callers: UpstreamHttp, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with everything in it that is elsewhere; the one given is not changed.

    Args:
        callers: the client for URLs that callers name.

    Raises:
        BadRequest: with `param`, where something cannot be had.
    """
    messages = body["messages"]
    wanted = [Wanted(url, kind, where) for url, kind, where in _elsewhere(messages)]
    if not wanted:
        return body
    found = await fetch_media(callers, wanted)
    return {**body, "messages": [_message(message, found) for message in messages]}


def _elsewhere(messages: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for number, message in enumerate(messages):
        content = message.get("content")
        for index, part in enumerate(content if isinstance(content, list) else ()):
            found = _url(part)
            if found is not None:
                kind = part["type"]
                yield found, _FIELDS[kind][1], f"messages[{number}].content[{index}].{kind}.{_FIELDS[kind][0]}"


def _url(part: Any) -> str | None:
    """The http(s) URL of a part, None where it has none."""
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        return None
    given = part.get(kind)
    url = given.get(_FIELDS[kind][0]) if isinstance(given, dict) else given
    return url if isinstance(url, str) and url[:8].lower().startswith(("https://", "http://")) else None


def _message(message: dict[str, Any], found: Mapping[str, Media]) -> dict[str, Any]:
    content = message.get("content")
    return {**message, "content": [_part(part, found) for part in content]} if isinstance(content, list) else message


def _part(part: Any, found: Mapping[str, Media]) -> Any:
    url = _url(part)
    if url is None:
        return part
    media = found[url]
    given, (field, _) = part[part["type"]], _FIELDS[part["type"]]
    own = given if isinstance(given, dict) else {}
    return {**part, part["type"]: {**own, field: f"data:{media.media_type};base64,{b64encode(media.data).decode()}"}}
