"""What is kept over Redis, as callers of several replicas meet it, and that nobody needs a Redis to be answered."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from backend.gateway.cache.redis_store import RedisStore
from backend.observability.metrics import Metrics
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.cache.conftest import Stage, cached_configuration
from tests.gateway.conftest import open_gateway


@pytest.fixture
async def with_redis(
    tmp_path: Path, sqlite_database_url: str, redis_url: str, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> AsyncIterator[Stage]:
    settings = cached_configuration(upstream.base_url, other.base_url)
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump({**settings, "redis_url": redis_url}))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        # One that waits for Redis on a machine that has other things to do.
        patient = rig.runtime.gateway.cache._redis = RedisStore(redis_url, Metrics(), answer_seconds=5.0)
        await patient.start()
        yield Stage(rig, upstream, other, "What is on the other replica?")


def as_another_replica(stage: Stage) -> None:
    """It has what Redis has, and nothing in memory."""
    stage.rig.runtime.gateway.cache._memory.clear()


async def test_what_one_replica_bought_is_a_hit_at_the_others_and_without_redis_each_buys_its_own(with_redis: Stage) -> None:
    stage = with_redis
    assert (await stage.ask(stream=True)).headers["x-bourse-cache"] == "miss"
    as_another_replica(stage)
    answers = await asyncio.gather(*(stage.ask() for _ in range(6)))
    assert [answer.headers["x-bourse-cache"] for answer in answers] == ["hit"] * 6
    assert stage.asked == 1
    sample = stage.rig.runtime.metrics.registry.get_sample_value
    sources = [sample("bourse_cache_lookups_total", {"result": "hit", "source": source}) or 0 for source in ("redis", "memory", "joined")]
    assert sources[0] == 1, "Redis is asked once, whoever else waits for it"
    assert sum(sources) == 6

    as_another_replica(stage)
    assert stage.rig.runtime.gateway.cache._redis is not None
    await stage.rig.runtime.gateway.cache._redis.stop()
    lonely = await stage.ask()
    assert (lonely.status_code, lonely.headers["x-bourse-cache"]) == (200, "miss")
    assert (await stage.ask()).headers["x-bourse-cache"] == "hit"
    assert stage.asked == 2
