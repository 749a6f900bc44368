"""What becomes of keys, for whoever tells operators."""

from dataclasses import dataclass

from backend.kernel.events import Event


@dataclass(frozen=True, slots=True)
class KeyRefused(Event):
    """A provider does not accept one of several keys, or a tenant's own. It is asked no more while there are others."""

    provider: str
    key: str
    status: int | None
    tenant_id: str | None
    """Whose own key it is; None = everybody's."""


@dataclass(frozen=True, slots=True)
class KeyAccepted(Event):
    """It accepts it again."""

    provider: str
    key: str
    tenant_id: str | None
