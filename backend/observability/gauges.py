"""What a process holds and how far it is behind: read when somebody asks for `/metrics`, so that no call pays for it."""

from typing import TYPE_CHECKING

from backend.gateway.load.level import LEVELS
from backend.routing.health_service import STATES

if TYPE_CHECKING:
    from backend.runtime import Runtime


def show_standing(runtime: "Runtime") -> None:
    """Let the gauges of the process's metrics read from its services."""
    metrics, keeper, metering = runtime.metrics, runtime.keeper, runtime.metering
    metrics.leased_usd.labels("available").set_function(lambda: keeper.held_usd("available"))
    metrics.leased_usd.labels("reserved").set_function(lambda: keeper.held_usd("reserved"))
    metrics.leased_usd.labels("unsettled").set_function(lambda: keeper.held_usd("unsettled"))
    metrics.leases.set_function(lambda: keeper.leases)
    metrics.budget_waiting.set_function(lambda: keeper.waiting)
    metrics.journal_bytes.set_function(lambda: metering.backlog_bytes)
    metrics.journal_seconds.set_function(lambda: metering.backlog_seconds)
    metrics.change_feed_seconds.set_function(lambda: runtime.change_feed.age)
    metrics.processes.set_function(lambda: keeper.known_processes)
    metrics.load_level.set_function(lambda: LEVELS.index(runtime.load.level))
    metrics.load_lag.set_function(lambda: runtime.load.lag)
    metrics.gate_waiting.set_function(lambda: runtime.gateway.gate.waiting)
    metrics.before_showing.append(lambda: _show_candidates(runtime))
    metrics.ready.set_function(lambda: runtime.missing is None and not runtime.readiness.draining)


def _show_candidates(runtime: "Runtime") -> None:
    """Those of aliases only: callers can name others, as many as they like."""
    states, reachable = runtime.metrics.candidate_states, runtime.metrics.provider_reachable
    states.clear()
    for candidate in runtime.health_view.all_candidates():
        if candidate.routes:
            states.labels(candidate.provider, candidate.model).set(STATES.index(candidate.state))
    reachable.clear()
    for name, look in runtime.probes.newest.items():
        reachable.labels(name).set(look.reached)
