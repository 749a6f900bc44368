"""What a name stands for: a route, with the candidates that may answer for it and the limits that it keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.kernel.money import nano_from_usd
from backend.pricing.cost import PriceCard, PriceLine
from backend.route_settings import PriceOverride, RouteSettings, TimeoutSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream model of one configured provider."""

    provider: str
    model: str
    """The provider's own id, sent upstream."""
    offer_id: str
    """Where its price is found in the catalog; a provider that the catalog does not know has none there."""
    weight: int = 1
    prefill: bool | None = None
    card: PriceCard | None = None
    """The operator's own price, which overrides the catalog's."""
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    """What its protocol needs for this model, before the provider's own."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; see `TimeoutSettings`."""

    connect: float
    attempt: float
    first_token: float
    idle: float
    total: float
    first_byte: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and when a call asks once more; see `RetrySettings`. Times in seconds."""

    per_candidate: int = 2
    attempts: int = 6
    backoff: float = 0.25
    max_wait: float = 30


@dataclass(frozen=True, slots=True)
class Breaker:
    """So many failures in a row open it for so many seconds; meanwhile one call each `probe_interval` seconds is let through."""

    failures: int = 3
    open: float = 300
    probe_interval: float = 10


@dataclass(frozen=True, slots=True)
class Rule:
    """Whom to ask, or nobody, for calls of these tasks, of these tiers and at these loads; an empty set fits every call.

    `use` holds candidates of the route and names of other aliases, in the order in which they are asked.
    """

    tasks: frozenset[str]
    tiers: frozenset[str]
    loads: frozenset[str]
    use: tuple["Candidate | str", ...]
    reject: bool


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is what permissions and the ledger know it by: the alias, `provider/model`, or the catalog's name that was asked for."""

    name: str
    candidates: tuple[Candidate, ...]
    strategy: str = "ordered"
    is_alias: bool = False
    enabled: bool = True
    timeouts: Timeouts = Timeouts(connect=5, attempt=300, first_token=60, idle=30, total=600)
    max_output_tokens: int | None = None
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    recover: bool = True
    """Whether a cut stream may go on with another answer."""
    fallback_on_content_policy: bool = False
    """Whether another candidate is asked what one refused for its content."""
    drops: bool = False
    """Whether a candidate that has no words for a parameter is asked without it, where that may be."""
    cache_seconds: float = 0
    """How long an answer may be given again; 0 = never."""
    rules: tuple[Rule, ...] = ()
    smaller: Candidate | str | None = None
    """Who answers beyond a soft daily quota: a candidate of the route, or another alias."""
    by_price: bool = False
    """Candidates are asked in the order of what this call costs with each."""
    asks_task: bool = False
    """A rule goes by the class of work."""
    trouble: str = ""
    """Why an alias cannot be used, in a sentence; it is then not enabled."""


def route_from_settings(settings: RouteSettings) -> Route:
    candidates = tuple(
        Candidate(
            provider=candidate.provider,
            model=candidate.model,
            offer_id=f"{candidate.provider}/{candidate.model}",
            weight=candidate.weight,
            prefill=candidate.prefill,
            card=_card(settings.alias, f"{candidate.provider}/{candidate.model}", candidate.price) if candidate.price else None,
            metadata=candidate.metadata or None,
        )
        for candidate in settings.candidates
    )
    own = {candidate.offer_id: candidate for candidate in reversed(candidates)}
    return Route(
        name=settings.alias,
        candidates=candidates,
        strategy=settings.strategy,
        is_alias=True,
        enabled=settings.enabled,
        timeouts=_timeouts(settings.timeouts),
        max_output_tokens=settings.max_output_tokens,
        retries=Retries(
            settings.retries.per_candidate,
            settings.retries.attempts,
            settings.retries.backoff.total_seconds(),
            settings.retries.max_wait.total_seconds(),
        ),
        breaker=Breaker(settings.breaker.failures, settings.breaker.open.total_seconds(), settings.breaker.probe_interval.total_seconds()),
        recover=settings.recover == "auto",
        fallback_on_content_policy=settings.fallback_on_content_policy,
        drops=settings.unsupported == "drop",
        cache_seconds=settings.cache.ttl.total_seconds(),
        rules=tuple(
            Rule(
                frozenset(rule.task),
                frozenset(rule.tier),
                frozenset(rule.load),
                tuple(own.get(name, name) for name in rule.use),
                rule.reject,
            )
            for rule in settings.rules
        ),
        smaller=None if settings.smaller is None else own.get(settings.smaller, settings.smaller),
        by_price=settings.strategy in ("cheapest", "smart"),
        asks_task=any(rule.task for rule in settings.rules),
    )


def broken_route(name: str, trouble: str) -> Route:
    """An alias whose settings cannot be: nobody answers for it, and no other model of the name answers in its place."""
    return Route(name=name, candidates=(), is_alias=True, enabled=False, trouble=trouble)


def _timeouts(settings: TimeoutSettings) -> Timeouts:
    return Timeouts(
        connect=settings.connect.total_seconds(),
        attempt=settings.attempt.total_seconds(),
        first_token=settings.first_token.total_seconds(),
        idle=settings.idle.total_seconds(),
        total=settings.total.total_seconds(),
        first_byte=settings.first_byte.total_seconds() if settings.first_byte is not None else None,
    )


_AMOUNTS = (
    ("input", "input", "token", 1),
    ("output", "output", "token", 1),
    ("cache_read", "cache_read", "token", 1),
    ("cache_write", "cache_write", "token", 1),
    ("audio_input", "audio_in", "token", 1),
    ("audio_output", "audio_out", "token", 1),
    ("image_input", "image_in", "token", 1),
    ("image_output", "image_out", "token", 1),
    ("image", "image_out", "image", 1_000_000),
    ("character", "input", "character", 1),
    ("second", "input", "second", 1_000_000),
    ("query", "input", "query", 1_000_000),
)
"""What each price is of, and how many times it goes into the million of these that a price line is about."""


def _card(alias: str, offer_id: str, price: PriceOverride) -> PriceCard:
    """The operator's prices under ids that say where they come from, such as `route:fast:acme/other-model:input`."""
    lines = tuple(
        PriceLine(f"route:{alias}:{offer_id}:{name}", component, unit, nano_from_usd(amount * per))
        for name, component, unit, per in _AMOUNTS
        if (amount := getattr(price, name)) is not None
    )
    return PriceCard(offer_id, "priced", lines)
