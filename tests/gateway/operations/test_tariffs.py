"""Whose price a picture is charged by: quality and size, per picture or per pixel."""

from typing import Any

import pytest

from backend.gateway.operations.tariffs import tariff
from backend.pricing.cost import PriceCard, PriceLine


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
