"""Limits over three gateways, each a process, on one PostgreSQL and one Redis."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from backend.limits.shared import LEASE_SECONDS
from tests.rig.redis import RedisServer
from tests.rig.server import ROOT, AppServer, clean_environment

CONFIGURATION = """
bootstrap:
  tenants: [{slug: acme}]
  api_keys:
    - {tenant: acme, name: sixty, key: "sk-sixty.local-only", rate_limit: {requests_per_minute: 60, tokens_per_minute: 0, parallel: 0}}
    - {tenant: acme, name: ten, key: "sk-ten.local-only", rate_limit: {requests_per_minute: 0, tokens_per_minute: 0, parallel: 10}}
"""
BODY = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}
pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]


@pytest.fixture
def replicas(app_server: Callable[..., AppServer], postgres_url: str, redis_server: RedisServer, tmp_path: Path) -> list[AppServer]:
    redis_server.flush()
    env = {"BOURSE_DATABASE_URL": postgres_url, "BOURSE_REDIS_URL": redis_server.url}
    # The first gateway would do this by itself, within the time that it has to become ready.
    subprocess.run([sys.executable, "-m", "backend", "ingest", "--quiet"], env=clean_environment(tmp_path, **env), cwd=ROOT, check=True)
    return [app_server("gateway", configuration=CONFIGURATION, env=env) for _ in range(3)]


def client(server: AppServer, key: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer sk-{key}.local-only"}
    return httpx.AsyncClient(base_url=f"{server.url}/v1", headers=headers, timeout=60, limits=httpx.Limits(max_connections=200))


@pytest.mark.case("L1")
async def test_sixty_of_three_hundred_in_five_seconds(replicas: list[AppServer]) -> None:
    clients = [client(server, "sixty") for server in replicas]

    running = []
    for number in range(300):
        running.append(asyncio.create_task(clients[number % 3].post("/chat/completions", json=BODY)))
        await asyncio.sleep(5 / 300)
    answers = await asyncio.gather(*running)
    assert sorted(answer.status_code for answer in answers) == [200] * 60 + [429] * 240
    assert not any("x-bourse-limits" in answer.headers for answer in answers)
    for http in clients:
        await http.aclose()


@pytest.mark.case("L4")
async def test_ten_streams_at_once_and_the_slots_of_a_killed_replica(replicas: list[AppServer]) -> None:
    body = {**BODY, "model": "sandbox/slow", "stream": True}
    clients = [client(server, "ten") for server in replicas]

    async def stream(number: int) -> int:
        async with clients[number % 3].stream("POST", "/chat/completions", json=body) as answer:
            if answer.status_code == 200:
                async for _ in answer.aiter_bytes():
                    pass
            return answer.status_code

    assert sorted(await asyncio.gather(*[stream(number) for number in range(100)])).count(200) == 10
    held = [asyncio.create_task(stream(0)) for _ in range(10)]
    await asyncio.sleep(2)
    replicas[0].server.process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    await asyncio.gather(*held, return_exceptions=True)
    while (answer := await clients[1].post("/chat/completions", json=BODY)).status_code == 429:
        assert answer.json()["error"]["code"] == "parallel_limit_exceeded"
        await asyncio.sleep(0.2)
    assert answer.status_code == 200
    assert time.monotonic() - killed <= LEASE_SECONDS + 5
    for http in clients:
        await http.aclose()
