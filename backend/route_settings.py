"""Sections of the configuration that say what a route is: its names, who may answer for it, how long and how often they are asked."""

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from backend.kernel.secrets import SecretRef
from backend.kernel.setting_types import Duration, Limit, ModelName, OneOrMore, Section, Usd, Words

UnitUsd = Annotated[Usd, Field(le=9000)]
"""USD for one: a million of them has to be an amount, too."""
SECRET_METADATA = frozenset({"aws_secret_access_key", "aws_session_token"})
"""Fields of metadata whose values are for nobody to see."""


class PriceOverride(Section):
    """USD per 1M tokens, or for whatever else a model is charged by; an operator's own 0 is a confirmation that it is free."""

    input: Usd | None = None
    output: Usd | None = None
    cache_read: Usd | None = None
    cache_write: Usd | None = None
    audio_input: Usd | None = None
    """1M tokens of sound that is heard; without a price such calls are refused, and so with `audio_output`."""
    audio_output: Usd | None = None
    image_input: Usd | None = None
    """1M tokens of a picture that is to be changed; None = `input`."""
    image_output: Usd | None = None
    image: UnitUsd | None = None
    """One picture, of whatever size."""
    character: Usd | None = None
    """1M characters of a text that is read out."""
    second: UnitUsd | None = None
    """A second of sound that is transcribed."""
    query: UnitUsd | None = None
    """One search of `rerank`, or one request."""

    @model_validator(mode="after")
    def _says_something(self) -> "PriceOverride":
        if self.input is None and (self.output is not None or not {"image", "character", "second", "query"} & self.model_fields_set):
            raise ValueError("a price needs input and output, or one of image, character, second, query")
        return self


class CandidateSettings(Section):
    provider: str
    model: str
    weight: int = Field(default=1, ge=0, le=1_000_000)
    price: PriceOverride | None = None
    prefill: bool | None = None
    """Whether the model goes on from a trailing assistant message; None = as the protocol declares."""
    metadata: dict[str, Any] = Field(default_factory=dict, repr=False)
    """What its protocol needs for this model, before the provider's own."""

    @model_validator(mode="after")
    def _shows_no_secret(self) -> "CandidateSettings":
        for field in SECRET_METADATA & self.metadata.keys():
            if SecretRef(str(self.metadata[field])).is_literal:
                # Routes are shown and stored as they are.
                raise ValueError(f"metadata.{field}: in a route a secret is a reference (env:NAME or file:PATH)")
        return self


class TimeoutSettings(Section):
    connect: Limit = timedelta(seconds=5)
    attempt: Limit = timedelta(seconds=300)
    first_byte: Limit | None = None
    """Of a stream's status and headers; None = as `first_token`."""
    first_token: Limit = timedelta(seconds=60)
    idle: Limit = timedelta(seconds=30)
    total: Limit = timedelta(seconds=600)


class RetrySettings(Section):
    per_candidate: int = Field(default=2, ge=0, le=10)
    """Tries of one candidate beyond its first."""
    attempts: int = Field(default=6, ge=1, le=12)
    """Of all candidates together, for one call."""
    backoff: Duration = timedelta(milliseconds=250)
    """The longest pause before the first retry; it doubles with each."""
    max_wait: Duration = timedelta(seconds=30)
    """No pause is longer, whatever a provider asks for."""


class BreakerSettings(Section):
    failures: int = Field(default=3, ge=1, le=1000)
    open: Duration = timedelta(seconds=300)
    probe_interval: Duration = timedelta(seconds=10)


class CacheSettings(Section):
    ttl: Duration = timedelta(0)


class RuleSettings(Section):
    """One row of a route's selection table. What it does not name fits every call; of several rows, the first that fits counts."""

    task: Words = ()
    """Classes of work, those of `backend.routing.task` or the caller's own."""
    tier: Words = ()
    load: Annotated[tuple[Literal["normal", "high", "degraded"], ...], OneOrMore] = ()
    use: Annotated[tuple[ModelName, ...], OneOrMore] = ()
    """Candidates of the route as `provider/model`, or other aliases, in the order in which they are asked."""
    reject: bool = False

    @model_validator(mode="after")
    def _says_what_to_do(self) -> "RuleSettings":
        if bool(self.use) == self.reject:
            raise ValueError("a rule says either whom to use or reject: true")
        return self


class RouteSettings(Section):
    """A name that callers use as `model`, and who may answer for it."""

    alias: ModelName
    strategy: Literal["weighted", "ordered", "cheapest", "fastest", "least_busy", "smart"] = "weighted"
    candidates: tuple[CandidateSettings, ...] = Field(min_length=1)
    timeouts: TimeoutSettings = TimeoutSettings()
    max_output_tokens: int | None = Field(default=None, ge=1)
    retries: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    recover: Literal["auto", "off"] = "auto"
    fallback_on_content_policy: bool = False
    """Whether another candidate is asked what one refused for its content."""
    unsupported: Literal["refuse", "drop"] = "refuse"
    """What becomes of a parameter that a candidate's provider has no words for."""
    cache: CacheSettings = CacheSettings()
    rules: tuple[RuleSettings, ...] = ()
    smaller: ModelName | None = None
    """A candidate (`provider/model`) or another alias, for calls beyond a soft daily quota."""
    enabled: bool = True

    @property
    def names(self) -> list[str]:
        """The candidates and other aliases that `rules` and `smaller` name, each once."""
        named = [name for rule in self.rules for name in rule.use] + ([self.smaller] if self.smaller is not None else [])
        return list(dict.fromkeys(named))

    def unknown_names(self, aliases: Collection[str]) -> list[str]:
        """Those of `names` that are neither a candidate of this route nor one of the other aliases."""
        known = {f"{candidate.provider}/{candidate.model}" for candidate in self.candidates} | (set(aliases) - {self.alias})
        return [name for name in self.names if name not in known]
