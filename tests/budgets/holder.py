"""A till in a process of its own: `python -m tests.budgets.holder URL DATA_DIR`, commands as JSON lines on stdin.

    {"do": "calls", "payer": […], "count": 125, "amount": 10000, "least": 0.1, "seed": 1, "wait": 0.0, "fail": 0.0}
    {"do": "hold", "payer": […], "count": 3, "amount": 10000}      reserved and opened, never ended
    {"do": "paced", …, "over": 8}                                   as calls, begun evenly over so many seconds
    {"do": "clock", "offset": 3600}                                the database's clock, as this process sees it, is so many seconds ahead
    {"do": "flush"} · {"do": "stop"}

It answers each with one JSON line. It says {"ready": true} first.
"""

import asyncio
import json
import random
import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from backend.budgets.repository import database_time
from tests.budgets.till import Payer, Tally, Till, open_till


async def calls(till: Till, command: dict[str, Any]) -> dict[str, Any]:
    """All at once; each charged a random share of its reservation, from `least` up; some fail and are released."""
    chance = random.Random(command.get("seed"))
    payer, amount = Payer(*command["payer"]), command["amount"]
    tally = Tally()

    async def one(number: int, share: float, fails: bool, wait: float) -> None:
        await asyncio.sleep(command.get("over", 0.0) * number / command["count"])
        charged = 0 if fails else max(1, int(amount * share))
        tally.add(await till.call(payer, amount, charged, busy=lambda: asyncio.sleep(wait)))

    shares = [chance.uniform(command.get("least", 1.0), 1.0) for _ in range(command["count"])]
    await asyncio.gather(
        *(
            one(number, share, chance.random() < command.get("fail", 0.0), chance.uniform(0, command.get("wait", 0.0)))
            for number, share in enumerate(shares)
        )
    )
    return asdict(tally)


async def hold(till: Till, command: dict[str, Any]) -> dict[str, Any]:
    payer = Payer(*command["payer"])
    for _ in range(command["count"]):
        reservation = await till.reserve(payer, command["amount"])
        till.open_call(payer, reservation)
    return {"held": command["count"]}


async def serve(url: str, data_dir: Path) -> None:
    offset = 0.0

    async def shifted(session: AsyncSession) -> datetime:
        return await database_time(session) + timedelta(seconds=offset)

    async with open_till(url, data_dir, time_of=shifted) as till:
        print(json.dumps({"ready": True}), flush=True)  # noqa: T201
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            match command["do"]:
                case "calls" | "paced":
                    answer = await calls(till, command)
                case "hold":
                    answer = await hold(till, command)
                case "clock":
                    offset, answer = command["offset"], {}
                case "flush":
                    await till.metering.flush()
                    answer = {}
                case _:
                    break
            print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
