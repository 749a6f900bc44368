"""A question to matching, as plain values: what must hold, what is preferred, and how the model will be used."""

from dataclasses import dataclass, field, replace

from backend.matching.parse import Understood
from backend.matching.usual import Stated


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a model must satisfy; empty or None asks for nothing. Prices in nano-dollars per 1M tokens, times in milliseconds.

    `max_blended_nano` bounds the price of the workload's own mix: all its tokens in and out alike. What nobody states (a language, a
    latency) is told and lets a model in, unless `strict`.
    """

    max_blended_nano: int | None = None
    max_input_nano: int | None = None
    max_output_nano: int | None = None
    max_latency_ms: float | None = None
    context_min: int | None = None
    modes: frozenset[str] = frozenset()
    modalities_in: frozenset[str] = frozenset()
    modalities_out: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    languages: tuple[str, ...] = ()
    open_weights: bool | None = None
    licences: frozenset[str] = frozenset()
    region: str | None = None
    providers: frozenset[str] = frozenset()
    not_providers: frozenset[str] = frozenset()
    creators: frozenset[str] = frozenset()
    not_creators: frozenset[str] = frozenset()
    configured_only: bool = False
    include_deprecated: bool = False
    strict: bool = False

    @property
    def limits_tokens(self) -> bool:
        """Whether a price per token bounds what comes into question."""
        return (self.max_blended_nano, self.max_input_nano, self.max_output_nano) != (None, None, None)

    def without_token_limits(self) -> "Constraints":
        return replace(self, max_blended_nano=None, max_input_nano=None, max_output_nano=None)

    def with_text(self, read: Understood) -> "Constraints":
        """Together with what the text asks for; where both speak of one thing, what was stated beside the text counts."""
        return replace(
            self,
            capabilities=self.capabilities | frozenset(read.capabilities),
            modalities_in=self.modalities_in | frozenset(read.modalities_in),
            languages=self.languages or read.languages,
            open_weights=read.open_weights if self.open_weights is None else self.open_weights,
            region=self.region or read.region,
            context_min=self.context_min if self.context_min is not None else read.room,
            max_blended_nano=self.max_blended_nano if self.max_blended_nano is not None else read.max_nano_per_million,
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part of a score counts; together 1."""

    quality: float = 0.50
    fit: float = 0.15
    cost: float = 0.25
    latency: float = 0.10
    carbon: float = 0.0

    def normalised(self) -> "Weights":
        """The same proportions, together 1."""
        total = self.quality + self.fit + self.cost + self.latency + self.carbon
        if total <= 0:
            return Weights()
        return Weights(*(part / total for part in (self.quality, self.fit, self.cost, self.latency, self.carbon)))

    def with_cost(self, share: float) -> "Weights":
        """Cost counts this much (0 to 1), and all else keeps its proportions in the rest."""
        others = self.quality + self.fit + self.latency + self.carbon
        rest = (1 - share) / others if others > 0 else 0.0
        return Weights(self.quality * rest, self.fit * rest, share, self.latency * rest, self.carbon * rest)


FIT_SHARE = 0.15
"""What the fit of capabilities counts where somebody weighs cost, latency, quality and carbon."""
_LATENCY_WEIGHT = {"any": 0.0, "normal": 0.10, "low": 0.30, "lowest": 0.60}


@dataclass(frozen=True, slots=True)
class Preferences:
    """`cost_weight` is the share of cost in the score; `weights` the proportions of cost, latency, quality and carbon. None: not said."""

    latency: str | None = None
    cost_weight: float | None = None
    weights: tuple[tuple[str, float], ...] = ()


def weights_for(preferences: Preferences, read: Understood) -> Weights:
    """What is said beside the text counts before the text's wishes ("cheap", "fast", "best"), and these before the usual proportions."""
    wishes = dict(read.wishes)
    quality = 0.80 if wishes.get("quality") == "more" else 0.50
    cost = {"more": 0.60, "less": 0.03}.get(wishes.get("cost", ""), 0.10 if quality > 0.5 else 0.25)
    latency = {"more": _LATENCY_WEIGHT["low"], "less": 0.0}.get(wishes.get("latency", ""), _LATENCY_WEIGHT["normal"])
    carbon = 0.30 if wishes.get("carbon") == "more" else 0.0
    if preferences.latency is not None:
        latency = _LATENCY_WEIGHT[preferences.latency]
    weights = Weights(quality, FIT_SHARE, cost, latency, carbon).normalised()
    if preferences.weights:
        stated = dict(preferences.weights)
        total = sum(stated.values())
        if total > 0:
            parts = (stated.get(name, 0.0) / total * (1 - FIT_SHARE) for name in ("quality", "cost", "latency", "carbon"))
            quality, cost, latency, carbon = parts
            weights = Weights(quality, FIT_SHARE, cost, latency, carbon)
    if preferences.cost_weight is not None:
        weights = weights.with_cost(preferences.cost_weight)
    return weights


@dataclass(frozen=True, slots=True)
class Question:
    """`text` may be empty where `tasks` are named; `stated` is what is said of the workload; `limit` bounds what is shown, not what is
    counted."""

    text: str = ""
    tasks: tuple[str, ...] = ()
    constraints: Constraints = field(default_factory=Constraints)
    preferences: Preferences = field(default_factory=Preferences)
    stated: Stated = field(default_factory=dict)
    limit: int = 10
