"""What the caller is told when nobody answered."""

from collections.abc import Iterable, Sequence

from backend.kernel.errors import BourseError, NoAvailableProvider, UpstreamCredentials, UpstreamRateLimited
from backend.providers.failures import UpstreamFailure
from backend.routing.health import CandidateHealth
from backend.routing.route import Breaker

DEFAULT_RETRY_SECONDS = 1.0
_RANK = {"rate_limited": 1, "refused": 2, "credentials": 3, "not_found": 4}
"""Which failure the caller is told of, lowest first; everything else (server, timeout, connect, reset, protocol) goes before these."""


def verdict(failures: Sequence[UpstreamFailure]) -> BourseError:
    """Of candidates that were asked: what may pass before what stays, and a refusal of the request itself before all."""
    if all(failure.kind == "rate_limited" for failure in failures):
        return UpstreamRateLimited(failures[-1].error.message, retry_after=_shortest_wait(failures))
    if not failures[-1].elsewhere:
        return failures[-1].error
    told = min(reversed(failures), key=lambda failure: _RANK.get(failure.kind, 0))
    if told.kind == "rate_limited":
        # Somebody may answer later, which none of the others' reasons would say.
        return NoAvailableProvider("No provider can answer for this model right now.", retry_after=_shortest_wait(failures))
    return told.error


def nobody_to_ask(candidates: Iterable[CandidateHealth], breaker: Breaker) -> BourseError:
    """Of candidates none of which may be asked now."""
    known = list(candidates)
    waits = [(max(health.wait(breaker), health.cooling), health) for health in known]
    soonest = max(DEFAULT_RETRY_SECONDS, min((wait for wait, _ in waits), default=0.0))
    if known and all(health.has_refused_key(breaker) for health in known):
        return UpstreamCredentials(retry_after=soonest)
    if known and all(health.limited and not health.is_open(breaker) for health in known):
        return UpstreamRateLimited("All providers of this model are limiting their callers.", retry_after=soonest)
    return NoAvailableProvider("No provider can answer for this model right now.", retry_after=soonest)


def _shortest_wait(failures: Iterable[UpstreamFailure]) -> float:
    waits = [failure.retry_after for failure in failures if failure.kind == "rate_limited" and failure.retry_after is not None]
    return min(waits, default=DEFAULT_RETRY_SECONDS)
