"""`GET /v1/budget` and `GET /v1/usage`: what a key may know of itself."""

from typing import Any

import pytest

from tests.fakes.openai_upstream import OpenAIUpstream, status
from tests.gateway.conftest import KEY, LIMITED_KEY, PLAIN, Rig
from tests.gateway.test_errors import assert_error


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
    ],
)
async def test_what_cannot_be_meant_is_a_400(gateway: Rig, query: str, param: str) -> None:
    response = await gateway.http.get(f"/v1/usage?{query}", headers={"authorization": f"Bearer {KEY}"})
    assert_error(response, 400, "invalid_request_error", None, param)


@pytest.mark.parametrize("path", ["/v1/budget", "/v1/usage"])
async def test_only_a_key_may_ask_and_only_with_get(gateway: Rig, path: str) -> None:
    assert_error(await gateway.http.get(path), 401, "invalid_request_error", "invalid_api_key")
    response = await gateway.http.post(path, headers={"authorization": f"Bearer {KEY}"})
    assert_error(response, 405, "invalid_request_error", "method_not_allowed")
