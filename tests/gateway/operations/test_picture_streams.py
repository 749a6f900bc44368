"""Pictures in events: half done and done, what is charged, and providers that answer whole or break off."""

import asyncio
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.fakes.openai_operations import PIXEL, form_of, images
from tests.fakes.openai_upstream import OpenAIUpstream, events, whole
from tests.gateway.conftest import KEY
from tests.gateway.operations.conftest import OperationRig as Rig
from tests.gateway.operations.test_audio_streams import in_two

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SHOWN = {"background": "opaque", "created_at": 1_790_000_000, "output_format": "png", "quality": "high", "size": "1024x1024"}
USAGE = {"total_tokens": 1266, "input_tokens": 10, "output_tokens": 1256, "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}}
PARTS = tuple({"type": "image_generation.partial_image", "b64_json": PIXEL, "partial_image_index": at, **SHOWN} for at in range(2))
DRAWN = {"type": "image_generation.completed", "b64_json": PIXEL, "usage": USAGE, **SHOWN}
ASK: dict[str, Any] = {"prompt": "a ledger", "stream": True, "partial_images": 2, "size": "1024x1024"}


@pytest.mark.provides("openai", "images")
async def test_the_sdk_sees_a_picture_come_to_be(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*PARTS, DRAWN))
    found = [event async for event in await gateway.client.images.generate(model="draw-tokens", **ASK)]
    assert [event.type for event in found] == [one["type"] for one in (*PARTS, DRAWN)]
    assert (found[0].b64_json, found[-1].usage.output_tokens) == (PIXEL, 1256)
    assert upstream.requests[0].body == {"model": "draw-tokens-fake", **ASK}
    row = await gateway.last_row()
    assert (row["input_tokens"], row["output_tokens"], row["usage_source"], row["stream"]) == (10, 1256, "provider", 1)
    assert (row["charged_nano"], row["overrun"]) == (10 * 5_000 + 1256 * 40_000, 0)


async def test_one_picture_is_charged_where_the_offer_is_priced_by_it(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(events(*PARTS, DRAWN))
    response = await gateway.ask("images/generations", {"model": "draw", **ASK})
    assert '"bourse":{' in response.text.split("\n\n")[-2]
    row = await gateway.last_row()
    assert (row["unit"], row["quantity"], row["charged_nano"]) == ("image", 1, 40_000_000)


@pytest.mark.provides("openai", "images")
async def test_an_edit_comes_in_events(gateway: Rig, upstream: OpenAIUpstream) -> None:
    parts = [{**one, "type": "image_edit.partial_image"} for one in PARTS]
    usage = {**USAGE, "input_tokens": 333, "input_tokens_details": {"text_tokens": 10, "image_tokens": 323}}
    upstream.script(events(*parts, {**DRAWN, "type": "image_edit.completed", "usage": usage}))
    stream = await gateway.client.images.edit(model="change-tokens", image=PNG, **ASK)
    assert [event.type async for event in stream] == ["image_edit.partial_image"] * 2 + ["image_edit.completed"]
    sent = form_of(upstream.requests[0])
    assert (sent["stream"], sent["partial_images"]) == ([b"true"], [b"2"])
    assert (await gateway.last_row())["charged_nano"] == 10 * 5_000 + 323 * 10_000 + 1256 * 40_000


async def test_who_draws_whole_is_told_in_one_event(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(usage=USAGE)))
    [done] = [event async for event in await gateway.client.images.generate(model="draw-tokens", **ASK)]
    assert (done.type, done.b64_json, done.usage.total_tokens) == ("image_generation.completed", PIXEL, 1266)
    assert (await gateway.last_row())["usage_source"] == "provider"


@pytest.mark.parametrize("step", [events(), events({"type": "error", "message": "no"}), whole(images(many=0)), whole({"data": [{}]})])
async def test_until_the_first_event_another_candidate_may_draw(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, step: Any
) -> None:
    upstream.script(step)
    other.script(events(*PARTS, DRAWN))
    response = await gateway.ask("images/generations", {"model": "draw-pair", **ASK})
    assert response.text.count("data: ") == 3
    row = await gateway.last_row()
    assert (row["provider"], row["attempts"], row["charged_nano"]) == ("backup", 2, 400_000_000)


async def test_a_picture_that_is_never_done_costs_nothing(gateway: Rig, upstream: OpenAIUpstream) -> None:
    seen = asyncio.Event()
    upstream.script(in_two(PARTS, (), seen))
    got = b""
    bearer = {"authorization": f"Bearer {KEY}"}
    async with gateway.http.stream("POST", "/v1/images/generations", json={"model": "draw", **ASK}, headers=bearer) as response:
        with suppress(httpx.RemoteProtocolError):  # after the error the stream is cut
            async for piece in response.aiter_bytes():
                got += piece
                seen.set()
    assert b'"error"' in got.split(b"\n\n")[-2]
    row = await gateway.last_row("failed")
    assert (row["charged_nano"], row["provider_cost_nano"]) == (0, 40_000_000)


async def test_pictures_half_done_are_reserved_for(gateway: Rig, upstream: OpenAIUpstream) -> None:
    """High quality takes 4,160 tokens of 1024x1024, each picture half done 100 more; 0.4 USD are 10,000."""
    upstream.script(events(*PARTS, {**DRAWN, "usage": {**USAGE, "output_tokens": 4_460}}))
    await gateway.ask("images/generations", {"model": "draw-tokens", **ASK, "partial_images": 3})
    assert not (await gateway.last_row())["overrun"]


@pytest.mark.provides("sandbox", "images")
async def test_the_sandbox_draws_in_one_event(gateway: Rig) -> None:
    [done] = [event async for event in await gateway.client.images.generate(model="my-image", prompt="red", size="64x64", stream=True)]
    assert done.type == "image_generation.completed"
    assert (await gateway.last_row())["charged_nano"] == 40_000_000
