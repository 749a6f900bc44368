"""A route out of a ranked answer: those of its offers that calls can be sent to here, in the order of the answer. Pure."""

import re
from collections.abc import Collection, Sequence
from typing import Any

import yaml

from backend.matching.service import Ranked

MOST_CANDIDATES = 3
Candidates = tuple[tuple[str, str], ...]
"""Pairs of a provider's id and what it calls the model."""
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")


def alias_of(task: str) -> str:
    """A name for the route of a task: `long-form-summarization`."""
    words = _NOT_A_NAME.sub("-", task.lower()).strip("-").split("-")
    return "-".join(words[:4]) or "matched"


def candidates_of(results: Sequence[Ranked], configured: Collection[str], upstream_ids: dict[str, str]) -> Candidates:
    """Nobody where no provider that is configured here sells any of them.

    Args:
        upstream_ids: by offer, what its provider calls the model.
    """
    usable = [one for one in results if one.provider in configured]
    return tuple((one.provider, upstream_ids[one.offer_id]) for one in usable[:MOST_CANDIDATES])


def route_fields(candidates: Candidates) -> dict[str, Any]:
    """The route as routing takes it."""
    return {"strategy": "ordered", "candidates": [{"provider": provider, "model": model} for provider, model in candidates]}


def as_yaml(alias: str, candidates: Candidates) -> str:
    """The same as it stands in the configuration file."""
    route = {"alias": alias, **route_fields(candidates)}
    return yaml.safe_dump({"models": [route]}, sort_keys=False, default_flow_style=None, width=100)
