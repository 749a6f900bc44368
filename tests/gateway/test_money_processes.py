"""The case of 500 calls for 100 places, against Bourse as a process of its own: 20 budgets, one after another, each exactly spent."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable

import aiohttp
import pytest
import yaml

from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.test_money import CALL, TEN, UNLIMITED, configuration, honours_the_cap
from tests.rig.server import AppServer

ROUNDS = 20


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.case("B1")
async def test_exactly_100_of_500_are_admitted_20_times_out_of_20(app_server: Callable[..., AppServer], upstream: OpenAIUpstream) -> None:
    settings = configuration(upstream.base_url, upstream.base_url)
    budget = {"limit_usd": 1, "window": "calendar_month"}
    keys = [f"sk-round{number}.local-only" for number in range(ROUNDS)]
    settings["bootstrap"]["api_keys"] = [
        {"tenant": "shop", "name": key[3:9], "key": key, "budget": budget, "rate_limit": UNLIMITED} for key in keys
    ]
    upstream.script(honours_the_cap)
    server = app_server("gateway", configuration=yaml.safe_dump(settings))
    seen = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(key: str) -> int:
            async with session.post(f"{server.url}/v1/chat/completions", json=TEN, headers={"authorization": f"Bearer {key}"}) as response:
                await response.read()
                return response.status

        for key in keys:
            statuses = Counter(await asyncio.gather(*(call(key) for _ in range(500))))
            assert statuses == {200: 100, 403: 400}, key
            assert len(upstream.requests) - seen == 100
            seen = len(upstream.requests)
    await asyncio.to_thread(server.stop)
    database = sqlite3.connect(f"file:{server.data_dir / 'bourse.db'}?mode=ro", uri=True)
    try:
        per_key = database.execute(
            "SELECT b.limit_nano, (SELECT sum(spent_nano) FROM budget_day WHERE budget_id = b.id),"
            " (SELECT sum(charged_nano) FROM \"call\" WHERE key_id = b.scope_id) FROM budget b WHERE b.scope = 'key'"
            " AND b.scope_id IN (SELECT id FROM api_key WHERE public_id LIKE 'round%')"
        ).fetchall()
        assert per_key == [(100 * CALL, 100 * CALL, 100 * CALL)] * ROUNDS
        assert database.execute("SELECT coalesce(sum(amount_nano), 0) FROM budget_lease").fetchone() == (0,)
    finally:
        database.close()
