"""`GET /v1/budget` and `GET /v1/usage`: what a key may know of itself."""

import asyncio
import re
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from backend.gateway import self_service
from backend.gateway.self_service import MOST_OF_A_KEY
from backend.identity.principal import system
from tests.fakes.openai_upstream import OpenAIUpstream, status
from tests.gateway.conftest import KEY, LIMITED_KEY, PLAIN, Rig
from tests.gateway.errors import assert_error

WHO = {"authorization": f"Bearer {KEY}"}


async def get(rig: Rig, path: str, key: str = KEY) -> Any:
    response = await rig.http.get(path, headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_budget_is_told_before_and_after_the_first_call(gateway: Rig) -> None:
    before = await get(gateway, "/v1/budget")
    assert (before["limit_usd"], before["used_usd"], before["remaining_usd"]) == (100, 0, 100)
    assert (before["scope"], before["window"], before["exceeded"]) == ("tenant", "calendar_month", False)
    answer = await gateway.post(PLAIN)
    after = await get(gateway, "/v1/budget")
    assert after["used_usd"] == float(answer.headers["x-bourse-cost-usd"]) > 0
    assert after["budgets"][0]["resets_at"]


async def test_usage_is_the_keys_own_rows_newest_first_page_by_page(gateway: Rig, upstream: OpenAIUpstream) -> None:
    sent = [(await gateway.post(PLAIN)).headers["x-request-id"] for _ in range(5)]
    await gateway.post(PLAIN, key=LIMITED_KEY)
    upstream.script(status(500))
    sent.append((await gateway.post({**PLAIN, "model": "nope"})).headers["x-request-id"])
    found, cursor = [], ""
    for size in (4, 2, 1):
        page = await get(gateway, f"/v1/usage?limit=4{cursor and '&cursor=' + cursor}")
        found += page["data"]
        cursor = page["next_cursor"]
        assert len(page["data"]) == (4 if size == 4 else 2)
        if cursor is None:
            break
    assert [row["request_id"] for row in found] == sent[::-1]
    refused, answered = found[0], found[1]
    assert (refused["outcome"], refused["cost_usd"], refused["attempts"], refused["error_code"]) == ("refused", 0, 0, "model_not_found")
    assert answered["outcome"] == "completed"
    assert (answered["prompt_tokens"], answered["completion_tokens"], answered["attempts"]) == (20, 12, 1)
    assert answered["cost_usd"] > 0
    assert (answered["provider"], answered["model"]) == ("acme", "gpt-fake-2026-01-01")
    assert len((await get(gateway, "/v1/usage", LIMITED_KEY))["data"]) == 1


async def test_body_and_headers_say_the_same_of_a_spent_budget_that_warns_nowhere(gateway: Rig) -> None:
    admin = system("test")
    async with gateway.runtime.db.read() as session:
        tenant, key = (await session.execute(sa.text("SELECT tenant_id, id FROM api_key WHERE public_id = 'demo'"))).one()
    await gateway.runtime.budgets.set(admin, tenant, "key", key, limit_nano=0, window="lifetime", warn_at=[])
    await gateway.runtime.keeper.load()
    refused = await gateway.post(PLAIN)
    assert_error(refused, 403, "insufficient_quota", "budget_exceeded")
    told = await get(gateway, "/v1/budget")
    assert (told["scope"], told["warning"], told["exceeded"], told["resets_at"]) == ("key", True, True, None)
    said = (refused.headers["x-budget-scope"], refused.headers["x-budget-warning"], refused.headers["x-budget-exceeded"])
    assert said == ("key", "true", "true")
    assert "x-budget-resets-at" not in refused.headers


async def test_a_key_that_asks_for_too_much_at_once_is_told_to_wait_and_others_are_not(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_service, "CALLERS_PATIENCE", 60)
    open_at_once = 3 * MOST_OF_A_KEY
    limits = httpx.Limits(max_connections=open_at_once + 1)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30, limits=limits) as http:
        # While somebody writes, nobody can catch up, so all of them are waiting.
        async with gateway.runtime.metering._writer._draining:
            await gateway.post(PLAIN)
            asked = [asyncio.create_task(http.get("/v1/usage", headers=WHO)) for _ in range(open_at_once)]
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            assert next(iter(done)).result().status_code == 429
            other = asyncio.create_task(http.get("/v1/usage", headers={"authorization": f"Bearer {LIMITED_KEY}"}))
            while sum(task.done() for task in asked) < open_at_once - MOST_OF_A_KEY:
                await asyncio.sleep(0.01)
        answers = await asyncio.gather(*asked)
        assert (await other).status_code == 200
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == open_at_once - MOST_OF_A_KEY
    assert refused[0].headers["retry-after"] == "1"
    assert [len(answer.json()["data"]) for answer in answers if answer.status_code == 200] == [1] * MOST_OF_A_KEY
    assert len((await get(gateway, "/v1/usage"))["data"]) == 1


async def test_since_leaves_out_what_is_older(gateway: Rig) -> None:
    await gateway.post(PLAIN)
    created = (await get(gateway, "/v1/usage"))["data"][0]["created"]
    assert len((await get(gateway, f"/v1/usage?since={created}"))["data"]) == 1
    assert (await get(gateway, f"/v1/usage?since={created + 1}"))["data"] == []
    assert (await get(gateway, "/v1/usage?since=2999-01-01T00:00:00+02:00"))["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A1", "limit"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=WzEsMl0", "cursor"),
        ("since=yesterday", "since"),
        ("since=99999999999999999999", "since"),
        ("after=WzEsMl0", "after"),
        ("limit=1&Limit=2", "Limit"),
        ("offset", "offset"),
    ],
)
async def test_what_cannot_be_meant_is_a_400(gateway: Rig, query: str, param: str) -> None:
    response = await gateway.http.get(f"/v1/usage?{query}", headers=WHO)
    assert_error(response, 400, "invalid_request_error", None, param)


async def test_a_budget_takes_no_parameters(gateway: Rig) -> None:
    response = await gateway.http.get("/v1/budget?user=eve", headers=WHO)
    assert_error(response, 400, "invalid_request_error", None, "user")


async def test_an_unknown_endpoint_names_those_that_there_are(gateway: Rig) -> None:
    for path in ("/v1/videos", "/v1/modelsmore", "/router"):
        response = await gateway.http.get(path)
        assert_error(response, 404, "invalid_request_error", "not_found")
        message = response.json()["error"]["message"]
        named = re.findall(r"/v1/[a-z_/]+", message)
        assert {"/v1/chat/completions", "/v1/models", "/v1/embeddings", "/v1/budget", "/v1/usage"} <= set(named)
        assert {(await gateway.http.get(one)).status_code for one in named} == {401, 405}


@pytest.mark.parametrize("path", ["/v1/budget", "/v1/usage"])
async def test_only_a_key_may_ask_and_only_with_get(gateway: Rig, path: str) -> None:
    assert_error(await gateway.http.get(path), 401, "invalid_request_error", "invalid_api_key")
    response = await gateway.http.post(path, headers={"authorization": f"Bearer {KEY}"})
    assert_error(response, 405, "invalid_request_error", "method_not_allowed")
