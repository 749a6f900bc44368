"""Pictures: the SDK, the wire, the ledger, and whose price is charged."""

import base64
import struct
from typing import Any

import pytest

from backend.gateway.operations.tariffs import tariff
from backend.pricing.cost import PriceCard, PriceLine
from tests.fakes.openai_operations import PIXEL, images
from tests.fakes.openai_upstream import OpenAIUpstream, whole
from tests.gateway.operations.conftest import OperationRig as Rig

ASKED = {"model": "draw", "prompt": "a ledger"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("url", [False, True])
async def test_the_sdk_gets_pictures_and_each_is_charged(gateway: Rig, upstream: OpenAIUpstream, url: bool) -> None:
    upstream.script(whole(images(many=3, url=url)))
    answer = await gateway.client.images.generate(model="draw", prompt="a ledger", n=3, size="1024x1024", response_format="url")
    assert answer.data is not None
    assert [one.url if url else one.b64_json for one in answer.data] == ["https://pictures.example/1.png" if url else PIXEL] * 3
    body = {"model": "draw-fake", "prompt": "a ledger", "n": 3, "size": "1024x1024", "response_format": "url"}
    assert (upstream.requests[0].path, upstream.requests[0].body) == ("/v1/images/generations", body)
    row = await gateway.last_row()
    assert (row["endpoint"], row["unit"], row["quantity"], row["usage_source"]) == ("images.generations", "image", 3, "counted")
    assert (row["charged_nano"], row["input_tokens"], row["output_tokens"]) == (3 * 40_000_000, 0, 0)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_came_is_charged_and_not_what_was_asked_for(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(images(many=2)))
    await gateway.ask("images/generations", {**ASKED, "n": 4})
    row = await gateway.last_row()
    assert (row["quantity"], row["charged_nano"]) == (2, 80_000_000)


@pytest.mark.asyncio(loop_scope="module")
async def test_tokens_are_charged_where_the_offer_is_priced_by_them(gateway: Rig, upstream: OpenAIUpstream) -> None:
    usage = {
        "total_tokens": 1066,
        "input_tokens": 10,
        "output_tokens": 1056,
        "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
    }
    upstream.script(whole(images(usage=usage)))
    await gateway.ask("images/generations", {**ASKED, "model": "draw-tokens", "quality": "medium"})
    row = await gateway.last_row()
    assert (row["unit"], row["input_tokens"], row["output_tokens"], row["usage_source"]) == (None, 10, 1056, "provider")
    assert row["charged_nano"] == 10 * 5_000 + 1056 * 40_000
    assert not row["overrun"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("broken", [{}, {"data": []}, {"data": [{}]}, {"data": [None]}, {"data": "picture"}])
async def test_an_answer_without_a_picture_is_the_providers_failure(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream, broken: Any
) -> None:
    upstream.script(whole(broken))
    other.script(whole(images()))
    assert (await gateway.ask("images/generations", {**ASKED, "model": "draw-pair"})).json()["bourse"]["provider"] == "backup"
    row = await gateway.last_row()
    assert (row["charged_nano"], row["provider_cost_nano"]) == (400_000_000, 440_000_000)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_sandbox_draws_one_color(gateway: Rig) -> None:
    answer = await gateway.client.images.generate(model="my-image", prompt="red", size="1536x1024", n=2)
    assert answer.data is not None
    pictures = [base64.b64decode(one.b64_json or "") for one in answer.data]
    for picture in pictures:
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert struct.unpack(">II", picture[16:24]) == (1536, 1024)
    again = await gateway.client.images.generate(model="my-image", prompt="red", size="1536x1024", n=2, response_format="url")
    assert again.data is not None
    assert (again.data[0].url or "").removeprefix("data:image/png;base64,") == answer.data[0].b64_json
    assert [row["charged_nano"] for row in await gateway.rows()] == [80_000_000] * 2


# ── whose price ──────────────────────────────────────────────────────────────────────────────────────────────────────


def line(usd: float, variant: str | None = None, component: str = "image_out", unit: str = "image") -> PriceLine:
    return PriceLine(f"{component} {variant}", component, unit, round(usd * 10**15), variant=variant)


BY_QUALITY = (
    line(0.01, "low, 1024-x-1024"),
    line(0.04, "medium, 1024-x-1024"),
    line(0.17, "high, 1024-x-1024"),
    line(0.25, "high, 1024-x-1536"),
    line(0.02),
)


@pytest.mark.parametrize(
    ("lines", "asked", "usd"),
    [
        pytest.param(BY_QUALITY, {"quality": "low", "size": "1024x1024"}, 0.01, id="as asked"),
        pytest.param(BY_QUALITY, {"quality": "high", "size": "1024x1536"}, 0.25, id="as asked, another size"),
        pytest.param(BY_QUALITY, {"size": "1024x1024"}, 0.17, id="the dearest quality where the model chooses"),
        pytest.param(BY_QUALITY, {"quality": "auto", "size": "auto"}, 0.25, id="the dearest of all where it chooses everything"),
        pytest.param(BY_QUALITY, {"quality": "low", "size": "256x256"}, 0.02, id="the plain price where no other fits"),
        pytest.param((line(0.06, "2K"), line(0.09, "4K")), {"size": "1024x1024"}, 0.09, id="sizes by their longest side: the dearest"),
        pytest.param((line(0.06, "1K"), line(0.09, "4K")), {"size": "2048x2048"}, 0.09, id="sizes that hold it"),
        pytest.param((line(0.03, "high", "image_in"), line(0.04)), {"quality": "high"}, 0.04, id="an output's price before an input's"),
        pytest.param((line(0.03, "high, 1024-x-1024", "image_in"),), {"quality": "high"}, 0.03, id="an input's where it is the only one"),
        pytest.param((line(4e-8, "hd, 1024-x-1024", "image_in", "pixel"),), {"quality": "hd"}, 4e-8 * 2**20, id="by the pixel"),
        pytest.param((line(0.08, "1024-x-1024, 50-steps"),), {"size": "1024x1024"}, 0.08, id="steps are the model's"),
    ],
)
def test_a_picture_costs_what_was_asked_for(lines: tuple[PriceLine, ...], asked: dict[str, Any], usd: float) -> None:
    found = tariff(PriceCard("acme/draw", "priced", lines), "image", {"prompt": "x", **asked})
    assert found is not None
    assert found.lines[0].nano_per_million == pytest.approx(usd * 1e15)


def test_a_size_that_nobody_has_a_price_for_has_none() -> None:
    assert tariff(PriceCard("acme/draw", "priced", BY_QUALITY[:4]), "image", {"prompt": "x", "size": "256x256"}) is None
