"""What an operator hears of ingestions: lines in the log and counts, from the process that ran them."""

import structlog

from backend.jobs.events import IngestionDied, IngestionEnded, WebhookGivenUp
from backend.kernel.events import EventBus
from backend.observability.metrics import Metrics

log = structlog.get_logger(__name__)


def tell_of_ingestions(events: EventBus, metrics: Metrics) -> None:
    """Write `ingestion.finished`, `ingestion.source_failed`, `ingestion.died` and `webhook.given_up`."""

    def ended(event: IngestionEnded) -> None:
        metrics.ingestions.labels(event.outcome).inc()
        for source, why in event.failed:
            log.warning("ingestion.source_failed", report=event.report_id, source=source, reason=why)
        log.info(
            "ingestion.finished",
            report=event.report_id,
            trigger=event.trigger,
            outcome=event.outcome,
            new_offers=event.new_offers,
            prices_up=event.prices_up,
            prices_down=event.prices_down,
            quarantined=event.quarantined,
        )

    def died(event: IngestionDied) -> None:
        metrics.ingestions.labels("died").inc()
        log.error("ingestion.died", trigger=event.trigger, reason=event.why)

    def given_up(event: WebhookGivenUp) -> None:
        metrics.webhooks_given_up.inc()
        log.error("webhook.given_up", report=event.report_id, attempts=event.attempts, reason=event.why)

    events.subscribe(IngestionEnded, ended)
    events.subscribe(IngestionDied, died)
    events.subscribe(WebhookGivenUp, given_up)
