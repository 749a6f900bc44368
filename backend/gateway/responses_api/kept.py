"""A response and its input as bytes for the database: sealed where the installation has a secret, else as they are.

The key that seals a row is of its tenant and its id: one row put in the place of another cannot be read.
"""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any

import orjson

from backend.kernel.sealing import MOST_COMPRESSED, seal, unsealed

_PLAIN, _SEALED = b"p", b"s"
Item = dict[str, Any]


@dataclass(slots=True)
class Kept:
    """`response` is the object as it was answered, but for its output, which has all that the provider wants back."""

    response: dict[str, Any]
    input: list[Item]

    @property
    def output(self) -> list[Item]:
        items: list[Item] = self.response["output"]
        return items


class Unreadable(Exception):
    """It was sealed under another secret than the one that is there now."""


async def packed(kept: Kept, secret: bytes | None, tenant_id: str) -> bytes:
    data = orjson.dumps({"response": kept.response, "input": kept.input})
    if secret is None:
        return _PLAIN + data
    key = _key(secret, tenant_id, kept.response["id"])
    if len(data) > MOST_COMPRESSED:
        return _SEALED + await asyncio.to_thread(seal, key, data, compress=True)
    return _SEALED + seal(key, data)


async def unpacked(body: bytes, secret: bytes | None, tenant_id: str, response_id: str) -> Kept:
    """Raises:
    Unreadable: nobody here can.
    """
    data: bytes | None = body[1:]
    if body[:1] == _SEALED:
        if secret is None:
            raise Unreadable
        key = _key(secret, tenant_id, response_id)
        data = await asyncio.to_thread(unsealed, key, body[1:]) if len(body) > MOST_COMPRESSED else unsealed(key, body[1:])
        if data is None:
            raise Unreadable
    value = orjson.loads(data or b"")
    return Kept(value["response"], value["input"])


def _key(secret: bytes, tenant_id: str, response_id: str) -> bytes:
    return hmac.digest(secret, f"bourse response 1\0{tenant_id}\0{response_id}".encode(), "sha256")
