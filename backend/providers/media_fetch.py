"""Images, sound and files that a caller names by URL, for providers that want the bytes.

Whoever wrote the URL is not trusted: every address that it leads to is checked by `network.allow_private_fetch`, no redirection is
followed, and size, time and kind are bounded.
"""

import asyncio
from collections.abc import Iterable
from mimetypes import guess_type
from socket import inet_aton, inet_ntoa
from typing import NamedTuple
from urllib.parse import urlsplit

from backend.kernel.addresses import AddressRefused
from backend.kernel.errors import BadRequest
from backend.providers.http import AddressForbidden, BrokenOff, NotConnected, NotHttp, TooLarge, UpstreamHttp

MAX_BYTES = 20 * 1024 * 1024
"""Of all that one call names."""
MAX_URLS = 16
FETCH_SECONDS = 20.0
"""For all together."""
_CONNECT_SECONDS = 5.0
_KINDS = ("image/", "audio/", "video/", "text/", "application/pdf")


class Wanted(NamedTuple):
    url: str
    kind: str
    """The media type up to the slash; "" where any will do."""
    param: str
    """Where in the caller's body the URL is."""


class Media(NamedTuple):
    media_type: str
    data: bytes


async def fetch_media(http: UpstreamHttp, wanted: Iterable[Wanted]) -> dict[str, Media]:
    """What is found under each URL.

    Args:
        http: the client whose address rules are those for callers' URLs: `UpstreamHttp.for_callers`.

    Raises:
        BadRequest: with `param`, where something cannot be had. It does not tell what is in our network.
    """
    found: dict[str, Media] = {}
    left = MAX_BYTES
    param = ""
    try:
        async with asyncio.timeout(FETCH_SECONDS):
            for one in wanted:
                param = one.param
                if one.url in found:
                    continue
                if len(found) == MAX_URLS:
                    raise BadRequest(f"No more than {MAX_URLS} URLs are fetched for a call.", param=param)
                found[one.url] = media = await _fetch(http, one, left)
                left -= len(media.data)
    except TimeoutError:
        raise BadRequest(f"What the URL leads to did not come within {FETCH_SECONDS:g} s.", param=param) from None
    return found


async def _fetch(http: UpstreamHttp, wanted: Wanted, left: int) -> Media:
    try:
        target = http.target(wanted.url, {"user-agent": "bourse", "accept": "*/*"}, method="GET")
        _check_literal(http, target.host)
        answer = await http.post(target, b"", "", connect_seconds=_CONNECT_SECONDS)
    except ValueError:
        raise BadRequest("This is not a URL that can be fetched.", param=wanted.param) from None
    except AddressForbidden:
        raise AddressRefused("The URL leads into a network that may not be called.", param=wanted.param) from None
    except (NotConnected, BrokenOff, NotHttp):
        raise BadRequest("What the URL leads to cannot be reached.", param=wanted.param) from None
    try:
        if 300 <= answer.status < 400:
            raise BadRequest("The URL only leads to another one. Name that.", param=wanted.param)
        if answer.status != 200:
            raise BadRequest(f"The URL was answered with HTTP {answer.status}.", param=wanted.param)
        media_type = _media_type(answer.content_type, wanted.url)
        if not media_type.startswith(wanted.kind) or not media_type.startswith(_KINDS):
            raise BadRequest("What the URL leads to is not of the kind that belongs here.", param=wanted.param)
        length = answer.header(b"content-length") or ""
        if length.isdecimal() and len(length) < 16 and int(length) > left:
            raise TooLarge
        return Media(media_type, await answer.read_whole(left))
    except TooLarge:
        raise BadRequest(f"What the URLs lead to is more than {MAX_BYTES:,} bytes.", param=wanted.param) from None
    except (BrokenOff, NotHttp):
        raise BadRequest("What the URL leads to did not come whole.", param=wanted.param) from None
    finally:
        # Where its body was not read to the end, the connection is dropped.
        answer.close()


def _check_literal(http: UpstreamHttp, host: str) -> None:
    """Behind a proxy names are resolved there; what is an address already, however it is spelt (127.1, 2130706433, 0x7f.1), is checked here
    all the same."""
    address = host
    if ":" not in host:
        try:
            address = inet_ntoa(inet_aton(host.rstrip(".")))
        except (OSError, UnicodeError):
            return
    if not http.policy.permits(address):
        raise AddressForbidden("address not allowed")


def _media_type(declared: str, url: str) -> str:
    if declared in ("", "application/octet-stream", "binary/octet-stream"):
        return guess_type(urlsplit(url).path)[0] or ""
    return declared
