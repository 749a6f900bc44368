"""How every candidate does, in the operator's eyes: as this process has learnt it from its calls and its looks."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.routing.circuit import TRIPPED
from backend.routing.health import CandidateHealth, Health
from backend.routing.probes import Probes
from backend.routing.route import Breaker, Candidate
from backend.routing.table import RouteTable

CLOSED, PROBING, OPEN = "closed", "probing", "open"
STATES = (CLOSED, PROBING, OPEN)


@dataclass(frozen=True, slots=True)
class CandidateState:
    """`state` is the worst that a route sees: open (`left_out_by` names the routes that leave it out), probing (open, and a call is finding
    out), or closed. Times in UTC, durations in seconds and milliseconds; None is not known, or does not apply."""

    provider: str
    model: str
    state: str
    since: datetime | None
    """When the row of answers, or of failures, began."""
    consecutive_failures: int
    last_error: str | None
    """Of the newest failure: its kind and status; kept when it answers again."""
    in_flight: int
    latency_ms: float | None
    next_probe_seconds: float | None
    cooling_seconds: float | None
    """It has asked not to be asked for so long."""
    routes: tuple[str, ...]
    left_out_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProviderState:
    """`credentials` are accepted, refused, or unknown before the first call. `reachable` is what the newest look says, None without one."""

    provider: str
    credentials: str
    in_flight: int
    waiting: int
    reachable: bool | None
    looked_at: datetime | None
    look_ms: float | None
    look_error: str | None
    next_look: datetime | None


class HealthService:
    def __init__(self, clock: Clock, health: Health, routes: RouteTable, probes: Probes) -> None:
        self._clock = clock
        self._health = health
        self._routes = routes
        self._probes = probes

    def candidates(self, principal: Principal) -> list[CandidateState]:
        """Every candidate of an alias, and every other one that was asked and is remembered; by name.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        return self.all_candidates()

    def providers(self, principal: Principal) -> list[ProviderState]:
        """Every configured provider by name; raises as `candidates`."""
        require_super_admin(principal)
        return [self._provider(name) for name in sorted(self._probes.providers)]

    def all_candidates(self) -> list[CandidateState]:
        """As `candidates`, for what shows no names to the public."""
        found: dict[tuple[str, str], list[tuple[str, Breaker]]] = {}
        for route in self._routes.aliases():
            for candidate in route.candidates:
                found.setdefault((candidate.provider, candidate.model), []).append((route.name, route.breaker))
        for health in self._health.all():
            found.setdefault((health.provider.name, health.model), [])
        return [self._candidate(provider, model, routes) for (provider, model), routes in sorted(found.items())]

    def failing(self) -> Iterable[str]:
        """Providers that the newest look did not reach, or that refuse our key."""
        for name in self._probes.providers:
            look = self._probes.newest.get(name)
            if (look is not None and not look.reached) or self._refuses_key(name):
                yield name

    def _candidate(self, provider: str, model: str, routes: list[tuple[str, Breaker]]) -> CandidateState:
        health = self._health.known(Candidate(provider, model, offer_id=f"{provider}/{model}"))
        names = tuple(dict.fromkeys(name for name, _ in routes))
        if health is None:
            return CandidateState(provider, model, CLOSED, None, 0, None, 0, None, None, None, names, ())
        judged = routes or [("", Breaker())]
        out = [(name, breaker) for name, breaker in judged if health.is_open(breaker)]
        return CandidateState(
            provider=provider,
            model=model,
            state=_state(health, bool(out)),
            since=self._when(health.since),
            consecutive_failures=health.circuit.failures if health.circuit.failures < TRIPPED else 1,
            last_error=health.last_error,
            in_flight=health.in_flight,
            latency_ms=round(health.latency_ms, 1) if health.latency_ms is not None else None,
            next_probe_seconds=round(min(health.wait(breaker) for _, breaker in out), 3) if out else None,
            cooling_seconds=round(health.cooling, 3) or None,
            routes=names,
            left_out_by=tuple(dict.fromkeys(name for name, _ in out if name)),
        )

    def _provider(self, name: str) -> ProviderState:
        health = self._health.provider(name)
        look, next_at = self._probes.newest.get(name), self._probes.next_at
        credentials = "unknown"
        if self._refuses_key(name) or (look is not None and look.refused_key):
            credentials = "refused"
        elif health is not None and health.answered_at > float("-inf"):
            credentials = "accepted"
        return ProviderState(
            provider=name,
            credentials=credentials,
            in_flight=sum(one.in_flight for one in self._health.all() if one.provider.name == name),
            waiting=health.bulkhead.waiting if health is not None else 0,
            reachable=look.reached if look is not None else None,
            looked_at=self._when(look.at) if look is not None else None,
            look_ms=round(look.milliseconds, 1) if look is not None else None,
            look_error=look.error if look is not None else None,
            next_look=self._when(next_at) if next_at is not None else None,
        )

    def _refuses_key(self, name: str) -> bool:
        health = self._health.provider(name)
        return health is not None and health.credentials.failures > 0

    def _when(self, monotonic: float) -> datetime:
        return self._clock.now() + timedelta(seconds=monotonic - time.monotonic())


def _state(health: CandidateHealth, is_open: bool) -> str:
    if not is_open:
        return CLOSED
    return PROBING if health.in_flight else OPEN
