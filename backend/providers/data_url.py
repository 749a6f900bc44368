"""`data:` URLs (RFC 2397), in which callers send pictures, sound and files along. No I/O."""

import re
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_HEAD = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[^,;]*)*),", re.ASCII)


class DataUrl(NamedTuple):
    media_type: str
    """In lower case and without parameters; text/plain where none is said."""
    data: str
    """Base64, as the caller wrote it: it may be none."""


def data_url(url: str) -> DataUrl | None:
    """None for any other URL, and for one that is no whole `data:` URL."""
    found = _HEAD.match(url)
    if found is None:
        return None
    media_type, data = (found[1] or "text/plain").lower(), url[found.end() :]
    if ";base64" not in found[2].lower():
        data = b64encode(unquote_to_bytes(data)).decode()
    return DataUrl("image/jpeg" if media_type == "image/jpg" else media_type, data)
