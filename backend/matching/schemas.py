"""What `POST /match` takes: the seed's shape, with more beside it. Prices are USD per 1M tokens, times milliseconds."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES
from backend.kernel.asked import Amount, Asked
from backend.kernel.money import nano_from_usd
from backend.matching.ask import Constraints, Preferences, Question
from backend.matching.parse import MOST_CALLS_PER_DAY, MOST_CHARACTERS
from backend.matching.taxonomy import TASK_BY_ID
from backend.matching.usual import Stated


def _one_of(words: Iterable[str]) -> Callable[[str], str]:
    known = frozenset(words)

    def check(word: str) -> str:
        if word not in known:
            raise ValueError(f"must be one of {', '.join(sorted(known))}")
        return word

    return check


def _listed(words: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words)})


Capability = Annotated[str, AfterValidator(_one_of(CAPABILITIES)), _listed(CAPABILITIES)]
Modality = Annotated[str, AfterValidator(_one_of(MODALITIES)), _listed(MODALITIES)]
Mode = Annotated[str, AfterValidator(_one_of(MODES)), _listed(MODES)]
TaskId = Annotated[str, AfterValidator(_one_of(TASK_BY_ID)), _listed(TASK_BY_ID)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
Language = Annotated[str, StringConstraints(min_length=2, max_length=16, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")]
Price = Annotated[Amount, Field(ge=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Some = 50
"""How many words a list may hold."""


class _Shape(Asked):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False)


class ConstraintsIn(_Shape):
    """What must hold. Whatever is left out asks for nothing."""

    max_price_per_million_tokens: Price | None = Field(
        None, alias="maxPricePerMillionTokens", description="of the workload's own mix: all its tokens in and out alike"
    )
    max_input_price: Price | None = Field(None, description="of 1M tokens in")
    max_output_price: Price | None = Field(None, description="of 1M tokens out")
    max_latency_ms: float | None = Field(
        None, gt=0, le=3_600_000, description="as this gateway measured it; models that it never asked are let in unless `strict`"
    )
    context_min: int | None = Field(None, ge=1, le=100_000_000, description="tokens")
    modes: list[Mode] = Field(default_factory=list, max_length=Some)
    modalities_in: list[Modality] = Field(default_factory=list, max_length=Some)
    modalities_out: list[Modality] = Field(default_factory=list, max_length=Some)
    capabilities: list[Capability] = Field(default_factory=list, max_length=Some)
    tools: bool = Field(False, description="short for the capability `tools`")
    json_output: bool = Field(False, alias="json", description="short for the capability `structured_output`")
    languages: list[Language] = Field(
        default_factory=list, max_length=Some, description="BCP 47; models of which nobody says are let in unless `strict`"
    )
    open_weights: bool | None = None
    licences: list[Annotated[str, StringConstraints(min_length=1, max_length=120)]] = Field(default_factory=list, max_length=Some)
    region: Id | None = Field(None, description="one that an offer states, such as `eu`")
    providers: list[Id] = Field(default_factory=list, max_length=Some, description="only offers of these")
    not_providers: list[Id] = Field(default_factory=list, max_length=Some)
    creators: list[Id] = Field(default_factory=list, max_length=Some, description="only models made by these")
    not_creators: list[Id] = Field(default_factory=list, max_length=Some)
    configured_only: bool = Field(False, description="only offers of providers that this gateway can ask")
    include_deprecated: bool = False
    strict: bool = Field(False, description="what nobody states or measured counts as not given")


class WeightsIn(_Shape):
    """Proportions; they need not sum to 1."""

    quality: float = Field(0, ge=0, le=1000)
    cost: float = Field(0, ge=0, le=1000)
    latency: float = Field(0, ge=0, le=1000)
    carbon: float = Field(0, ge=0, le=1000)


class PreferencesIn(_Shape):
    """What is preferred among those that are left."""

    latency: Literal["any", "normal", "low", "lowest"] | None = None
    cost_weight: Share | None = Field(None, description="the share of cost in the score")
    weights: WeightsIn | None = None


class WorkloadIn(_Shape):
    """One call, and how often it is made. What is left out is what is usual for such tasks or models: a picture, five seconds of a video, a
    minute of speech to write down, 1,000 characters to speak, no answer for embeddings."""

    input_tokens: int = Field(1000, ge=0, le=100_000_000)
    output_tokens: int = Field(500, ge=0, le=100_000_000)
    calls_per_day: float = Field(1000, ge=0, le=MOST_CALLS_PER_DAY, allow_inf_nan=False)
    cache_share: Share = Field(0, description="the part of the prompt that is read from the provider's cache")
    reasoning_tokens: int = Field(0, ge=0, le=100_000_000)
    audio_input_tokens: int = Field(0, ge=0, le=100_000_000, description="on top of `inputTokens`")
    audio_output_tokens: int = Field(0, ge=0, le=100_000_000, description="on top of `outputTokens`")
    images: int = Field(0, ge=0, le=100_000, description="that are made; those that are looked at are tokens of the prompt")
    seconds: float = Field(0, ge=0, le=1_000_000, description="of sound or video")
    characters: int = Field(0, ge=0, le=100_000_000, description="that are spoken")

    def stated(self) -> Stated:
        """What was sent, by the fields of a workload; what was left out is not among it."""
        return {name: getattr(self, name) for name in WorkloadIn.model_fields if name in self.model_fields_set}


class MatchIn(_Shape):
    """A task in one's own words (or by the taxonomy's ids), what must hold, what is preferred, and how the model will be used."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "taskDescription": "High-quality long-form summarization in English",
                "constraints": {"maxPricePerMillionTokens": 20},
                "preferences": {"latency": "low", "costWeight": 0.6},
            }
        },
    )

    task_description: str = Field("", max_length=MOST_CHARACTERS)
    tasks: list[TaskId] = Field(default_factory=list, max_length=8, description="instead of what the text would be taken for")
    constraints: ConstraintsIn = Field(default_factory=ConstraintsIn)
    preferences: PreferencesIn = Field(default_factory=PreferencesIn)
    workload: WorkloadIn = Field(default_factory=WorkloadIn)
    limit: int = Field(10, ge=1, le=50)

    def question(self) -> Question:
        """The same as plain values; prices in nano-dollars."""
        asked = self.constraints
        capabilities = set(asked.capabilities)
        if asked.tools:
            capabilities.add("tools")
        if asked.json_output:
            capabilities.add("structured_output")
        weights = self.preferences.weights
        return Question(
            text=self.task_description,
            tasks=tuple(dict.fromkeys(self.tasks)),
            constraints=Constraints(
                max_blended_nano=_nano(asked.max_price_per_million_tokens),
                max_input_nano=_nano(asked.max_input_price),
                max_output_nano=_nano(asked.max_output_price),
                max_latency_ms=asked.max_latency_ms,
                context_min=asked.context_min,
                modes=frozenset(asked.modes),
                modalities_in=frozenset(asked.modalities_in),
                modalities_out=frozenset(asked.modalities_out),
                capabilities=frozenset(capabilities),
                languages=tuple(dict.fromkeys(tag.lower() for tag in asked.languages)),
                open_weights=asked.open_weights,
                licences=frozenset(name.casefold() for name in asked.licences),
                region=asked.region,
                providers=frozenset(asked.providers),
                not_providers=frozenset(asked.not_providers),
                creators=frozenset(asked.creators),
                not_creators=frozenset(asked.not_creators),
                configured_only=asked.configured_only,
                include_deprecated=asked.include_deprecated,
                strict=asked.strict,
            ),
            preferences=Preferences(
                latency=self.preferences.latency,
                cost_weight=self.preferences.cost_weight,
                weights=() if weights is None else tuple(weights.model_dump().items()),
            ),
            stated=self.workload.stated(),
            limit=self.limit,
        )


def _nano(amount: Decimal | None) -> int | None:
    return None if amount is None else nano_from_usd(amount)
