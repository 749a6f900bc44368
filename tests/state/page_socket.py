"""A page's websocket without a browser: what anybody can write who has read Reflex's protocol."""

import asyncio
import contextlib
import uuid
from typing import Any

import socketio

ROOT = "reflex___state____state"
Delta = dict[str, dict[str, Any]]


class PageSocket:
    """`updates` are the state deltas that came, oldest first. `token` is the name under which the server keeps this tab's state."""

    def __init__(self, url: str, *, cookie: str = "", token: str | None = None, origin: str | None = None) -> None:
        self.url = url
        self.cookie = cookie
        self.origin = origin or url
        self.token = token or str(uuid.uuid4())
        self.updates: list[Delta] = []
        self._came = asyncio.Event()
        self._client = socketio.AsyncClient(reconnection=False)
        self._client.on("event", self._take, namespace="/_event")

    async def _take(self, update: dict[str, Any]) -> None:
        self.updates.append(update.get("delta") or {})
        self._came.set()

    async def open(self, path: str) -> None:
        """Connect as the page at `path` does, and wait until its loading has ended."""
        headers = {"Origin": self.origin} | ({"Cookie": self.cookie} if self.cookie else {})
        hydrate = {"name": f"{ROOT}.hydrate_and_load", "payload": {}, "router_data": {"pathname": path, "asPath": path}}
        await self._client.connect(
            f"{self.url}/?token={self.token}",
            headers=headers,
            transports=["websocket"],
            socketio_path="/_event",
            namespaces=["/_event"],
            auth={"event": hydrate},
        )
        await self.until(lambda: self.value(ROOT, "is_hydrated") is True)

    async def close(self) -> None:
        await self._client.disconnect()
        with contextlib.suppress(Exception):
            await self._client.eio.http.close()

    async def send(self, name: str, path: str = "/", **payload: Any) -> None:
        event = {"name": name, "payload": payload, "router_data": {"pathname": path, "asPath": path}}
        await self._client.emit("event", event, namespace="/_event")

    async def deltas_of(self, name: str, **payload: Any) -> Delta:
        """What an event changes: everything that comes until the answer to a second, harmless event, merged."""
        seen = len(self.updates)
        await self.send(name, **payload)
        marker = str(uuid.uuid4())
        await self.send(f"{ROOT}.state___palette____palette_state.ask", text=marker)
        palette = f"{ROOT}.state___palette____palette_state"
        await self.until(lambda: self.value(palette, "hits_for") == marker)
        merged: Delta = {}
        for delta in self.updates[seen:]:
            for state, changes in delta.items():
                merged.setdefault(state, {}).update(changes)
        merged.pop(palette, None)
        return merged

    def value(self, state: str, name: str) -> Any:
        """The newest value of a var that the server has sent."""
        for delta in reversed(self.updates):
            if f"{name}_rx_state_" in delta.get(state, {}):
                return delta[state][f"{name}_rx_state_"]
        return None

    async def until(self, true: Any, *, seconds: float = 30) -> None:
        """Wait until something holds, looking after every update.

        Raises:
            TimeoutError: it does not come to hold in time.
        """
        async with asyncio.timeout(seconds):
            while not true():
                self._came.clear()
                await self._came.wait()
