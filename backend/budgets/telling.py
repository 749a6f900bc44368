"""What an operator hears of a budget's thresholds: one line in the log and one count, from the process that noticed."""

import structlog

from backend.budgets.accounts import END_USER
from backend.budgets.events import BudgetThresholdReached
from backend.kernel.events import EventBus
from backend.kernel.money import format_usd
from backend.observability.metrics import Metrics

log = structlog.get_logger(__name__)


def tell_of_alerts(events: EventBus, metrics: Metrics) -> None:
    """Write `budget.warning` and `budget.exceeded`. End users are many, and what they may spend is their key's affair: only noted."""

    def tell(event: BudgetThresholdReached) -> None:
        kind = "exceeded" if event.threshold == 1.0 else "warning"
        metrics.budget_alerts.labels(kind, event.scope).inc()
        say = log.info if event.scope == END_USER else log.warning
        say(
            f"budget.{kind}",
            tenant=event.tenant_id,
            scope=event.scope,
            scope_id=event.scope_id,
            threshold=event.threshold,
            spent=format_usd(event.spent_nano),
            limit=format_usd(event.limit_nano),
            resets_at=event.resets_at.isoformat() if event.resets_at is not None else None,
        )

    events.subscribe(BudgetThresholdReached, tell)
