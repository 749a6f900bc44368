"""What all calls of a process share as they ask candidates."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backend.gateway.retry_budget import RetryBudget
from backend.providers.provider import Provider
from backend.routing.health import Health
from backend.routing.route import Candidate

Window = Callable[[Candidate], int | None]
"""Tokens that a candidate's model holds, as far as known."""


@dataclass(slots=True)
class Upstreams:
    providers: Mapping[str, Provider]
    window: Window
    health: Health
    retries: RetryBudget = field(default_factory=RetryBudget)
    random: Callable[[], float] = random.random
    """Between 0 and 1, for the length of pauses."""
