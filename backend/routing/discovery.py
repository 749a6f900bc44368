"""Which models a provider has, by its own list, and what the store knows of each; the ones that nobody knows wait for a price.

A model without a price is not asked as long as its cost has no bound, so whoever adopts one says what it costs. That is then an alias like
any other: it can be edited, and taken away again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol, cast

from backend.identity.principal import Principal, require_super_admin
from backend.kernel.errors import BadRequest, Conflict, NotFound, UpstreamError
from backend.pricing.cost import PriceCard
from backend.providers.book import ProviderBook
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import Lister, Provider
from backend.routing.edits import RouteEdits
from backend.routing.table import RouteTable

LIST_SECONDS = 10.0
Known = Literal["sold", "elsewhere", "unknown"]


class Store(Protocol):
    """The catalog as far as it tells models apart."""

    def offers_named(self, name: str) -> list[tuple[str, str]]:
        """`(provider id, upstream model id)` of every offer that the name stands for."""
        ...


class Prices(Protocol):
    def card(self, offer_id: str) -> PriceCard | None: ...


@dataclass(frozen=True, slots=True)
class Discovered:
    """One model of a provider's list.

    `known` is sold where the store has this provider's offer of it, elsewhere where it has others' of a model of that name, else unknown.
    """

    id: str
    name: str
    """What callers ask for it by."""
    known: Known
    others: tuple[str, ...]
    """Offers of the same model elsewhere, cheapest first: what it may be like, and what it costs there."""
    has_price: bool
    """So that calls can be bounded: from the store, or from an alias."""
    aliases: tuple[str, ...]
    """Routes that have it among their candidates."""


class Discovery:
    """Args:
    providers: those that can be asked just now.
    """

    def __init__(
        self, book: ProviderBook, store: Store, prices: Prices, routes: RouteTable, edits: RouteEdits, providers: Mapping[str, Provider]
    ) -> None:
        self._book = book
        self._store = store
        self._prices = prices
        self._routes = routes
        self._edits = edits
        self._providers = providers

    async def models(self, principal: Principal, provider: str) -> list[Discovered]:
        """What the provider says that it has, those without a price first.

        Raises:
            PermissionDenied: only a super admin may see this.
            NotFound: there is no such provider. Conflict: it cannot be asked, or has no list.
            UpstreamError: it did not answer with one.
        """
        require_super_admin(principal, "see what providers have")
        ids = await self._listed(provider)
        aliases: dict[str, list[str]] = {}
        priced = set()
        for route in self._routes.aliases():
            for candidate in route.candidates:
                if candidate.provider == provider:
                    aliases.setdefault(candidate.model, []).append(route.name)
                    if candidate.card is not None:
                        priced.add(candidate.model)
        found = [self._told(provider, model, aliases.get(model, ()), model in priced) for model in ids]
        return sorted(found, key=lambda one: (one.has_price, one.id))

    async def adopt(
        self, principal: Principal, provider: str, model: str, *, input_usd: Decimal, output_usd: Decimal, alias: str | None = None
    ) -> str:
        """Make an alias of a model with its price, USD per 1M tokens; returns the alias, by default `provider/model`.

        Raises:
            BadRequest: the provider does not have it. As `models`, and as `RouteEdits.create`.
        """
        require_super_admin(principal, "change routes")
        if model not in await self._listed(provider):
            raise BadRequest(f"{provider} has no model {model!r}.", param="model")
        name = alias or f"{provider}/{model}"
        price = {"input": str(input_usd), "output": str(output_usd)}
        fields: dict[str, Any] = {"candidates": [{"provider": provider, "model": model, "price": price}]}
        await self._edits.create(principal, name, fields)
        return name

    async def _listed(self, provider: str) -> list[str]:
        if provider not in self._book.all:
            raise NotFound(f"There is no such provider: {provider!r}.")
        adapter = self._providers.get(provider)
        if adapter is None:
            raise Conflict(f"{provider} cannot be asked: `provider show {provider}` says why.")
        if not has_list(adapter):
            raise Conflict(f"The protocol {adapter.protocol} has no list of models.")
        try:
            return await cast(Lister, adapter).listed(LIST_SECONDS)
        except UpstreamFailure as failure:
            raise UpstreamError(f"{provider} did not say which models it has: {failure.error.message}") from None

    def _told(self, provider: str, model: str, aliases: Iterable[str], has_price: bool) -> Discovered:
        name = f"{provider}/{model}"
        own = (provider, model) in self._store.offers_named(name)
        others = tuple([f"{seller}/{upstream}" for seller, upstream in self._named(model) if seller != provider])
        card = self._prices.card(name)
        in_store = card is not None and (card.state == "free" or (card.state == "priced" and bool(card.lines)))
        known: Known = "sold" if own else "elsewhere" if others else "unknown"
        return Discovered(model, name, known, others[:5], has_price or in_store, tuple(aliases))

    def _named(self, model: str) -> list[tuple[str, str]]:
        """Local servers put a size or a quantisation behind a colon: `llama3.2:3b` is a kind of llama3.2."""
        return self._store.offers_named(model) or self._store.offers_named(model.partition(":")[0])


def has_list(adapter: Provider) -> bool:
    """Whether it can say which models it has; one with several keys is as its adapters are."""
    keys = getattr(adapter, "keys", None)
    return hasattr(keys[0].provider if keys else adapter, "listed")
