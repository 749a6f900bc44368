"""A validator for every read of the store: who has what there is by `If-None-Match` is told so in no bytes.

Rooms that keep answers give their own ETag (`catalog.answers`). For all others it is a digest of what was just made, which saves the
way and not the work, and is true whatever an answer depends on: prices, scores, the day.
"""

from backend.catalog.answers import etag, is_known
from backend.kernel.request import Message, Scope, Send, header

_STORE = frozenset({"catalog", "pricing", "benchmarks", "taxonomy", "suggestions", "carbon", "api", "openapi.json"})
_OF_THE_BODY = frozenset({b"content-length", b"content-type"})


def has_validator(path: str) -> bool:
    """Whether reads of an address answer with an ETag."""
    return path.lstrip("/").partition("/")[0] in _STORE


def with_validator(scope: Scope, send: Send) -> Send:
    """`send` for the answer to a GET, which becomes a 304 where the client has it already. An answer that comes in parts, is no success
    or has an ETag passes as it is."""
    held: Message | None = None

    async def told(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start":
            if message["status"] == 200 and all(name != b"etag" for name, _ in message["headers"]):
                held = message
            else:
                await send(message)
            return
        start, held = held, None
        if start is None or message.get("more_body"):
            if start is not None:
                await send(start)
            await send(message)
            return
        tag = etag(message.get("body", b""))
        headers = [*start["headers"], (b"etag", tag.encode()), (b"cache-control", b"no-cache")]
        if is_known(header(scope, b"if-none-match"), tag):
            start = {**start, "status": 304, "headers": [one for one in headers if one[0] not in _OF_THE_BODY]}
            message = {**message, "body": b""}
        else:
            start = {**start, "headers": headers}
        await send(start)
        await send(message)

    return told
