"""What operators hear of keys: lines in the log and a count. Alerts subscribe to the same events."""

import structlog

from backend.credentials.events import KeyAccepted, KeyRefused
from backend.kernel.events import EventBus
from backend.observability.metrics import Metrics

log = structlog.get_logger(__name__)


def tell_of_keys(events: EventBus, metrics: Metrics) -> None:
    """Write `provider_key.refused` and `provider_key.accepted`, once each time it changes."""

    def refused(event: KeyRefused) -> None:
        metrics.provider_keys_refused.labels(event.provider).inc()
        log.error("provider_key.refused", provider=event.provider, key=event.key, status=event.status, tenant=event.tenant_id)

    def accepted(event: KeyAccepted) -> None:
        log.info("provider_key.accepted", provider=event.provider, key=event.key, tenant=event.tenant_id)

    events.subscribe(KeyRefused, refused)
    events.subscribe(KeyAccepted, accepted)
