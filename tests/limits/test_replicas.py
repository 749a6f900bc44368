"""Limits over several processes and one Redis."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backend.kernel.clock import SystemClock
from backend.kernel.errors import ParallelLimitExceeded
from backend.limits.memory import MemoryLimiter
from backend.limits.shared import LEASE_SECONDS, SharedLimiter
from tests.architecture.source import ROOT
from tests.limits.conftest import PATIENT, a_scope

StartReplica = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def replica(redis_url: str) -> Iterator[StartReplica]:
    started: list[subprocess.Popen[str]] = []

    def start(*command: object, lease: float = LEASE_SECONDS, **limits: int) -> subprocess.Popen[str]:
        program = [sys.executable, str(Path(__file__).parent / "replica.py"), redis_url, str(lease), json.dumps(limits)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen([*program, *map(str, command)], stdout=subprocess.PIPE, text=True, env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(params=[4.0, pytest.param(LEASE_SECONDS, marks=[pytest.mark.soak, pytest.mark.timeout(120)])])
def lease(request: pytest.FixtureRequest) -> float:
    return float(request.param)


async def said(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(json.loads(await asyncio.to_thread(process.stdout.readline)))


async def times_of(processes: list[subprocess.Popen[str]]) -> list[float]:
    """When calls were let in by any of them, in order."""
    lines = [await asyncio.to_thread(process.stdout.readline) for process in processes if process.stdout is not None]
    return sorted(time for line in lines for time in json.loads(line))


@pytest.mark.case("L1")
async def test_three_processes_let_in_60_of_300_in_five_seconds(replica: StartReplica) -> None:
    processes = [replica("burst", 100, 5, requests_per_minute=60) for _ in range(3)]
    assert len(await times_of(processes)) == 60


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.case("L1")
async def test_no_sliding_minute_holds_more_than_the_limit_over_three_processes(replica: StartReplica) -> None:
    processes = [replica("burst", 600, 150, requests_per_minute=60) for _ in range(3)]
    times = await times_of(processes)
    assert len(times) >= 120
    # The times are those at which the callers learnt of it, a turn of a busy loop later: 0.1 s is given.
    assert all(times[index + 60] - times[index] > 59.9 for index in range(len(times) - 60))


@pytest.mark.case("L4")
async def test_slots_of_a_killed_process_are_free_within_its_lease(redis_url: str, replica: StartReplica, lease: float) -> None:
    holder = replica("hold", 12, lease=lease, parallel=10)
    assert await said(holder) == 10
    limiter = SharedLimiter(redis_url, MemoryLimiter(SystemClock()), lambda _: None, lease_seconds=lease, answer_seconds=PATIENT)
    await limiter.start()
    scopes = (a_scope("tenant", "t"), a_scope(parallel=10))
    with pytest.raises(ParallelLimitExceeded):
        await limiter.admit(scopes, 1)
    holder.kill()
    holder.wait()
    running = 0
    async with asyncio.timeout(lease + 20):
        while running < 10:
            try:
                await limiter.admit(scopes, 1)
            except ParallelLimitExceeded:
                await asyncio.sleep(0.02)
            else:
                running += 1
    with pytest.raises(ParallelLimitExceeded):
        await limiter.admit(scopes, 1)
    await limiter.stop()
