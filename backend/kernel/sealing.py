"""Bytes that leave this process and come back: compressed, and encrypted under a secret that only who asks for them can derive.

Whoever changes them on the way, or has them without the secret, has nothing (AES-GCM).
"""

import zlib
from os import urandom

_NONCE_BYTES = 12
_FAST = 1
_COMPRESSED, _PLAIN = b"c", b"p"
MOST_COMPRESSED = 256 * 1024
"""Compressing more than this would hold up others for milliseconds."""


def seal(secret: bytes, data: bytes, *, compress: bool | None = None, bound_to: bytes = b"") -> bytes:
    """Args:
    secret: 32 bytes.
    compress: None = unless it is more than `MOST_COMPRESSED`.
    bound_to: where it stands; it opens nowhere else.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 8 MB, which only who seals something pays

    compress = len(data) <= MOST_COMPRESSED if compress is None else compress
    nonce = urandom(_NONCE_BYTES)
    packed = _COMPRESSED + zlib.compress(data, _FAST) if compress else _PLAIN + data
    return nonce + AESGCM(secret).encrypt(nonce, packed, bound_to or None)


def unsealed(secret: bytes, sealed: bytes, *, bound_to: bytes = b"") -> bytes | None:
    """None for what was not sealed under this secret and for this place."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        packed = AESGCM(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to or None)
    except (InvalidTag, ValueError):
        return None
    return zlib.decompress(packed[1:]) if packed[:1] == _COMPRESSED else packed[1:]
