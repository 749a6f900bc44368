"""A TCP proxy with faults, in the test's own loop: between clients and replicas, or between a replica and its database or Redis.

async with Proxy([("127.0.0.1", 5432)]) as proxy:      # several targets: connections go round
    proxy.freeze(); …; proxy.thaw(); proxy.cut(); proxy.refuse = True; proxy.delay = 20.0
"""

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """`port` is where it listens. `delay` is added to every piece of the answers, in seconds; `refuse` resets new connections."""

    def __init__(self, targets: Sequence[tuple[str, int]], *, port: int = 0) -> None:
        self.targets = list(targets)
        self.port = port
        self.delay = 0.0
        self.refuse = False
        self.connections = 0
        self._turn = itertools.count()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze(self) -> None:
        """From now on nothing passes, and nobody is told: a black hole."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection there is."""
        for writer in list(self._writers):
            _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        ours: list[asyncio.StreamWriter] = [writer]
        try:
            if self.refuse:
                _reset(writer)
                return
            host, port = self.targets[next(self._turn) % len(self.targets)]
            there, to_there = await asyncio.open_connection(host, port)
            ours.append(to_there)
            self._writers.update(ours)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, to_there, lambda: 0.0))
                group.create_task(self._pass_on(there, writer, lambda: self.delay))
        except* (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Cancelled is how it ends; a stream's handler that says so would be reported as an error.
            pass
        finally:
            self._tasks.discard(task)
            for one in ours:
                self._writers.discard(one)
                one.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            if wait := delay():
                await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):  # it is closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
