"""What all calls of a process share as they ask candidates, and what the calls of a tenant share that has provider keys of its own."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from backend.gateway.retry_budget import RetryBudget
from backend.providers.provider import Provider
from backend.routing.health import Health, OwnHealth
from backend.routing.route import Candidate

Window = Callable[[Candidate], int | None]
"""Tokens that a candidate's model holds, as far as known."""


View = Callable[[Mapping[str, Provider]], Mapping[str, Provider]]


@dataclass(slots=True)
class Upstreams:
    providers: Mapping[str, Provider]
    window: Window
    health: Health
    retries: RetryBudget = field(default_factory=RetryBudget)
    random: Callable[[], float] = random.random
    """Between 0 and 1, for the length of pauses."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why a configured provider cannot be asked, as a sentence for callers."""
    own: "dict[str, Upstreams]" = field(default_factory=dict)
    """By tenant: those that are asked with keys of its own."""
    _views: "list[tuple[Upstreams, View]]" = field(default_factory=list)

    def of(self, tenant_id: str) -> "Upstreams":
        """What a tenant's calls ask."""
        return self.own.get(tenant_id, self) if self.own else self

    def seen_by(self, view: View) -> "Upstreams":
        """The same, with providers as somebody sees them; tenants with keys of their own have theirs there, too."""
        seen = replace(self, providers=view(self.providers), _views=[])
        self._views.append((seen, view))
        return seen

    def set_own(self, keys: Mapping[str, Mapping[str, Provider | None]]) -> None:
        """Take up which tenants have keys of their own.

        Args:
            keys: by tenant and provider; None = it has some, and none can be used: then nobody else's is either.
        """
        before, self.own = self.own, {}
        for tenant_id, own in keys.items():
            usable = {name: provider for name, provider in own.items() if provider is not None}
            providers = {name: provider for name, provider in self.providers.items() if name not in own} | usable
            missing = dict(self.missing) | {name: _NONE_USABLE.format(name) for name in own if name not in usable}
            known = before.get(tenant_id)
            health: Health = OwnHealth(self.health, own)
            if known is not None and all(known.providers.get(name) is provider for name, provider in own.items()):
                health = known.health
                if isinstance(health, OwnHealth):
                    health.follow_limits()
            self.own[tenant_id] = replace(self, providers=providers, missing=missing, health=health, own={}, _views=[])
        for seen, view in self._views:
            seen.own = {tenant_id: replace(one, providers=view(one.providers)) for tenant_id, one in self.own.items()}


_NONE_USABLE = "None of your own keys for the provider {} can be used."
