"""The least that a gateway in Python costs with the usual libraries: uvicorn in, aiohttp out, every byte passed on, nothing looked at.

An ASGI application for a process of its own; `PASS_THROUGH_TO` is the upstream's URL.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

_KEPT = (b"content-type", b"authorization")
_session: aiohttp.ClientSession | None = None


async def app(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    if scope["path"] == "/livez":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        return
    assert _session is not None
    body = b""
    while True:
        event = await receive()
        body += event["body"]
        if not event["more_body"]:
            break
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in _KEPT}
    async with _session.post(os.environ["PASS_THROUGH_TO"] + scope["path"], data=body, headers=headers) as answer:
        kind = answer.headers.get("content-type", "application/octet-stream").encode()
        await send({"type": "http.response.start", "status": answer.status, "headers": [(b"content-type", kind)]})
        async for piece in answer.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _live(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    global _session
    await receive()
    _session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await _session.close()
    await send({"type": "lifespan.shutdown.complete"})
