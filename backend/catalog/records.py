"""What a source says, in neutral words: every source reads its own format and yields these."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from backend.pricing.quotes import Quote


@dataclass(frozen=True, slots=True)
class OfferRecord:
    """One offer as one source describes it. None and empty mean "the source does not say"; `capabilities` says yes *and* no.

    `provider` and `upstream_id` are ours (see `backend.catalog.providers`). `also_matches`, where given, tells whether the prices also
    hold for another upstream id of the provider. `only_prices`: the record must not bring a new offer into the store.
    """

    provider: str
    upstream_id: str
    name: str | None = None
    description: str | None = None
    creator: str | None = None
    family: str | None = None
    base_model: str | None = None
    mode: str | None = None
    capabilities: dict[str, bool] = field(default_factory=dict)
    modalities_in: tuple[str, ...] = ()
    modalities_out: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    release_date: date | None = None
    knowledge_cutoff: str | None = None
    deprecation_date: date | None = None
    status: str | None = None
    open_weights: bool | None = None
    licence: str | None = None
    region: str | None = None
    aliases: tuple[str, ...] = ()
    quotes: tuple[Quote, ...] = ()
    also_matches: Callable[[str], bool] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def offer_id(self) -> str:
        return f"{self.provider}/{self.upstream_id}"


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """A published name and the offer or upstream id whose model it means."""

    name: str
    means: str


@dataclass(frozen=True, slots=True)
class SourceReading:
    """Everything that one source says. `read`: entries looked at; `unknown`: fields nobody understood, by name and count; `refused`:
    entries that nobody can read, with the reason."""

    source: str
    read: int
    offers: tuple[OfferRecord, ...] = ()
    aliases: tuple[AliasRecord, ...] = ()
    unknown: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
