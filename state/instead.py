"""What could be taken instead of a model, as its page lists it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST = 3


@dataclass(slots=True)
class InsteadLine:
    """One suggestion: a model with `href` to its page, or a seller without. `change` is that of the cost, in percent."""

    id: str = ""
    name: str = ""
    href: str = ""
    why: str = ""
    change: str = ""
    cheaper: bool = False


@dataclass(slots=True)
class InsteadGroup:
    """`reason` says why there is nothing, and is empty where there is."""

    title: str = ""
    lines: list[InsteadLine] = field(default_factory=list)
    reason: str = ""


def instead_groups(body: Mapping[str, Any], sellers: Mapping[str, str]) -> list[InsteadGroup]:
    """From the body of `GET /suggestions/{id}`: the same words on the page and for programs."""
    return [
        _group("Cheaper but similar", body["cheaperButSimilar"], sellers),
        _group("Better for the same money", body["betterForTheSameMoney"], sellers),
        _group("The same model, cheaper", body["sameModelCheaperOffer"], sellers),
    ]


def _group(title: str, found: Mapping[str, Any], sellers: Mapping[str, str]) -> InsteadGroup:
    reason = found["reason"] or ""
    if reason:
        reason = f"{reason[0].upper()}{reason[1:]}."
    return InsteadGroup(title, [_line(one, sellers) for one in found["items"][:MOST]], "" if found["items"] else reason)


def _line(one: Mapping[str, Any], sellers: Mapping[str, str]) -> InsteadLine:
    percent = (one["costDelta"] or {}).get("percent")
    latency = one["latencyDeltaMs"]
    measured = "" if latency is None else f" Measured here: {abs(latency):,.0f} ms {'slower' if latency > 0 else 'sooner'}."
    model, offer = one.get("modelId"), one["offer"]
    tier, size = one.get("serviceTier"), abs(percent or 0)
    return InsteadLine(
        id=f"{model or ''} {offer['id']} {tier or ''}",
        name=one["name"] if model else sellers.get(offer["provider"], offer["provider"]) + (f", {tier}" if tier else ""),
        href=f"/models/{model}" if model else "",
        why=one["explanation"] + measured,
        change="" if percent is None else f"{'−' if percent < 0 else '+'}{size:.{1 if 99 < size < 100 else 0}f} %",
        cheaper=percent is not None and percent < 0,
    )
