"""Answers as they are kept outside of this process: compressed, and readable only for who asks the very same thing again.

Name and secret are derived from the call, which is not stored: whoever has Redis alone finds neither prompts nor answers in it, and an
answer that was changed there is none.
"""

import hmac
import zlib
from os import urandom

from backend.gateway.cache.entry import Entry, unpacked

_NONCE_BYTES = 12
_FAST = 1
_COMPRESSED, _PLAIN = b"c", b"p"
_MOST_COMPRESSED = 256 * 1024
"""Compressing more than this would hold up other calls for milliseconds."""


def name_of(key: bytes) -> bytes:
    """Under which the answer to a call is found."""
    return b"bourse:cache:" + hmac.digest(key, b"name", "sha256").hex().encode()


def seal(key: bytes, entry: Entry) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 8 MB, which only who has Redis pays

    packed, nonce = entry.packed(), urandom(_NONCE_BYTES)
    data = _COMPRESSED + zlib.compress(packed, _FAST) if len(packed) <= _MOST_COMPRESSED else _PLAIN + packed
    return nonce + AESGCM(_secret(key)).encrypt(nonce, data, None)


def unsealed(key: bytes, sealed: bytes) -> Entry | None:
    """None for what was not sealed under this key."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = AESGCM(_secret(key)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
    except (InvalidTag, ValueError):
        return None
    return unpacked(zlib.decompress(data[1:]) if data[:1] == _COMPRESSED else data[1:])


def _secret(key: bytes) -> bytes:
    return hmac.digest(key, b"seal", "sha256")
