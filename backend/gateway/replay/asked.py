"""What makes two requests the same one, and the secrets that only who asks can know.

Everything is derived from the API key's text and the idempotency key, neither of which we store: what is kept of a call cannot be found,
compared or read by whoever has the database alone.
"""

import hmac
import re
from dataclasses import dataclass, field
from hashlib import sha256

from backend.identity.snapshot import KeyRecord
from backend.kernel.errors import BadRequest
from backend.kernel.request import Scope, header

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request under one idempotency key."""

    id: str
    """Of the tenant, the API key and the idempotency key."""
    fingerprint: str
    """Of method, path, query and body, byte for byte."""
    tenant_id: str
    key_id: str
    secret: bytes = field(repr=False)
    """32 bytes that seal the answer."""


def check_idempotency_key(text: str) -> None:
    """Raises:
    BadRequest: it is not 1 to 255 visible ASCII characters.
    """
    if not _KEY.fullmatch(text):
        raise BadRequest("An Idempotency-Key is 1 to 255 visible ASCII characters, without spaces.", param="Idempotency-Key")


def asked_by(key: KeyRecord, idempotency_key: str, scope: Scope, body: bytes) -> Asked:
    """What the holder of an authenticated key asks.

    Args:
        body: after decoding, so that it does not matter how it was compressed.
    """
    offered = (header(scope, b"authorization") or "").encode("latin-1")[len("Bearer ") :]
    named = "\0".join(("bourse replay 1", key.tenant_id, key.key_id, idempotency_key))
    root = hmac.digest(offered, named.encode("ascii"), "sha256")
    request = hmac.new(root, digestmod=sha256)
    for part in (b"request", scope["method"].encode("ascii"), scope["path"].encode(), scope["query_string"]):
        request.update(b"%d:%b" % (len(part), part))
    request.update(body)
    return Asked(
        id=hmac.digest(root, b"id", "sha256").hex(),
        fingerprint=request.hexdigest(),
        tenant_id=key.tenant_id,
        key_id=key.key_id,
        secret=hmac.digest(root, b"seal", "sha256"),
    )
