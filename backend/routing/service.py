"""What a name stands for, in the operator's eyes: its candidates, what each would cost and why one would not be asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.edits import as_written, field_names
from backend.kernel.errors import NotFound
from backend.pricing.cost import PriceCard
from backend.providers.service import ProviderService
from backend.routing.edits import RouteEdits
from backend.routing.route import Candidate, Route
from backend.routing.table import RouteTable
from backend.settings import Settings


class Prices(Protocol):
    """The price book as far as routes look at it."""

    def card(self, offer_id: str) -> PriceCard | None: ...


@dataclass(frozen=True, slots=True)
class CandidateView:
    """Prices in nano-dollars per 1M tokens in the lowest context band just now, None where there is none of that kind.

    `price_from` is route (the operator's own), catalog, fallback (`on_unknown_price`) or none.
    """

    provider: str
    model: str
    offer_id: str
    weight: int
    price_from: str
    price_state: str
    input_nano: int | None
    output_nano: int | None
    why: str
    """A sentence why it would not be asked; empty if it would."""

    @property
    def usable(self) -> bool:
        return not self.why


@dataclass(frozen=True, slots=True)
class RouteView:
    """`kind` is alias, or offers (a provider's model, or a name of the catalog); `origin` of an alias is configuration, database or both.

    `edited` are the fields that the database decides, in dots; `settings` is all that an alias is made of, as it would stand in the file,
    empty where it cannot be used.
    """

    name: str
    kind: str
    strategy: str
    enabled: bool
    max_output_tokens: int | None
    candidates: tuple[CandidateView, ...]
    origin: str = ""
    edited: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Sentences about what may surprise."""
    trouble: str = ""

    @property
    def usable(self) -> bool:
        return self.enabled and any(candidate.usable for candidate in self.candidates)

    @property
    def why(self) -> str:
        """A sentence why no call would be answered; empty if one would."""
        if self.trouble:
            return f"What was edited and what the configuration says do not fit together any more: {self.trouble}"
        if not self.enabled:
            return f"It is switched off (enabled: false{' in the database' if 'enabled' in self.edited else ''})."
        return "" if self.usable else "; ".join(dict.fromkeys(candidate.why.rstrip(".") for candidate in self.candidates)) + "."


class RouteService:
    """`edits` changes routes; `seen` then tells how one came out."""

    def __init__(
        self, settings: Settings, clock: Clock, table: RouteTable, prices: Prices, providers: ProviderService, edits: RouteEdits
    ) -> None:
        self.edits = edits
        self._in_file = {route.alias for route in settings.models}
        self._fallback = settings.budgets.default.on_unknown_price != "refuse"
        self._clock = clock
        self._table = table
        self._prices = prices
        self._providers = providers

    def all(self, principal: Principal) -> list[RouteView]:
        """Every route that `/v1/models` may list: aliases, and what the catalog says configured providers sell.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        return [self._view(route) for route in self._table.listed()]

    def get(self, principal: Principal, name: str) -> RouteView:
        """What a name stands for that a caller sends as `model`.

        Raises:
            PermissionDenied: only a super admin may see this. NotFound: no call with that name would find a candidate.
        """
        require_super_admin(principal)
        route = self._table.find(name)
        if route is None:
            raise NotFound("That name is no alias, and no configured provider sells a model of that name.")
        return self._view(route)

    async def seen(self, principal: Principal, name: str) -> RouteView:
        """A route as it is after a change that was just made; raises as `get`."""
        await self.refresh()
        return self.get(principal, name)

    async def refresh(self) -> None:
        """Take up a change that was just made, without waiting for the change feed."""
        await self._table.load()

    def _view(self, route: Route) -> RouteView:
        now = self._clock.now()
        edits, settings = self._table.edits.get(route.name, {}), self._table.settings_of(route.name)
        notes = []
        if route.is_alias and self._table.shadows(route.name):
            notes.append("It goes before the model of the same name that a provider sells, which callers cannot ask for directly then.")
        if settings is not None and settings.strategy == "smart":
            notes.append("The strategy smart comes in a later release: until then it is cheapest.")
        return RouteView(
            origin=("both" if edits else "configuration") if route.name in self._in_file else "database" if route.is_alias else "",
            edited=tuple(field_names(edits)),
            settings=as_written(settings, _NAMED) if settings is not None else {},
            notes=tuple(notes),
            trouble=route.trouble,
            name=route.name,
            kind="alias" if route.is_alias else "offers",
            strategy=route.strategy,
            enabled=route.enabled,
            max_output_tokens=route.max_output_tokens,
            candidates=tuple(self._candidate(candidate, now) for candidate in route.candidates),
        )

    def _candidate(self, candidate: Candidate, now: datetime) -> CandidateView:
        card, price_from = candidate.card, "route"
        if card is None:
            card, price_from = self._prices.card(candidate.offer_id), "catalog"
        state = card.state if card is not None else "unknown"
        why = self._providers.why_unusable(candidate.provider)
        if state not in ("priced", "free"):
            price_from = "fallback" if self._fallback else "none"
            why = why or ("" if self._fallback else _NO_PRICE[state])
        sheet = card.sheet(0, now) if card is not None and card.lines else None
        return CandidateView(
            provider=candidate.provider,
            model=candidate.model,
            offer_id=candidate.offer_id,
            weight=candidate.weight,
            price_from=price_from,
            price_state=state,
            input_nano=sheet.input.nano_per_million if sheet is not None and sheet.input is not None else None,
            output_nano=sheet.output.nano_per_million if sheet is not None and sheet.output is not None else None,
            why=why,
        )


_NAMED = frozenset({"alias"})
"""What stands beside the settings of a route, not in them."""
_NO_PRICE = {
    "unknown": "It has no price: the catalog does not know it, and the configuration names none.",
    "unpriced": "It has no price: no source of the catalog knows one, and the configuration names none.",
    "quarantined": "Its price is in quarantine: the sources disagree, and the configuration names none.",
}
