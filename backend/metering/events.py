"""What metering tells the rest of the process."""

from dataclasses import dataclass

from backend.kernel.events import Event
from backend.metering.record import AttemptRecord, CallRecord


@dataclass(frozen=True, slots=True)
class CompletionFinished(Event):
    """A call was settled: its final line is in the journal, its row on the way to the database. Do not change the records."""

    call: CallRecord
    attempts: tuple[AttemptRecord, ...]
