"""A process that counts limits in Redis, for tests with several of them: `python replica.py URL LEASE_SECONDS LIMITS COMMAND…`

burst CALLS SECONDS   admit so many, spread evenly; print the times (s since 1970) of those that were let in
hold CALLS            admit so many and keep them; print how many were let in, then wait to be killed
"""

import asyncio
import json
import sys
import time

import structlog
import uvloop

from backend.kernel.clock import SystemClock
from backend.kernel.errors import RateLimited
from backend.limits.memory import MemoryLimiter
from backend.limits.schemas import Limits, Scope
from backend.limits.shared import SharedLimiter


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(url: str, lease: str, limits: str, command: str, calls: str, *rest: str) -> None:
    limiter = SharedLimiter(url, MemoryLimiter(SystemClock()), lambda _: None, lease_seconds=float(lease), answer_seconds=5.0)
    await limiter.start()
    scopes = (Scope("tenant", "t", "t", Limits()), Scope("key", "t", "k", Limits(**json.loads(limits))))
    admitted: list[float] = []

    async def one() -> None:
        try:
            await limiter.admit(scopes, 1)
        except RateLimited:
            return
        admitted.append(time.time())

    if command == "hold":
        await asyncio.gather(*[one() for _ in range(int(calls))])
        say(len(admitted))
        await asyncio.Event().wait()
    running = []
    for _ in range(int(calls)):
        running.append(asyncio.create_task(one()))
        await asyncio.sleep(float(rest[0]) / int(calls))
    await asyncio.gather(*running)
    say(admitted)
    await limiter.stop()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(main(*sys.argv[1:]))
