"""The API key `sk-<id>.<secret>`: making one, reading one, and what is kept of it.

`<id>` is public (it names the key in lists and logs) and has no dot; everything after the first dot is the secret, of which only
the SHA-256 is stored. 192 random bits need no slow hash. A generated secret ends in a checksum over the whole key, so that
scanners recognise a leaked key without asking us; authentication never looks at it, and a key that an operator wrote himself
(`sk-demo.my-secret`) has none.
"""

import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field

PREFIX = "sk-"
MAX_KEY_LENGTH = 512
_KEY = re.compile(r"sk-([A-Za-z0-9_-]{1,64})\.([\x21-\x7e]{1,400})")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH = 12
_SECRET_LENGTH = 32
_CHECKSUM_LENGTH = 6


class MalformedKey(ValueError):
    """The text is no API key; the message never repeats it."""


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The two parts of a key. `secret` stays out of `repr`."""

    public_id: str
    secret: str = field(repr=False)

    @property
    def text(self) -> str:
        """The key as its holder sends it."""
        return f"{PREFIX}{self.public_id}.{self.secret}"

    @property
    def secret_sha256(self) -> str:
        """What is stored: 64 hexadecimal digits."""
        return secret_digest(self.secret).hex()


def secret_digest(secret: str) -> bytes:
    """SHA-256 of the secret part, 32 bytes."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def parse_key(text: str) -> ParsedKey:
    """The parts of a key that somebody wrote.

    Raises:
        MalformedKey: not `sk-<id>.<secret>` with an id of 1 to 64 letters, digits, `-`, `_` and a secret of 1 to 400 visible
            ASCII characters.
    """
    match = _KEY.fullmatch(text)
    if match is None:
        raise MalformedKey("an API key has the form sk-<id>.<secret>: an id of letters, digits, '-' and '_', a dot, and the secret")
    return ParsedKey(match[1], match[2])


def generate_key() -> ParsedKey:
    """A fresh key: 60 random bits of id, 190 random bits of secret, and the checksum."""
    public_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    body = "".join(secrets.choice(_DIGITS) for _ in range(_SECRET_LENGTH))
    return ParsedKey(public_id, body + _checksum(public_id, body))


def has_valid_checksum(key: ParsedKey) -> bool:
    """Whether this looks like a key that we generated. For secret scanners only: it says nothing about whether the key is in use."""
    body, checksum = key.secret[:-_CHECKSUM_LENGTH], key.secret[-_CHECKSUM_LENGTH:]
    return len(body) == _SECRET_LENGTH and checksum == _checksum(key.public_id, body)


def _checksum(public_id: str, body: str) -> str:
    """CRC-32 of `<id>.<secret without checksum>` in base 62, six digits."""
    value = binascii.crc32(f"{public_id}.{body}".encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        value, rest = divmod(value, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))
