"""From the name that a caller asks for to the candidates that may answer, in the order in which they are tried."""

import random
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import structlog

from backend.identity.names import AUTO
from backend.kernel.db import Database
from backend.kernel.errors import ModelNotAllowed, ModelNotFound
from backend.providers.book import ProviderBook
from backend.providers.registry import SANDBOX
from backend.providers.sandbox import NAMES as SANDBOX_MODELS
from backend.route_settings import RouteSettings
from backend.routing import repository
from backend.routing.merge import merged
from backend.routing.route import Candidate, Route, Rule, broken_route, route_from_settings
from backend.routing.selection import Load, Steady, chosen_rule
from backend.routing.strategies import Conditions, NothingKnown, Strategies
from backend.settings import ProviderSettings, Settings

log = structlog.get_logger(__name__)

_MODES = frozenset({
    "chat", "embedding", "completion", "moderation", "rerank", "image_generation", "audio_speech", "audio_transcription",
})  # fmt: skip
"""What models do that can be asked for here."""
_MAX_NAME = 255
_REMEMBERED_NAMES = 1000


class Names(Protocol):
    """The catalog as routing sees it: what a name that is no alias of ours stands for, and what a provider sells."""

    def offers_named(self, name: str) -> list[tuple[str, str]]:
        """`(provider id, upstream model id)` of every offer that the name (alias, model id or offer id) stands for, cheapest first."""
        ...

    def sold_by(self, provider_id: str) -> Iterable[tuple["Offered", "Described"]]:
        """Every offer of a provider with its model."""
        ...


class Offered(Protocol):
    @property
    def id(self) -> str: ...


class Described(Protocol):
    @property
    def mode(self) -> str: ...


class Permitted(Protocol):
    """The part of a key that decides about models; see `KeyRecord`."""

    @property
    def models(self) -> frozenset[str] | None: ...
    @property
    def tenant_models(self) -> frozenset[str] | None: ...
    @property
    def default_model(self) -> str | None: ...
    @property
    def tier(self) -> str | None: ...


class Choice(NamedTuple):
    """Who is asked, in this order; `by_price`: in that of their prices for this call, once it is known how long it is."""

    candidates: tuple[Candidate, ...]
    by_price: bool


class RouteTable:
    """Aliases of the file and the database, then `provider/model` of configured providers, then names that the catalog knows.

    Args:
        db: where operators edit routes; None = the file alone.
        conditions: how candidates do, for strategies that go by it.
        load: how this process does, for rules that go by it.
        providers: None = those of the configuration.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Names | None,
        db: Database | None = None,
        *,
        conditions: Conditions | None = None,
        load: Load | None = None,
        rng: random.Random | None = None,
        providers: ProviderBook | None = None,
    ) -> None:
        self._settings = settings
        self._book = providers or ProviderBook(settings)
        self._catalog = catalog
        self._db = db
        self._conditions = conditions or NothingKnown()
        self._load = load or Steady()
        self._strategies = Strategies(self._conditions, rng or random.Random())
        self._providers: Mapping[str, ProviderSettings] = {}
        """Those that can be asked, as of the last load."""
        self._edits: Mapping[str, Any] | None = None
        self._merged: dict[str, RouteSettings] = {}
        self._aliases: dict[str, Route] = {}
        self._direct: dict[str, Route | None] = {}

    @property
    def edits(self) -> Mapping[str, Any]:
        """What operators edited of aliases, by name, as of the last load."""
        return self._edits or {}

    def settings_of(self, alias: str) -> RouteSettings | None:
        """What an alias is made of; None for what is no alias, or one that cannot be used."""
        return self._merged.get(alias)

    def shadows(self, alias: str) -> bool:
        """Whether the name would stand for something without the alias: an offer of a provider, or a name of the catalog."""
        return self._settings.direct_models and self._find_direct(alias) is not None

    async def load(self) -> None:
        """Read routes anew; subscribe this to the change feed. Routes that did not change stay the same objects."""
        edits: Mapping[str, Any] = {}
        if self._db is not None:
            async with self._db.read() as session:
                edits = await repository.edits(session)
        self._providers = self._book.open
        self._direct = {}
        if edits != self._edits:
            self._take(edits)
            default = self._settings.default_model
            if default is not None and self.find(default) is None:
                log.warning("route.default_model_unknown", name=default)

    def _take(self, edits: Mapping[str, Any]) -> None:
        routes, troubles = merged(self._settings, edits)
        aliases = {}
        for name, settings in routes.items():
            known = self._aliases.get(name)
            aliases[name] = known if known is not None and self._merged.get(name) == settings else route_from_settings(settings)
            if aliases[name] is not known and settings.strategy == "smart":
                log.warning("route.smart_comes_later", alias=name, used="cheapest")
        for name, trouble in troubles.items():
            log.error("route.cannot_be_used", alias=name, reason=trouble)
            aliases[name] = broken_route(name, trouble)
        self._edits, self._merged, self._aliases = edits, routes, aliases

    # Names -------------------------------------------------------------------------------------------------------------------------

    def resolve(self, name: str, key: Permitted) -> Route:
        """The route of a name, if this key may use it. `auto` is the tenant's default, else the installation's.

        Raises:
            ModelNotFound: unknown, disabled, or not among the tenant's models: indistinguishable; or `auto` without a default.
            ModelNotAllowed: the tenant may use it, this key may not.
        """
        route = self._aliases.get(name)
        if route is None:
            if name == AUTO:
                return self._default(key)
            route = self.find(name)
        if route is None or not route.enabled or not _is_among(name, key.tenant_models):
            raise _not_found(name)
        if not _is_among(name, key.models):
            raise _not_allowed(name)
        return route

    def _default(self, key: Permitted) -> Route:
        name = key.default_model or self._settings.default_model
        if name is None:
            raise ModelNotFound(
                f"'{AUTO}' stands for your tenant's default model, and none is set: name a model, or have the operator set one "
                "(`tenant default-model`, or `default_model` in the configuration).",
                param="model",
            )
        route = self.find(name)
        # Whoever sets the default must not open with it what the tenant's list closes.
        if route is None or not route.enabled or not _is_among(name, key.tenant_models):
            raise _not_found(name)
        if not (_is_among(name, key.models) or _is_among(AUTO, key.models)):
            raise _not_allowed(name)
        return route

    def find(self, name: str) -> Route | None:
        """The route of a name, whoever asks and whether it is enabled or not; None when no candidate would be found."""
        route = self._aliases.get(name)
        if route is not None or not self._settings.direct_models:
            return route
        if name in self._direct:
            return self._direct[name]
        route = self._find_direct(name) if len(name) <= _MAX_NAME else None
        if len(self._direct) >= _REMEMBERED_NAMES:
            # Names come from callers: forgetting all of them now and then bounds what they can make us remember.
            self._direct.clear()
        self._direct[name] = route
        return route

    def _find_direct(self, name: str) -> Route | None:
        provider, _, model = name.partition("/")
        if model and provider in self._providers and not _is_control(name):
            if not self._serves(provider, model):
                return None
            return Route(name=name, candidates=(Candidate(provider, model, offer_id=name),))
        if self._catalog is None:
            return None
        candidates = tuple(
            Candidate(provider, model, offer_id=f"{provider}/{model}")
            for provider, model in self._catalog.offers_named(name)
            if provider in self._providers and self._serves(provider, model)
        )
        return Route(name=name, candidates=candidates) if candidates else None

    def usable(self, key: Permitted) -> Iterator[Route]:
        """Every route that is listed for this key: aliases that somebody can answer for, the sandbox's models, and what the catalog says
        configured providers sell.
        """
        for route in self.listed():
            answerable = any(candidate.provider in self._providers for candidate in route.candidates)
            if answerable and route.enabled and _is_among(route.name, key.tenant_models) and _is_among(route.name, key.models):
                yield route

    def aliases(self) -> Iterable[Route]:
        """The routes that operators have named."""
        return self._aliases.values()

    def listed(self) -> Iterator[Route]:
        """Every route that may be listed, whoever asks and whether it is enabled or not."""
        yield from self._aliases.values()
        if not self._settings.direct_models:
            return
        for provider in sorted(self._providers):
            named = self._providers[provider].models
            if named is not None:
                names = [f"{provider}/{model}" for model in named]
            elif self._is_sandbox(provider):
                names = [f"{provider}/{model}" for model in SANDBOX_MODELS]
            else:
                names = [offer.id for offer, model in self._catalog.sold_by(provider) if model.mode in _MODES] if self._catalog else []
            for name in names:
                if name not in self._aliases and (route := self._find_direct(name)) is not None:
                    yield route

    def _serves(self, provider: str, model: str) -> bool:
        """Whether callers may ask it for a model without an alias."""
        named = self._providers[provider].models
        return (named is None or model in named) and (model in SANDBOX_MODELS or not self._is_sandbox(provider))

    def sold_as(self, provider: str, model: str) -> str | None:
        """What to ask a provider for by a model's name: an alias or a name of its own list as it is, a name of the catalog by the
        provider's offer of it. None where the catalog knows the model, and others sell it; what nobody knows, the provider may."""
        direct = f"{provider}/{model}"
        settings = self._providers.get(provider)
        if (
            direct in self._aliases
            or self._catalog is None
            or settings is None
            or settings.models is not None
            or self._is_sandbox(provider)
        ):
            return direct
        offers = self._catalog.offers_named(model)
        if not offers:
            return direct
        return next((f"{seller}/{upstream}" for seller, upstream in offers if seller == provider), None)

    def _is_sandbox(self, provider: str) -> bool:
        """Its models are known to the last one; what others serve only they know."""
        return self._providers[provider].protocol == SANDBOX

    # Candidates --------------------------------------------------------------------------------------------------------------------

    def order(self, route: Route) -> tuple[Candidate, ...]:
        """The route's candidates in the order in which this call tries them."""
        candidates = route.candidates
        return candidates if len(candidates) == 1 else self._strategies.order(route.strategy, candidates)

    def choose(self, route: Route, key: Permitted, task: str | None) -> Choice:
        """Whom the route's rules name for a call, else all of its candidates.

        Raises:
            NoAvailableProvider: a rule rejects the call at this load. ModelNotAllowed: a rule rejects it at any.
        """
        named: dict[int, tuple[Candidate, ...]] = {}

        def available(rule: Rule) -> tuple[Candidate, ...]:
            # Once: under `fastest` each look at an alias uses up a try of who was never measured.
            found = named.get(id(rule))
            if found is None:
                found = named[id(rule)] = self._named(rule.use, key)
            return found

        rule = chosen_rule(
            route,
            task=task,
            tier=key.tier,
            load=self._load,
            is_open=lambda candidate: self._is_open(candidate, route),
            available=available,
        )
        if rule is None:
            return Choice(self.order(route), route.by_price)
        return Choice(available(rule), self._goes_by_price(rule.use))

    def smaller(self, route: Route, key: Permitted) -> Choice | None:
        """Who answers instead once a soft quota is used up; None: the route has nobody for it, or nobody whom this key may use."""
        if route.smaller is None:
            return None
        use = (route.smaller,)
        candidates = self._named(use, key)
        return Choice(candidates, self._goes_by_price(use)) if candidates else None

    def _goes_by_price(self, use: tuple[Candidate | str, ...]) -> bool:
        """An alias alone is asked by its own strategy."""
        alone = self._aliases.get(use[0]) if len(use) == 1 and isinstance(use[0], str) else None
        return alone is not None and alone.by_price

    def _named(self, use: tuple[Candidate | str, ...], key: Permitted) -> tuple[Candidate, ...]:
        """The candidates that are named, and those of aliases that are named, each once, as far as this key may use them now."""
        found: dict[str, Candidate] = {}
        for one in use:
            if isinstance(one, Candidate):
                found.setdefault(one.offer_id, one)
            else:
                route = self._aliases.get(one)
                if route is not None and route.enabled and _is_among(one, key.tenant_models) and _is_among(one, key.models):
                    for candidate in self.order(route):
                        found.setdefault(candidate.offer_id, candidate)
        return tuple(candidate for candidate in found.values() if candidate.provider in self._providers)

    def _is_open(self, candidate: Candidate, route: Route) -> bool:
        condition = self._conditions.of(candidate)
        return condition is not None and condition.is_open(route.breaker)


def _is_among(name: str, allowed: frozenset[str] | None) -> bool:
    return allowed is None or name in allowed


def _is_control(name: str) -> bool:
    return any(character < " " or character == "\x7f" for character in name)


def _not_found(name: str) -> ModelNotFound:
    return ModelNotFound(f"The model {_quoted(name)} does not exist or you have no access to it.", param="model")


def _not_allowed(name: str) -> ModelNotAllowed:
    return ModelNotAllowed(f"This key may not use the model {_quoted(name)}.", param="model")


def _quoted(name: str) -> str:
    """A name from outside, safe to show: printable, at most 100 characters."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:100])
    return f"'{shown}{'…' if len(name) > 100 else ''}'"
