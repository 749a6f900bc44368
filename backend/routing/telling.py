"""What operators hear of candidates: lines in the log and counts. Alerts subscribe to the same events."""

import time
from collections.abc import Callable

import structlog

from backend.kernel.events import EventBus
from backend.observability.metrics import Metrics
from backend.routing.events import CandidateClosed, CandidateOpened, CredentialsAccepted, CredentialsRefused

log = structlog.get_logger(__name__)

TELL_AGAIN_SECONDS = 60.0
"""How often the log says of one provider that it refuses our credentials."""


def tell_of_health(events: EventBus, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
    """Write `candidate.opened`, `candidate.closed`, `provider.credentials_refused` and `provider.credentials_accepted`."""
    told_until: dict[str, float] = {}

    def opened(event: CandidateOpened) -> None:
        log.warning("candidate.opened", provider=event.provider, model=event.model[:255], error=event.error, failures=event.failures)

    def closed(event: CandidateClosed) -> None:
        log.info("candidate.closed", provider=event.provider, model=event.model[:255])

    def refused(event: CredentialsRefused) -> None:
        metrics.credentials_refused.labels(event.provider).inc()
        if now() >= told_until.get(event.provider, 0.0):
            told_until[event.provider] = now() + TELL_AGAIN_SECONDS
            log.error("provider.credentials_refused", provider=event.provider, status=event.status)

    def accepted(event: CredentialsAccepted) -> None:
        told_until.pop(event.provider, None)
        log.info("provider.credentials_accepted", provider=event.provider)

    events.subscribe(CandidateOpened, opened)
    events.subscribe(CandidateClosed, closed)
    events.subscribe(CredentialsRefused, refused)
    events.subscribe(CredentialsAccepted, accepted)
