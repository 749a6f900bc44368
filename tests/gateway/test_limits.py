"""Limits over the gateway: what is refused, what the headers say, and that nothing stays counted that does not run."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, _whole, completion, hang, status
from tests.gateway.conftest import LIMITED_KEY, PLAIN, Rig, configuration, open_gateway
from tests.gateway.errors import assert_error

TEN_AT_ONCE, TWO_A_MINUTE, FEW_TOKENS = "sk-ten.local-only", "sk-two.local-only", "sk-few.local-only"
SOFT = "sk-soft.local-only"


@pytest.fixture
async def limited(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream) -> AsyncIterator[Rig]:
    settings = configuration(upstream.base_url, other.base_url)
    none = {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}
    limits = {TEN_AT_ONCE: {"parallel": 10}, TWO_A_MINUTE: {"requests_per_minute": 2}, FEW_TOKENS: {"tokens_per_minute": 1000}}
    settings["bootstrap"]["api_keys"] += [
        {"tenant": "small", "name": key[3:6], "key": key, "rate_limit": none | limit} for key, limit in limits.items()
    ]
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


@pytest.mark.case("L4")
async def test_the_upstream_never_sees_more_calls_at_once_than_the_key_may_make(limited: Rig, upstream: OpenAIUpstream) -> None:
    running = most = 0
    full, go = asyncio.Event(), asyncio.Event()

    async def one_at_a_time_counted(exchange: Exchange) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 10:
            full.set()
        await go.wait()
        running -= 1
        await _whole(exchange, 200, completion("done"))

    upstream.script(one_at_a_time_counted)
    calls = [asyncio.create_task(limited.post(PLAIN, key=TEN_AT_ONCE)) for _ in range(100)]
    await asyncio.wait_for(full.wait(), 20)
    while sum(call.done() for call in calls) < 90:
        await asyncio.sleep(0.02)
    go.set()
    answers = await asyncio.gather(*calls)
    assert most == 10
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 90
    assert_error(refused[0], 429, "rate_limit_error", "parallel_limit_exceeded")
    assert refused[0].headers["retry-after"] == "1"
    assert (await limited.post(PLAIN, key=TEN_AT_ONCE)).status_code == 200


async def test_requests_a_minute_are_counted_told_and_refused(limited: Rig, upstream: OpenAIUpstream) -> None:
    began = monotonic()
    first = await limited.post(PLAIN, key=TWO_A_MINUTE)
    second = await limited.post({**PLAIN, "stream": True}, key=TWO_A_MINUTE)
    third = await limited.post(PLAIN, key=TWO_A_MINUTE)
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second, third)] == ["1", "0", "0"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert_error(third, 429, "rate_limit_error", "rate_limit_exceeded")
    assert 60 - (monotonic() - began) - 1 <= int(third.headers["retry-after"]) <= 61
    assert len(upstream.requests) == 2
    row = await limited.last_row()
    assert (row["outcome"], row["status"], row["error_code"]) == ("refused", 429, "rate_limit_exceeded")


async def test_tokens_are_reserved_by_the_bound_and_settled_by_the_provider(limited: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(lambda exchange: _whole(exchange, 200, completion("x", usage={"prompt_tokens": 10, "completion_tokens": 20})))
    body = {**PLAIN, "max_tokens": 500}
    for _ in range(3):
        assert (await limited.post(body, key=FEW_TOKENS)).status_code == 200
    upstream.script(status(500))
    for _ in range(3):
        assert (await limited.post(body, key=FEW_TOKENS)).status_code == 502
    upstream.script(hang())
    waiting = [asyncio.create_task(limited.post(body, key=FEW_TOKENS)) for _ in range(2)]
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    # The two bounds together are above 1,000, so only one is let in while the other runs.
    assert_error(done.pop().result(), 429, "rate_limit_error", "rate_limit_exceeded")
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


@asynccontextmanager
async def rationed(tmp_path: Path, database_url: str, upstreams: tuple[str, str], zone: str, **default: Any) -> AsyncIterator[Rig]:
    """Every key of a tenant in that zone has this default; SOFT is only marked."""
    settings = configuration(*upstreams)
    settings["rate_limits"] = {"default": default}
    settings["bootstrap"]["tenants"][0]["timezone"] = zone
    settings["bootstrap"]["api_keys"] += [{"tenant": "small", "name": "soft", "key": SOFT, "rate_limit": {"quota": "soft"}}]
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, tmp_path, database_url) as rig:
        yield rig


def seconds_to_midnight(zone: str) -> int:
    now = datetime.now(ZoneInfo(zone))
    midnight = datetime.combine(now.date() + timedelta(days=1), time(), ZoneInfo(zone))
    return math.ceil(midnight.timestamp() - now.timestamp())


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kolkata"])
async def test_a_hard_quota_of_the_file_refuses_until_the_tenants_own_midnight(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream, zone: str
) -> None:
    async with rationed(tmp_path, sqlite_database_url, (upstream.base_url, other.base_url), zone, requests_per_day=2) as rig:
        assert [(await rig.post(PLAIN, key=LIMITED_KEY)).status_code for _ in range(2)] == [200, 200]
        most = seconds_to_midnight(zone)
        refused = await rig.post(PLAIN, key=LIMITED_KEY)
        least = seconds_to_midnight(zone)
        assert_error(refused, 429, "rate_limit_error", "quota_exceeded")
        assert (least <= int(refused.headers["retry-after"]) <= most) or least > most
        assert len(upstream.requests) == 2
        row = await rig.last_row()
        assert (row["outcome"], row["error_code"]) == ("refused", "quota_exceeded")


async def test_a_soft_quota_lets_pass_and_marks_header_and_body_whole_and_streamed(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstreams = upstream.base_url, other.base_url
    async with rationed(tmp_path, sqlite_database_url, upstreams, "UTC", requests_per_day=1, requests_per_minute=9) as rig:
        first, second = [await rig.post(PLAIN, key=SOFT) for _ in range(2)]
        assert "x-bourse-quota-exceeded" not in first.headers
        assert "quotaExceeded" not in first.json()["bourse"]
        assert second.status_code == 200
        assert second.headers["x-bourse-quota-exceeded"] == second.json()["bourse"]["quotaExceeded"] == "key requests_per_day"
        assert second.headers["x-ratelimit-limit-requests"] == "9", "what a key does not say of its own is the default's"
        streamed = await rig.post({**PLAIN, "stream": True}, key=SOFT)
        assert streamed.headers["x-bourse-quota-exceeded"] == "key requests_per_day"
        assert '"quotaExceeded":"key requests_per_day"' in streamed.text


async def test_tokens_of_a_day_are_those_of_the_ledger_after_a_restart(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    usage = {"prompt_tokens": 400, "completion_tokens": 500, "total_tokens": 900}
    upstream.script(lambda exchange: _whole(exchange, 200, completion("x", usage=usage)))
    body = {**PLAIN, "max_tokens": 500}
    for expected in (200, 429):
        async with rationed(tmp_path, sqlite_database_url, (upstream.base_url, other.base_url), "UTC", tokens_per_day=1000) as rig:
            assert (await rig.post(body, key=LIMITED_KEY)).status_code == expected


async def test_a_quota_that_is_set_later_counts_what_the_day_has_used(limited: Rig) -> None:
    service, tenant, key = limited.runtime.limits, *await _ids(limited)
    assert (await limited.post(PLAIN, key=TEN_AT_ONCE)).status_code == 200
    await limited.runtime.metering.flush()
    await service.set(_system(), tenant, "key", key, {"requests_per_day": 1})
    await limited.runtime.auth.load()
    await limited.runtime.limit_book.load()
    assert_error(await limited.post(PLAIN, key=TEN_AT_ONCE), 429, "rate_limit_error", "quota_exceeded")


def _system() -> Any:
    from backend.identity.principal import system

    return system("test")


async def _ids(rig: Rig) -> tuple[str, str]:
    key = rig.runtime.auth.authenticate(f"Bearer {TEN_AT_ONCE}", address="127.0.0.1")
    return key.tenant_id, key.key_id


async def test_counting_tokens_is_one_request_of_the_key_and_no_tokens(limited: Rig) -> None:
    asked = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}
    answers = [await limited.http.post("/v1/messages/count_tokens", json=asked, headers={"x-api-key": TWO_A_MINUTE}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].json()["error"]["type"] == "rate_limit_error"
