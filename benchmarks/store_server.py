"""The whole server but its pages, for measuring the REST surface over HTTP: `uvicorn benchmarks.store_server:app`."""

from backend.asgi import FrontDoor
from backend.configuration import load_settings
from backend.kernel.request import Receive, Scope, Send

_door: FrontDoor | None = None


async def _no_pages(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    global _door
    if _door is None:
        _door = FrontDoor(load_settings(), _no_pages, for_good=True)
    if scope["type"] != "lifespan":
        await _door(scope, receive, send)
        return
    await receive()
    async with _door.open():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})
