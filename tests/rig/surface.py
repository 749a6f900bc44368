"""Everything that Bourse answers but its pages, on a real socket of this process: the front door with a runtime behind it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import uvicorn

from backend.asgi import FrontDoor
from backend.configuration import load_settings
from backend.http_server import Http
from backend.kernel.request import Receive, Scope, Send
from backend.settings import Settings
from tests.rig.processes import free_port

ADMIN, PASSWORD = "ann@example.org", "correct horse battery"
WITH_ADMIN = f"bootstrap: {{admin_users: [{{email: {ADMIN}, password: {PASSWORD}}}]}}\n"


async def _no_pages(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def settings_in(folder: Path, configuration: str = WITH_ADMIN) -> Settings:
    """Settings for a server whose data is in the folder, where a `bourse.db` may lie already."""
    file = folder / "bourse.yaml"
    file.write_text(configuration)
    return load_settings({"BOURSE_CONFIG": str(file), "BOURSE_DATA_DIR": str(folder), "BOURSE_SERVER__DRAIN_DELAY": "0s"})


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The address at which it answers until the block ends, without a slash at its end."""
    port, ready, ended = free_port(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    trouble: list[BaseException] = []

    async def serve() -> None:
        door = FrontDoor(settings, _no_pages)
        server = uvicorn.Server(
            uvicorn.Config(door, host="127.0.0.1", port=port, lifespan="off", log_level="warning", access_log=False, http=Http)
        )
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        async with door.open():
            serving = asyncio.create_task(server._serve())
            while not server.started and not serving.done():
                await asyncio.sleep(0.01)
            ready.set()
            await ended.wait()
            server.should_exit = True
            await serving

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            trouble.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(60)
    try:
        if trouble:
            raise trouble[0]
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()


def signed_in_cookie(url: str) -> str:
    """The Cookie header of the admin of `WITH_ADMIN`, signed in anew."""
    answer = httpx.post(f"{url}/auth/sign-in", json={"email": ADMIN, "password": PASSWORD}, timeout=60)
    answer.raise_for_status()
    ((name, value),) = SimpleCookie(answer.headers["set-cookie"]).items()
    return f"{name}={value.value}"
