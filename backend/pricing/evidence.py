"""One stated price of one offer with what is decided about it; the working material of `outliers` and `consensus`."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal

from backend.pricing.quotes import Quote

OPERATOR = "operator"
"""The source of prices that a person set: they are in force whatever others say."""
WITHDRAWN = "withdrawn"
"""The status of a price that was taken back, or no longer stated, before it was ever in force: it counts nowhere."""
_RANKS = {OPERATOR: 100, "sandbox": 100, "genai-prices": 40, "openrouter": 35, "litellm": 30, "models.dev": 20}
_RANK_OF_OTHERS = 50
"""Of what an operator named or handed in, beyond the public lists."""


def rank_of(source: str) -> int:
    """Who is believed when everything else is equal, higher first."""
    return _RANKS.get(source, _RANK_OF_OTHERS)


def described(day: date | None, read_at: datetime) -> datetime:
    """The instant that a reading describes; a source that does not date itself speaks of when it was read."""
    return read_at if day is None else datetime.combine(day, time(), tzinfo=UTC)


@dataclass(slots=True)
class Evidence:
    """`status`, `in_force` and `reason` are decided; everything else is given. `place` makes two prices of one offer comparable:
    component, unit, tier.

    `own`: the offer's seller made the model.
    `passed`: the row is in the store and was not in quarantine. `approved`: a person let it pass; with the status `rejected` he took it
    out for good.
    `exact`: the source names this very offer; otherwise it only matches it by a pattern. `as_of`: see `described`.
    `previous`: what this source said before, USD per 1M units, if it changed.
    """

    offer_id: str
    model_id: str
    family: str | None
    mode: str
    source: str
    rank: int
    as_of: datetime
    quote: Quote
    exact: bool = True
    previous: Decimal | None = None
    id: str = ""
    status: str = "observed"
    in_force: bool = False
    reason: str | None = None
    approved: bool = False
    passed: bool = False
    own: bool = False
    place: tuple[str, str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.place = (self.quote.component, self.quote.unit, self.quote.tier.text)

    @property
    def amount(self) -> Decimal:
        return self.quote.usd_per_million
