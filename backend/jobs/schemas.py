"""What is shown of sources and runs."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Trigger = Literal["schedule", "person", "upload", "command", "day"]
"""`day`: one that was announced had come."""
RunOutcome = Literal["changed", "unchanged", "partly", "failed"]
SourceOutcome = Literal["new", "unchanged", "failed", "refused"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class NamesView(_View):
    count: int
    some: list[str] = Field(description="the first of them by name")


class PriceChangeView(_View):
    offer: str
    component: str
    before: str = Field(description="USD per 1M tokens")
    after: str = Field(description="USD per 1M tokens")


class HeldView(_View):
    offer: str
    source: str
    component: str
    tier: str
    usd_per_million: str
    reason: str


class DifferenceView(_View):
    """How the store differs since; `largest` are the largest changes of base prices, `held` the first prices in quarantine."""

    new_models: NamesView
    retired_models: NamesView
    deprecated_models: NamesView
    new_offers: NamesView
    retired_offers: NamesView
    unpriced_offers: NamesView
    prices_up: int
    prices_down: int
    largest: list[PriceChangeView]
    quarantined: int
    held: list[HeldView]


class SourceResult(_View):
    """What became of one source in one run. `status` is what its server answered, null where it was not asked or did not answer;
    `refused_entries` are the first entries that nobody can read."""

    source: str
    outcome: SourceOutcome
    why: str | None = None
    bytes: int = 0
    entries: int = 0
    status: int | None = None
    read: int | None = None
    kept: int | None = None
    merged: int | None = None
    new_prices: int | None = None
    quarantined: int | None = None
    unknown_fields: dict[str, int] = Field(default_factory=dict)
    refused: int = 0
    refused_entries: dict[str, str] = Field(default_factory=dict)


class RunSummary(_View):
    """One run, without what changed one by one."""

    id: str
    started_at: datetime
    finished_at: datetime
    trigger: Trigger
    actor: str
    outcome: RunOutcome
    error: str | None
    webhook: Literal["none", "waiting", "told", "given_up"]
    sources: list[SourceResult]
    new_offers: int
    retired_offers: int
    prices_up: int
    prices_down: int
    quarantined: int


class RunView(RunSummary):
    """One run with what changed; `difference` is null where nothing was read anew."""

    difference: DifferenceView | None


class RunPage(_View):
    runs: list[RunSummary]
    next_cursor: str | None


class SourceView(_View):
    """`data_as_of`: the day that what is in force describes. `bundled`: it is what ships with Bourse. `next_at`: when it is looked at
    again without being asked, null where it is not. `last`: what became of it in the newest of the last runs."""

    name: str
    label: str
    licence: str
    url: str | None
    format: str | None
    scheduled: bool
    every_seconds: float | None
    bundled: bool
    data_as_of: str | None
    entries: int | None
    fetched_at: datetime | None
    checked_at: datetime | None
    tried_at: datetime | None
    failures: int
    error: str | None
    etag: str | None
    last_modified: str | None
    next_at: datetime | None
    last: SourceResult | None


class JobView(_View):
    """`holder` is whose turn it is just now, until `until`."""

    name: str
    holder: str | None
    until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class SourceList(_View):
    enabled: bool
    sources: list[SourceView]
    jobs: list[JobView]


def run_view(row: Any) -> RunView:
    """A report as it is shown."""
    difference = DifferenceView.model_validate(row.difference) if row.difference else None
    return RunView(
        id=row.id,
        started_at=row.started_at,
        finished_at=row.finished_at,
        trigger=row.trigger,
        actor=row.actor,
        outcome=row.outcome,
        error=row.error,
        webhook=row.telling,
        sources=[SourceResult.model_validate(one) for one in row.sources],
        new_offers=difference.new_offers.count if difference is not None else 0,
        retired_offers=difference.retired_offers.count if difference is not None else 0,
        prices_up=difference.prices_up if difference is not None else 0,
        prices_down=difference.prices_down if difference is not None else 0,
        quarantined=difference.quarantined if difference is not None else 0,
        difference=difference,
    )
