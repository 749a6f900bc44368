"""What of an offer's prices is about one unit, so that nothing is charged twice where a source states a price in several.

A picture's price is stated for qualities and sizes ("high, 1024-x-1536", "1024-x-1024", "4K"), per picture or per pixel, and by some
sources under the name of its input. It is found here by what was asked for; where the model may choose, the dearest counts.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from backend.gateway.operations.images import LARGEST, size_of
from backend.gateway.operations.operation import Unit
from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.tiers import SURCHARGES

_UNITS: Mapping[Unit, frozenset[str]] = {
    "token": frozenset({"token", "request"}),
    "character": frozenset({"character"}),
    "second": frozenset({"second"}),
    "query": frozenset({"query", "request"}),
}
_IMAGE_COMPONENTS = ("image_out", "output", "image_in")
"""In this order: some sources call what a generated picture costs its input."""
_SIZE = re.compile(r"(\d+)-x-(\d+)")
_LONGEST = {"0.5K": 512, "1K": 1024, "2K": 2048, "4K": 4096}


def tariff(card: PriceCard, unit: Unit, body: Mapping[str, Any]) -> PriceCard | None:
    """The card with nothing but the prices of one unit for this request; None where it has none."""
    if unit == "image":
        lines = _of_an_image(card.lines, body)
    else:
        lines = tuple(line for line in card.lines if line.unit in _UNITS[unit] and line.component not in SURCHARGES)
        if unit == "second":
            lines = tuple(line for line in lines if line.component in ("input", "audio_in"))
    return PriceCard(card.offer_id, card.state, lines) if lines else None


def _of_an_image(lines: Iterable[PriceLine], body: Mapping[str, Any]) -> tuple[PriceLine, ...]:
    """The one price of a picture, as if it were the offer's only one."""
    usable = [line for line in lines if line.unit in ("image", "pixel") and line.service_tier is None and line.region is None]
    for component in _IMAGE_COMPONENTS:
        best = _best([line for line in usable if line.component == component], body)
        if best is not None:
            line, nano = best
            return (PriceLine(line.id, "image_out", "image", nano, time_window=line.time_window),)
    return ()


def _best(lines: list[PriceLine], body: Mapping[str, Any]) -> tuple[PriceLine, int] | None:
    """Of the prices that may be meant, the dearest of those that fit best; with it nano-dollars for a million pictures."""
    size, quality = size_of(body), body.get("quality")
    fitting = [(fit, line) for line in lines if (fit := _fit(line.variant, quality, size)) is not None]
    if not fitting:
        return None
    closest = max(fit for fit, _ in fitting)
    prices = [(line, _nano(line, size)) for fit, line in fitting if fit == closest]
    return max(prices, key=lambda price: price[1])


def _fit(variant: str | None, quality: str | None, size: tuple[int, int] | None) -> int | None:
    """How much of what was asked for a price names; None where it is for something else. What was left open fits everything, so that all
    prices that the model may choose from are equally near."""
    if variant is None:
        return 0
    fit = 0
    for word in variant.split(", "):
        found = _SIZE.fullmatch(word)
        if found is not None or word in _LONGEST:
            longest = _LONGEST.get(word)
            if size is not None and (max(size) > longest if longest is not None else size != (int(found[1]), int(found[2]))):  # type: ignore[index]
                return None
            fit += 2
        elif not word.endswith("-steps"):
            if quality not in (None, "auto", word):
                return None
            fit += 1
    return fit


def _nano(line: PriceLine, size: tuple[int, int] | None) -> int:
    if line.unit == "image":
        return line.nano_per_million
    found = _SIZE.search(line.variant or "")
    width, height = (int(found[1]), int(found[2])) if found is not None else size or LARGEST
    return line.nano_per_million * width * height
