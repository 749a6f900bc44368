"""What pages and APIs see of prices. Amounts are nano-dollars; `nano_per_million` is for 1,000,000 units of a component."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from backend.pricing.workload import Workload


class Named(Protocol):
    """A model as far as prices know it."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class PriceOrigin:
    """Whose word an offer's price in force is, and the day that it describes (else on which it was read); None where nobody has one.

    `doubt` says why it is doubtful, see `backend.pricing.doubt`.
    """

    offer_id: str
    source: str | None = None
    as_of: date | None = None
    doubt: str | None = None


class Names(Protocol):
    """Who knows what names stand for: the catalog. Prices do not import it."""

    def summary(self, name: str) -> Named | None:
        """The model that a model id, offer id or alias stands for."""
        ...

    def offers_named(self, name: str) -> list[tuple[str, str]]:
        """`(provider, upstream id)` of every offer that the name stands for, in order of preference among equals."""
        ...

    def origin(self, offer_id: str) -> PriceOrigin:
        """Whose word an offer's price is, and what speaks against it."""
        ...


@dataclass(frozen=True, slots=True)
class StatedPrice:
    """One price that one source states. `amount` is what it says, in `currency`, for `per` units.

    `status`: observed, announced (not yet in force), quarantined, rejected. `reason` says why it is in force, or why not.
    `data_date` is the day that its source describes, None where the source does not say; `read_at` is when it was read last.
    """

    id: str
    component: str
    label: str
    unit: str
    tier: str
    tier_label: str
    amount: str
    per: int
    currency: str
    usd_per_million: str
    nano_per_million: int
    source: str
    source_url: str | None
    effective_at: datetime
    observed_at: datetime
    expires_at: datetime | None
    status: str
    in_force: bool
    reason: str | None
    data_date: date | None
    read_at: datetime
    conversion: str | None = None

    def age_days(self, now: datetime) -> int:
        """Days since the source described it, or since it was read where the source does not date itself."""
        return max(0, (now.date() - (self.data_date or self.read_at.date())).days)


@dataclass(frozen=True, slots=True)
class DoubtedPrice:
    """A price that waits for a person, with the doubt, or what he decided: `verdict` accept or reject, None while it waits."""

    offer_id: str
    price: StatedPrice
    doubt: str
    verdict: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class OfferPrices:
    """`state`: priced, free (confirmed), unpriced, quarantined. `agreement` of `sources` agree on its leading price; `doubt` says why it is
    doubtful all the same."""

    id: str
    provider: str
    status: str
    state: str
    agreement: int
    sources: int
    prices: tuple[StatedPrice, ...]
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class ModelPrices:
    """`lead` is the price that stands for the model: input tokens of the cheapest offer, else what that offer is sold by."""

    model_id: str
    name: str
    offers: tuple[OfferPrices, ...]
    lead_offer: str | None
    lead: StatedPrice | None


@dataclass(frozen=True, slots=True)
class PricedPart:
    """One bucket of the call: `quantity` units at `nano_per_million`, the price of a service tier or region, or (None) the usual one."""

    bucket: str
    quantity: float
    nano_per_million: int
    service_tier: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class OfferCost:
    """What one call costs at one offer, a day and a month of them. `state`: priced, free, unpriced; then `missing` says for what.

    `blended` is nano-dollars per 1M tokens of this mix. Amounts are None where unpriced. `fallback` says where the service tier or region
    that was asked for has no price and the usual one is taken, for people: "usual price, no flex one".
    """

    offer_id: str
    provider: str
    state: str
    nano: int | None
    day: int | None
    month: int | None
    blended: int | None
    parts: tuple[PricedPart, ...] = ()
    missing: tuple[str, ...] = ()
    origin: PriceOrigin = PriceOrigin("")
    fallback: str | None = None

    @property
    def doubt(self) -> str | None:
        return self.origin.doubt


@dataclass(frozen=True, slots=True)
class ModelCost:
    """A model's cheapest offer for a workload, and the others: priced ones by cost, then those given away (rationed), then doubtful ones,
    then unpriced."""

    model_id: str
    name: str
    asked: str
    offers: tuple[OfferCost, ...]

    @property
    def best(self) -> OfferCost | None:
        """None where no offer can be priced for this workload."""
        return self.offers[0] if self.offers and self.offers[0].state != "unpriced" else None


@dataclass(frozen=True, slots=True)
class Equivalence:
    """One call of `a` costs as much as `calls` of `b`; None where one of them is unpriced, or `b` is free.

    `break_even_output`: with how many output tokens both calls cost the same, everything else as stated; None if at no length.
    `text` says all of it.
    """

    a: str
    b: str
    calls: float | None
    break_even_output: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """In the order asked for; `pairs` are each two of the models."""

    workload: Workload
    at: datetime
    models: tuple[ModelCost, ...]
    pairs: tuple[Equivalence, ...]
    headline: str
