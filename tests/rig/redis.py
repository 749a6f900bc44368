"""A throw-away Redis on a free port: nothing on disk, gone with the tests."""

import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import redis

from tests.rig.processes import Server, free_port


class RedisServer:
    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("Redis is not installed: run `make test`, or apt-get install redis-server", pytrace=False)
        self._home = Path(tempfile.mkdtemp(prefix="bourse-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self._home),
        ]
        self.server = self._start()

    def _start(self) -> Server:
        server = Server(self._command, log=self._home / "log")
        server.wait_until(self._answers, seconds=60, what="Redis")
        return server

    def save(self) -> None:
        """Write what it holds to disk, for `restart` to come back with."""
        with redis.Redis.from_url(self.url) as client:
            client.save()

    def restart(self) -> None:
        """Kill it, and start it with what it had saved."""
        self.server.kill()
        self.server = self._start()

    def freeze(self, *, thaw: bool = False) -> None:
        """Stop it where it stands, or let it go on."""
        self.server.process.send_signal(signal.SIGCONT if thaw else signal.SIGSTOP)

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def close(self) -> None:
        self.freeze(thaw=True)
        self.server.stop(seconds=5)
        shutil.rmtree(self._home, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
