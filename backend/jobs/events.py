"""What ingestion tells the rest of the process, after the transaction that made it true."""

from dataclasses import dataclass

from backend.kernel.events import Event


@dataclass(frozen=True, slots=True)
class IngestionEnded(Event):
    """`failed`: sources that could not be had or cannot be right, with the reason."""

    report_id: str
    trigger: str
    outcome: str
    failed: tuple[tuple[str, str], ...]
    new_offers: int
    prices_up: int
    prices_down: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class IngestionDied(Event):
    """It ended before there was a report: its process was killed, took too long, or the database was away."""

    trigger: str
    why: str


@dataclass(frozen=True, slots=True)
class WebhookGivenUp(Event):
    """Nobody took what was told there, however often it was tried."""

    report_id: str
    attempts: int
    why: str
