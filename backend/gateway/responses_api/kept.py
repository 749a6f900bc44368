"""A response and its input as bytes for the database: sealed where the installation has a master key, else as they are.

What is sealed is bound to its tenant and its id: one row put in the place of another cannot be read.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

from backend.credentials.master import MasterKeys
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
    """It was sealed under a master key that is not here any more, or for another place."""


def written(kept: Kept) -> bytes:
    """As JSON."""
    return orjson.dumps({"response": kept.response, "input": kept.input})


async def packed(data: bytes, masters: MasterKeys, tenant_id: str, response_id: str) -> bytes:
    """What `written` wrote, for the database."""
    master = masters.first
    if master is None:
        return _PLAIN + data
    place = _place(tenant_id, response_id)
    if len(data) > MOST_COMPRESSED:
        sealed = await asyncio.to_thread(seal, master.contents, data, compress=True, bound_to=place)
    else:
        sealed = seal(master.contents, data, bound_to=place)
    return b"%b%b:%b" % (_SEALED, master.name.encode("ascii"), sealed)


async def unpacked(body: bytes, masters: MasterKeys, tenant_id: str, response_id: str) -> Kept:
    """Raises:
    Unreadable: nobody here can.
    """
    data: bytes | None = body[1:]
    if body[:1] == _SEALED:
        name, _, sealed = body[1:].partition(b":")
        master, place = masters.known(name.decode("ascii")), _place(tenant_id, response_id)
        if master is None:
            raise Unreadable
        if len(sealed) > MOST_COMPRESSED:
            data = await asyncio.to_thread(unsealed, master.contents, sealed, bound_to=place)
        else:
            data = unsealed(master.contents, sealed, bound_to=place)
        if data is None:
            raise Unreadable
    value = orjson.loads(data or b"")
    return Kept(value["response"], value["input"])


def _place(tenant_id: str, response_id: str) -> bytes:
    return f"stored_response\0{tenant_id}\0{response_id}".encode()
