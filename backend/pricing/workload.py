"""What somebody does with a model, in numbers, and what that costs through the one `cost_of_call`: no arithmetic of prices of its own."""

from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from backend.pricing.cost import Cost, PriceCard, cost_of_call
from backend.pricing.usage import Usage

DAYS_PER_MONTH = Fraction(365, 12)
"""A month is a twelfth of a year: 30.4 days."""
_BESIDE_TOKENS = (("images",), ("seconds", "characters", "audio_input", "audio_output"))
"""Where a workload has any of one kind, an offer that bills none of that kind has no price for it, though it may have one for the tokens
beside. Sound is one kind: the same minute may be stated in seconds and in tokens, and a seller bills it by either."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One call, in tokens unless a name says otherwise, and how often it is made.

    `input_tokens` is the whole prompt; `cache_share` (0 to 1) is the part of it that is read from the provider's cache, and
    `cache_write_share` the part that is written there. `reasoning_tokens` and `audio_output_tokens` come on top of `output_tokens`,
    `audio_input_tokens` on top of `input_tokens`.
    """

    input_tokens: int = 1000
    output_tokens: int = 500
    calls_per_day: float = 1000
    cache_share: float = 0.0
    cache_write_share: float = 0.0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    images: int = 0
    seconds: float = 0.0
    characters: int = 0
    service_tier: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where the numbers cannot be a workload."""
        amounts = (
            self.input_tokens, self.output_tokens, self.calls_per_day, self.cache_share, self.cache_write_share, self.reasoning_tokens,
            self.audio_input_tokens, self.audio_output_tokens, self.images, self.seconds, self.characters,
        )  # fmt: skip
        if any(not 0 <= amount < float("inf") for amount in amounts):
            raise ValueError("a workload is made of finite numbers that are not negative")
        if self.cache_share + self.cache_write_share > 1:
            raise ValueError("the shares of the prompt that are read from the cache and written there are more than all of it")

    @property
    def usage(self) -> Usage:
        """One call in the disjoint buckets that are priced."""
        read, written = round(self.input_tokens * self.cache_share), round(self.input_tokens * self.cache_write_share)
        written = min(written, self.input_tokens - read)
        return Usage(
            input=self.input_tokens - read - written,
            cache_read=read,
            cache_write=written,
            audio_input=self.audio_input_tokens,
            output=self.output_tokens,
            reasoning=self.reasoning_tokens,
            audio_output=self.audio_output_tokens,
            images=self.images,
            seconds=self.seconds,
            characters=self.characters,
        )


def cost_per_call(card: PriceCard, workload: Workload, *, at: datetime) -> Cost:
    """What one call of the workload costs at that instant (aware), in nano-dollars; `state` says whether it is priced at all.

    Unpriced is also what the offer does not bill, such as pictures at who sells text or gives it away; `missing` names the buckets, or is
    ("workload",) where nothing is asked for.
    """
    # A card keeps what it found for every region it was asked for; strangers must not fill it with names of their own.
    region = workload.region if any(line.region == workload.region for line in card.lines) else None
    usage = workload.usage
    cost = cost_of_call(usage, card, at=at, service_tier=workload.service_tier, region=region)
    if cost.state == "unpriced":
        return cost
    billed = {part.bucket for part in cost.parts}
    missing = [bucket for kind in _BESIDE_TOKENS if not billed.intersection(kind) for bucket in kind if getattr(usage, bucket)]
    if not missing and (billed or cost.state == "free"):
        return cost
    stated = [name for name, amount in usage._asdict().items() if amount and name != "requests"]
    return cost._replace(state="unpriced", missing=tuple(missing or stated or ["workload"]))


def per_million_blended(cost: Cost, workload: Workload) -> int | None:
    """Nano-dollars per 1M tokens of this mix, rounded up: all tokens in and out count alike. None where unpriced or without tokens."""
    usage = workload.usage
    tokens = usage.total_input + usage.total_output
    if cost.state == "unpriced" or not tokens:
        return None
    return -(-cost.nano * 1_000_000 // tokens)


def per_day(nano: int, workload: Workload) -> int:
    """Nano-dollars a day, rounded up."""
    whole = nano * Fraction(workload.calls_per_day)
    return -(-whole.numerator // whole.denominator)


def per_month(nano: int, workload: Workload) -> int:
    """Nano-dollars a month, rounded up; from the cost of a call and not of a day, so that nothing is rounded twice."""
    whole = nano * Fraction(workload.calls_per_day) * DAYS_PER_MONTH
    return -(-whole.numerator // whole.denominator)
