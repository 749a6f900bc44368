"""A throw-away Redis on a free port: nothing on disk, gone with the tests."""

import shutil
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
        self.server = Server(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(self._home)],
            log=self._home / "log",
        )
        self.server.wait_until(self._answers, seconds=10, what="Redis")

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def close(self) -> None:
        self.server.stop(seconds=5)
        shutil.rmtree(self._home, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
