"""Requests with one `Idempotency-Key` are one call: same bytes for everybody, one call upstream, one row."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import LIMITED_KEY, PLAIN, Rig

STREAM = {**PLAIN, "stream": True}


def under(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


@pytest.mark.case("I1")
@pytest.mark.parametrize("body", [PLAIN, STREAM], ids=["whole", "streamed"])
async def test_a_hundred_twins_are_one_call_and_read_the_same_bytes(gateway: Rig, upstream: OpenAIUpstream, body: dict[str, Any]) -> None:
    answers = await asyncio.gather(*(gateway.post(body, headers=under("order-17")) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(upstream.requests) == 1
    rows = await gateway.rows()
    assert [(row["outcome"], row["attempts"]) for row in rows] == [("completed", 1)]
    first = [answer for answer in answers if "idempotency-replayed" not in answer.headers]
    assert len(first) == 1
    assert {answer.headers.get("x-bourse-replay-of") for answer in answers} == {None, rows[0]["request_id"]}
    assert first[0].headers["x-request-id"] == rows[0]["request_id"]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 100
