"""What the store shows: queries, pages and details, as plain frozen values that pages and APIs share.

Prices here are nano-dollars per 1,000,000 tokens, context in tokens. None always means "no source says".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from backend.pricing.doubt import INPUT_WEIGHT

SORTS = ("relevance", "name", "input", "output", "context", "released", "offers")
"""`relevance` puts well-known, priced and recent models first, or the best text match when there is a search."""
BY_SCORE, BY_VALUE = "score", "value"
"""Two more sorts, for who gives `Evidence`: the best first, or the best value for money (`value.py`); turned round, the worst."""


@dataclass(frozen=True, slots=True)
class StoreQuery:
    """All filters hold at once; several values of one filter mean: any for providers, all for capabilities, modalities and languages.

    Prices are compared with the cheapest priced offer that matches the provider filter; `descending` turns the sort round. A language is
    a BCP 47 tag; `pt` finds `pt-BR`, too. `min_score` (0–100) is compared with the `Evidence` that the search is given, which is of
    `benchmark` where one is named; a model without a score is left out. `after`: ids at the end of the page before, the last one last;
    the page begins behind the last of them that is still there, and at `offset` where none is.
    """

    search: str = ""
    modalities_in: frozenset[str] = frozenset()
    modalities_out: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    open_weights: bool | None = None
    input_min: int | None = None
    input_max: int | None = None
    output_min: int | None = None
    output_max: int | None = None
    context_min: int | None = None
    min_score: float | None = None
    benchmark: str = ""
    sort: str = "relevance"
    descending: bool = False
    offset: int = 0
    limit: int = 24
    after: tuple[str, ...] = ()

    @property
    def asks_for_scores(self) -> bool:
        return self.min_score is not None or bool(self.benchmark) or self.sort in (BY_SCORE, BY_VALUE)

    @property
    def asks_for_evidence(self) -> bool:
        """Whether the answer is another one without `Evidence`."""
        return self.asks_for_scores or bool(self.languages)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What benchmarks say, by model id: the scores (0–100) that a query goes by, languages that a model was measured in, and what each
    score is at least. `measure` is the benchmark's name where a query names one."""

    scores: Mapping[str, float] = field(default_factory=dict)
    languages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    measure: str = ""


NO_EVIDENCE = Evidence()


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
    languages: tuple[str, ...] = ()
    price_source: str | None = None
    """Whose word `input_nano` and `output_nano` are, and the day that it describes."""
    price_as_of: date | None = None
    price_doubt: str | None = None
    """Why the price shown is doubtful; only where certain sellers were asked for, because a doubtful one never stands for its model."""

    @property
    def known_offer(self) -> str | None:
        """The offer whose price the model is known by: its maker's where it sells the model itself, else the cheapest seller's."""
        return self.own_offer or self.cheapest_offer

    @property
    def known_blend_nano(self) -> int | None:
        """That price for three parts input to one part output; None unless both are known."""
        paid, made = (self.own_input_nano, self.own_output_nano) if self.own_offer else (self.input_nano, self.output_nano)
        return None if paid is None or made is None else (INPUT_WEIGHT * paid + made) // (INPUT_WEIGHT + 1)


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
    """`facets` has the keys modality_in, modality_out, capability, provider, mode, status, language, open_weights (values
    yes and no).

    `headline` is a sentence computed from the query and the total: "187 models take images, call tools and cost at most $1 …".
    `priced`: how many of all that are found have a price to show, and `agreed` on how many of these prices two sources or more agree.
    """

    items: tuple[ModelSummary, ...]
    total: int
    offset: int
    limit: int
    facets: dict[str, tuple[FacetValue, ...]]
    headline: str
    priced: int
    agreed: int


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
    price_source: str | None = None
    """Whose word the price in force is, and the day that it describes."""
    price_as_of: date | None = None
    doubt: str | None = None
    """Why the price is doubtful; None where it is not."""


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
    updated_at: datetime | None = None
    """When a fact of the model itself last changed, whoever changed it; its offers and prices have days of their own."""


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
