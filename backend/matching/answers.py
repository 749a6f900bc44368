"""The shapes of answers, as the API's document shows them. USD where nothing else is said; a test holds the answers to them."""

from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

_EXACT = ConfigDict(extra="forbid")


@with_config(_EXACT)
class OfferShape(TypedDict):
    """`source`: whose word its price is, `asOf`: of which day; `doubt`: why that price is unconfirmed, null where nothing is against it."""

    id: str
    provider: str
    source: str | None
    asOf: str | None
    doubt: str | None


@with_config(_EXACT)
class PartShape(TypedDict):
    """`points` is `value` (0 to 1) times `weight`; together they are the score."""

    part: str
    value: float
    weight: float
    points: float


@with_config(_EXACT)
class CostShape(TypedDict):
    """`state`: priced, free (given away) or unpriced."""

    state: str
    currency: str
    perCall: float | None
    perDay: float | None
    perMonth: float | None


@with_config(_EXACT)
class SkillShape(TypedDict):
    label: str
    score: float
    low: float
    high: float


@with_config(_EXACT)
class QualityShape(TypedDict):
    """0 to 100. `counted` is what the score uses; `coverage` the share of the wanted skills that were measured."""

    score: float
    low: float
    high: float
    counted: float
    coverage: float
    results: int
    selfReported: int
    skills: dict[str, SkillShape]
    missing: list[str]


@with_config(_EXACT)
class SpanShape(TypedDict):
    low: float
    high: float


@with_config(_EXACT)
class EmissionsShape(TypedDict):
    gramsCO2e: SpanShape
    wattHours: SpanShape


@with_config(_EXACT)
class CarbonShape(TypedDict):
    """What the workload is estimated to emit, as `GET /carbon/models/{id}` tells a call. `basis`: what the model's size rests on."""

    perCall: EmissionsShape
    perMonth: EmissionsShape
    zone: str
    method: str
    basis: str


@with_config(_EXACT)
class ResultShape(TypedDict):
    """`costPer1M` is of the workload's own mix; null where no price is known or the work is not billed by tokens. `carbonGrams`: the middle
    of what a call emits; it and `carbon` are null where nothing can be said."""

    modelId: str
    score: float
    costPer1M: float | None
    explanation: str
    name: str
    provider: str | None
    offer: OfferShape
    parts: list[PartShape]
    cost: CostShape
    quality: QualityShape
    latencyMs: float | None
    carbonGrams: float | None
    carbon: CarbonShape | None
    contextTokens: int | None
    openWeights: bool | None
    missingEvidence: list[str]
    variants: list[str]


@with_config(_EXACT)
class TaskFoundShape(TypedDict):
    id: str
    label: str
    confidence: float
    words: list[str]
    like: str | None
    ownStep: bool


@with_config(_EXACT)
class ExcludedShape(TypedDict):
    task: str
    words: str


@with_config(_EXACT)
class LanguageShape(TypedDict):
    tag: str
    label: str


@with_config(_EXACT)
class SaidShape(TypedDict):
    kind: str
    value: str
    words: str


@with_config(_EXACT)
class UnderstoodShape(TypedDict):
    """How the text was read."""

    recognised: bool
    tasks: list[TaskFoundShape]
    excluded: list[ExcludedShape]
    languages: list[LanguageShape]
    said: list[SaidShape]


@with_config(_EXACT)
class RuledOutShape(TypedDict):
    reason: str
    label: str
    count: int
    examples: list[str]


@with_config(_EXACT)
class WorkloadShape(TypedDict):
    inputTokens: int
    outputTokens: int
    callsPerDay: float
    cacheShare: float
    reasoningTokens: int
    audioInputTokens: int
    audioOutputTokens: int
    images: int
    seconds: float
    characters: int


@with_config(_EXACT)
class MatchShape(TypedDict):
    """`total` models suit, guises of one model counted once, of `considered`; `constraints` are those in force, as in the request,
    and `notes` say what was asked for and is not."""

    results: list[ResultShape]
    total: int
    considered: int
    headline: str
    understood: UnderstoodShape
    constraints: dict[str, Any]
    weights: dict[str, float]
    workload: WorkloadShape
    notes: list[str]
    ruledOut: list[RuledOutShape]


@with_config(_EXACT)
class WordShape(TypedDict):
    id: str
    label: str


@with_config(_EXACT)
class WayShape(TypedDict):
    modes: list[str]
    modalitiesIn: list[str]
    modalitiesOut: list[str]
    capabilities: list[str]


@with_config(_EXACT)
class ShareShape(TypedDict):
    id: str
    label: str
    share: float


@with_config(_EXACT)
class TaskShape(TypedDict):
    id: str
    label: str
    words: list[str]
    examples: list[str]
    ways: list[WayShape]
    skills: list[ShareShape]
    helpful: list[str]
    contextTokens: int | None


@with_config(_EXACT)
class TaxonomyShape(TypedDict):
    tasks: list[TaskShape]
    skills: list[WordShape]
    capabilities: list[WordShape]


@with_config(_EXACT)
class PriceShape(TypedDict):
    currency: str
    perCall: float | None
    per1M: float | None
    perMonth: float | None


@with_config(_EXACT)
class CostDeltaShape(TypedDict):
    perCall: float
    perMonth: float
    percent: float | None


@with_config(_EXACT)
class DeltaShape(TypedDict):
    """0 to 100; nine tenths of what is probable lie between `low` and `high`."""

    id: str
    label: str
    before: float
    after: float
    delta: float
    low: float
    high: float


@with_config(_EXACT)
class PerformanceShape(TypedDict):
    overall: DeltaShape | None
    certain: bool
    skills: list[DeltaShape]
    benchmarks: list[DeltaShape]


@with_config(_EXACT)
class ContextShape(TypedDict):
    before: int
    after: int


@with_config(_EXACT)
class LostShape(TypedDict):
    capabilities: list[WordShape]
    modalitiesIn: list[str]
    modalitiesOut: list[str]
    languages: list[LanguageShape]
    contextTokens: ContextShape | None
    openWeights: bool


@with_config(_EXACT)
class InsteadShape(TypedDict):
    modelId: str
    name: str
    provider: str | None
    offer: OfferShape
    similarity: float
    explanation: str
    cost: PriceShape
    costDelta: CostDeltaShape | None
    performanceDelta: PerformanceShape
    latencyDeltaMs: float | None
    lost: LostShape
    gained: LostShape


@with_config(_EXACT)
class CheaperOfferShape(TypedDict):
    offer: OfferShape
    serviceTier: str | None
    explanation: str
    cost: PriceShape
    costDelta: CostDeltaShape | None
    region: str | None
    latencyDeltaMs: float | None
    priceSources: int
    lost: LostShape


@with_config(_EXACT)
class InsteadList(TypedDict):
    """`reason` says why it is empty."""

    items: list[InsteadShape]
    reason: str | None


@with_config(_EXACT)
class OfferList(TypedDict):
    """`reason` says why it is empty."""

    items: list[CheaperOfferShape]
    reason: str | None


@with_config(_EXACT)
class SuggestionsShape(TypedDict):
    modelId: str
    name: str
    headline: str
    offer: OfferShape | None
    cost: PriceShape
    workload: WorkloadShape
    cheaperButSimilar: InsteadList
    betterForTheSameMoney: InsteadList
    sameModelCheaperOffer: OfferList
