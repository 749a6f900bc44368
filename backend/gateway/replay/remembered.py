"""Recordings that are over and may be asked for again: within so many bytes, of which one tenant has no more than its share."""

from collections import OrderedDict
from typing import NamedTuple

from backend.gateway.replay.recording import Recording
from backend.kernel.clock import Clock


class _Kept(NamedTuple):
    recording: Recording
    tenant_id: str
    until: float


class Remembered:
    """Those that nobody asked for lately make room.

    Args:
        most_of_one: bytes of one tenant's answers; who keeps more pushes out his own.
    """

    def __init__(self, clock: Clock, *, seconds: float, most_bytes: int, most_of_one: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most_bytes
        self._most_of_one = most_of_one
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._of_tenant: dict[str, OrderedDict[str, int]] = {}
        self._bytes_of: dict[str, int] = {}

    def get(self, asked_id: str) -> Recording | None:
        kept = self._kept.get(asked_id)
        if kept is None:
            return None
        if self._clock.monotonic() >= kept.until:
            self._forget(asked_id)
            return None
        self._kept.move_to_end(asked_id)
        self._of_tenant[kept.tenant_id].move_to_end(asked_id)
        return kept.recording

    def put(self, asked_id: str, tenant_id: str, recording: Recording) -> bool:
        """Whether it is kept."""
        size = recording.size
        if size > self._most_of_one:
            return False
        if asked_id in self._kept:
            self._forget(asked_id)
        self._kept[asked_id] = _Kept(recording, tenant_id, self._clock.monotonic() + self._seconds)
        own = self._of_tenant.setdefault(tenant_id, OrderedDict())
        own[asked_id] = size
        self._bytes += size
        self._bytes_of[tenant_id] = self._bytes_of.get(tenant_id, 0) + size
        while self._bytes_of[tenant_id] > self._most_of_one:
            self._forget(next(iter(own)))
        while self._bytes > self._most:
            self._forget(next(iter(self._kept)))
        return True

    def _forget(self, asked_id: str) -> None:
        recording, tenant_id, _ = self._kept.pop(asked_id)
        own = self._of_tenant[tenant_id]
        size = own.pop(asked_id)
        self._bytes -= size
        self._bytes_of[tenant_id] -= size
        if not own:
            del self._of_tenant[tenant_id], self._bytes_of[tenant_id]
        recording.forget()
