"""What the store shows: queries, pages and details, as plain frozen values that pages and APIs share.

Prices here are nano-dollars per 1,000,000 tokens, context in tokens. None always means "no source says".
"""

from dataclasses import dataclass, field
from datetime import date, datetime

SORTS = ("relevance", "name", "input", "output", "context", "released", "offers")
"""`relevance` puts well-known, priced and recent models first, or the best text match when there is a search."""


@dataclass(frozen=True, slots=True)
class StoreQuery:
    """All filters hold at once; several values of one filter mean: any for providers, all for capabilities and modalities.

    Prices are compared with the cheapest priced offer that matches the provider filter; `descending` turns the sort round.
    """

    search: str = ""
    modalities_in: frozenset[str] = frozenset()
    modalities_out: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    open_weights: bool | None = None
    input_min: int | None = None
    input_max: int | None = None
    output_min: int | None = None
    output_max: int | None = None
    context_min: int | None = None
    sort: str = "relevance"
    descending: bool = False
    offset: int = 0
    limit: int = 24


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One row of the store."""

    id: str
    name: str
    creator: str | None
    creator_name: str | None
    mode: str
    capabilities: tuple[str, ...]
    modalities_in: tuple[str, ...]
    modalities_out: tuple[str, ...]
    context_tokens: int | None
    max_output_tokens: int | None
    input_nano: int | None
    output_nano: int | None
    price_state: str
    offers: int
    providers: int
    cheapest_offer: str | None
    own_offer: str | None
    """The maker's own offer; None where it sells nothing itself. `input_nano` is the cheapest seller's price."""
    own_input_nano: int | None
    own_output_nano: int | None
    release_date: date | None
    status: str
    open_weights: bool | None


@dataclass(frozen=True, slots=True)
class FacetValue:
    """`count`: for filters that must all hold (modalities, capabilities), models left if this value were added; for filters of which any
    may hold (provider, mode, status, open_weights), models that have this value under all other filters."""

    value: str
    label: str
    count: int
    selected: bool = False


@dataclass(frozen=True, slots=True)
class StorePage:
    """`facets` has the keys modality_in, modality_out, capability, provider, mode, status, open_weights (values yes and no).

    `headline` is a sentence computed from the query and the total: "187 models take images, call tools and cost at most $1 …".
    """

    items: tuple[ModelSummary, ...]
    total: int
    offset: int
    limit: int
    facets: dict[str, tuple[FacetValue, ...]]
    headline: str
    average_sources: float


@dataclass(frozen=True, slots=True)
class PriceLineView:
    """One price of one offer, as shown: `label` says the component, `tier` the conditions ("above 200k tokens, batch")."""

    component: str
    label: str
    unit: str
    tier: str
    tier_label: str
    usd_per_million: str
    nano_per_million: int
    amount: str
    currency: str
    source: str
    source_url: str | None
    effective_at: datetime
    observed_at: datetime
    status: str
    in_force: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class OfferView:
    id: str
    provider_id: str
    provider_name: str
    upstream_id: str
    region: str | None
    context_tokens: int | None
    max_output_tokens: int | None
    capabilities: tuple[str, ...]
    deprecation_date: date | None
    status: str
    price_state: str
    input_nano: int | None
    output_nano: int | None
    cache_read_nano: int | None
    batch_input_nano: int | None
    price_agreement: int
    price_sources: int
    price_observed_at: datetime | None
    prices: tuple[PriceLineView, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One stated property: `value` as text for people, `source` where it comes from."""

    name: str
    label: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class CapabilityState:
    """Three-valued: True, False, or None when no source says."""

    capability: str
    label: str
    supported: bool | None


@dataclass(frozen=True, slots=True)
class ModelDetail:
    summary: ModelSummary
    description: str | None
    family: str | None
    licence: str | None
    max_output_tokens: int | None
    knowledge_cutoff: str | None
    deprecation_date: date | None
    supported_formats: tuple[str, ...]
    languages: tuple[str, ...]
    facts: tuple[Fact, ...]
    capability_matrix: tuple[CapabilityState, ...]
    offers: tuple[OfferView, ...]
    aliases: tuple[str, ...]
    headline: str


@dataclass(frozen=True, slots=True)
class PaletteHit:
    """One line of the ⌘K palette: a model (or offer) and the page it opens."""

    label: str
    hint: str
    href: str


@dataclass(frozen=True, slots=True)
class SourceFreshness:
    source: str
    data_date: date | None
    read_at: datetime
    rows: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old the store's numbers are, oldest fact first; `models`, `offers`, `providers` are what it holds."""

    models: int
    offers: int
    providers: int
    quarantined: int
    sources: tuple[SourceFreshness, ...] = field(default=())
