"""A link to Redis that is looked for again."""

import asyncio
from typing import Any

import pytest

from backend.limits import standing_link
from backend.limits.redis_link import LinkDown, RedisLink
from backend.limits.standing_link import StandingLink


async def test_a_link_that_is_lost_in_the_turn_in_which_it_was_made_is_looked_for_again(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_link, "PROBE_SECONDS", (0.01,))
    connect, changes, found = RedisLink.connect, list[bool](), asyncio.Event()

    async def lost_at_first(url: str, **options: Any) -> RedisLink:
        link = await connect(url, **options)
        if not changes:
            link.fail(LinkDown("closed by Redis"))
        return link

    def on_change(is_up: bool) -> None:
        changes.append(is_up)
        if is_up:
            found.set()

    monkeypatch.setattr(RedisLink, "connect", lost_at_first)
    standing = StandingLink(redis_url, "test", "nothing", answer_seconds=20, on_change=on_change)
    await standing.start()
    assert standing.link is None
    await asyncio.wait_for(found.wait(), 20)
    assert standing.link is not None
    assert await standing.link.call("PING") == b"PONG"
    await standing.stop()
