"""What the journal of a process that is gone says: its finished calls as they were, and what the others had come to.

A call that was opened and never finished is *interrupted*: its process was killed, or could not say a last word. It is charged what its
last progress line says, which is at most half a second or 64 tokens old; a call that has none was not accepted by anybody yet, as far
as is known, and costs nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import orjson
import structlog

from backend.metering.journal import lines_of
from backend.metering.record import ATTEMPT_FIELDS, CALL_FIELDS, AttemptRecord, CallRecord
from backend.metering.repository import Final, row_by_names

log = structlog.get_logger(__name__)

_HEADER = b'["journal"'


class Replay:
    """One folder's calls. Reading holds no more of them in memory than were open at the same time.

    Args:
        alive: whether its process is still at work. A line that it is writing at this moment may be there in half, which is nothing to say.
    """

    def __init__(self, directory: Path, *, alive: bool = False) -> None:
        self._directory = directory
        self._alive = alive
        self._open: dict[str, list[Any]] = {}
        self._told: dict[str, tuple[dict[str, Any], dict[str, int], list[list[Any]]]] = {}

    def finished(self) -> Iterator[Final]:
        """Calls with a final line, in its order. Read to the end before `interrupted`."""
        for kind, call_id, *rest in self._events():
            if kind == "open":
                self._open[call_id] = rest[0]
            elif kind == "progress":
                self._told[call_id] = rest[0], rest[1], rest[2]
            else:
                self._open.pop(call_id, None)
                self._told.pop(call_id, None)
                yield rest[0], rest[1]

    def interrupted(self) -> list[Final]:
        """The calls that were left open."""
        return [_interrupted(row, *self._told.get(call_id, ({}, {}, []))) for call_id, row in self._open.items()]

    def _events(self) -> Iterator[tuple[Any, ...]]:
        """Events in today's columns. A line that a power cut left half written is skipped and said."""
        call_names: Sequence[str] = CALL_FIELDS
        attempt_names: Sequence[str] = ATTEMPT_FIELDS

        def tries(rows: list[list[Any]]) -> list[list[Any]]:
            return [row_by_names(row, attempt_names, ATTEMPT_FIELDS, _ATTEMPT_DEFAULTS) for row in rows]

        for line in lines_of(self._directory):
            try:
                event = orjson.loads(line)
                if line.startswith(_HEADER):
                    _, _, call_names, attempt_names = event
                elif event[0] == "progress":
                    yield event[0], event[1], {name: event[2][name] for name in event[2] if name in CALL_FIELDS}, event[3], tries(event[4])
                else:
                    row = row_by_names(event[2], call_names, CALL_FIELDS, _CALL_DEFAULTS)
                    yield (event[0], event[1], row, *([tries(event[3])] if event[0] == "final" else []))
            except (orjson.JSONDecodeError, ValueError, IndexError, TypeError):
                if not self._alive:
                    log.warning("ledger.journal_line_unreadable", journal=self._directory.name, bytes=len(line))


def _interrupted(row: list[Any], told: dict[str, Any], usage: dict[str, int], attempts: list[list[Any]]) -> Final:
    """The row of a call whose process ended while it ran: what was asked is known, and what had come of it when it last said so."""
    known = dict(zip(CALL_FIELDS, row, strict=True)) | {"status": 0} | told
    known |= {"outcome": "interrupted", "error_code": "interrupted"}
    if not attempts and known["provider"]:
        attempt = AttemptRecord(1, known["provider"], known["model"] or "", known["offer_id"])
        attempts = [[getattr(attempt, name) for name in ATTEMPT_FIELDS]]
    if attempts:
        last = dict(zip(ATTEMPT_FIELDS, attempts[-1], strict=True)) | {"outcome": "interrupted", "usage": usage}
        # Earlier attempts know what they came to; the rest is the last one's.
        last["provider_cost_nano"] = known["provider_cost_nano"] - sum(row[_ATTEMPT_COST] for row in attempts[:-1])
        if last["offer_id"] == known["offer_id"]:
            last["price_ids"] = known["price_ids"]
        attempts = [*attempts[:-1], [last[name] for name in ATTEMPT_FIELDS]]
    known["attempts"] = len(attempts)
    return [known[name] for name in CALL_FIELDS], attempts


def _defaults(kind: type[CallRecord] | type[AttemptRecord]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in fields(kind):
        if entry.default is not MISSING:
            found[entry.name] = entry.default
        elif entry.default_factory is not MISSING:
            found[entry.name] = entry.default_factory()
    return found


_ATTEMPT_COST = ATTEMPT_FIELDS.index("provider_cost_nano")
_CALL_DEFAULTS = _defaults(CallRecord)
_ATTEMPT_DEFAULTS = _defaults(AttemptRecord)
