"""One stated price of one offer with what is decided about it; the working material of `outliers` and `consensus`."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from backend.pricing.quotes import Quote


@dataclass(slots=True)
class Evidence:
    """`status`, `in_force` and `reason` are decided; everything else is given. `place` makes two prices of one offer comparable:
    component, unit, tier.

    `passed`: the row is in the store and was not in quarantine. `approved`: a person let it pass.
    `exact`: the source names this very offer; otherwise it only matches it by a pattern. `as_of`: the day that the source describes.
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
    place: tuple[str, str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.place = (self.quote.component, self.quote.unit, self.quote.tier.text)

    @property
    def amount(self) -> Decimal:
        return self.quote.usd_per_million
