"""JSON that is sent on as it came, but for what is added to it."""

from typing import Any

import orjson


def frame(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def spliced(payload: bytes, extra: bytes) -> bytes:
    """A JSON object with `extra` (`,"key":value`) added at its end."""
    if not extra:
        return payload
    if payload.find(b'"bourse"') >= 0 and extra.startswith(b',"bourse"'):
        # The upstream is a Bourse itself; its facts give way to ours.
        value = orjson.loads(payload)
        value.pop("bourse", None)
        payload = orjson.dumps(value)
    body = payload.rstrip()[:-1]
    return body + (extra[1:] if body.rstrip() == b"{" else extra) + b"}"


def splice_facts(body: bytes, facts: dict[str, Any]) -> bytes:
    """A whole answer with the `bourse` object added, its other bytes as they came."""
    return spliced(body, b',"bourse":' + orjson.dumps(facts))
