"""From the name that a caller asks for to the candidates that may answer, in the order in which they are tried."""

import random
from collections.abc import Iterable, Iterator
from typing import Protocol

import structlog

from backend.kernel.errors import ModelNotAllowed, ModelNotFound
from backend.providers.registry import SANDBOX, supported
from backend.providers.sandbox import MODELS as SANDBOX_MODELS
from backend.routing.route import Candidate, Route, route_from_settings
from backend.settings import Settings

log = structlog.get_logger(__name__)

_WORKING_STRATEGIES = ("weighted", "ordered")
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


class RouteTable:
    """Aliases from the settings, then `provider/model` of configured providers, then names that the catalog knows.

    A strategy that is not alive yet behaves as `ordered`; the table says so once at start.
    """

    def __init__(self, settings: Settings, catalog: Names | None, *, rng: random.Random | None = None) -> None:
        self._settings = settings
        self._catalog = catalog
        self._random = rng or random.Random()
        self._providers: frozenset[str] = frozenset()
        self._aliases: dict[str, Route] = {}
        self._direct: dict[str, Route | None] = {}

    async def load(self) -> None:
        """Read routes anew; subscribe this to the change feed."""
        self._providers = frozenset(supported(self._settings))
        if not self._aliases:
            for route in self._settings.models:
                if route.strategy not in _WORKING_STRATEGIES:
                    log.warning("route.strategy_not_alive_yet", alias=route.alias, strategy=route.strategy, used="ordered")
        self._aliases = {route.alias: route_from_settings(route) for route in self._settings.models}
        self._direct = {}

    def resolve(self, name: str, key: Permitted) -> Route:
        """The route of a name, if this key may use it.

        Raises:
            ModelNotFound: unknown, disabled, or not among the tenant's models: indistinguishable.
            ModelNotAllowed: the tenant may use it, this key may not.
        """
        route = self.find(name)
        if route is None or not route.enabled or not _is_among(route, name, key.tenant_models):
            raise ModelNotFound(f"The model {_quoted(name)} does not exist or you have no access to it.", param="model")
        if not _is_among(route, name, key.models):
            raise ModelNotAllowed(f"This key may not use the model {_quoted(name)}.", param="model")
        return route

    def order(self, route: Route) -> tuple[Candidate, ...]:
        """The route's candidates in the order in which this call tries them."""
        candidates = route.candidates
        if len(candidates) == 1 or route.strategy != "weighted":
            return candidates
        return self._weighted(candidates)

    def usable(self, key: Permitted) -> Iterator[Route]:
        """Every route that is listed for this key: aliases that somebody can answer for, the sandbox's models, and what the catalog says
        configured providers sell.
        """
        for route in self.listed():
            answerable = any(candidate.provider in self._providers for candidate in route.candidates)
            if (
                answerable
                and route.enabled
                and _is_among(route, route.name, key.tenant_models)
                and _is_among(route, route.name, key.models)
            ):
                yield route

    def listed(self) -> Iterator[Route]:
        """Every route that may be listed, whoever asks and whether it is enabled or not."""
        yield from self._aliases.values()
        for provider in sorted(self._providers):
            if self._is_sandbox(provider):
                names = [f"{provider}/{model}" for model in SANDBOX_MODELS]
            else:
                names = [offer.id for offer, model in self._catalog.sold_by(provider) if model.mode == "chat"] if self._catalog else []
            for name in names:
                if name not in self._aliases and (route := self._find_direct(name)) is not None:
                    yield route

    def _is_sandbox(self, provider: str) -> bool:
        """Its models are known to the last one; what others serve only they know."""
        settings = self._settings.providers.get(provider)
        return settings.protocol == SANDBOX if settings is not None else provider == SANDBOX

    def find(self, name: str) -> Route | None:
        """The route of a name, whoever asks and whether it is enabled or not; None when no candidate would be found."""
        route = self._aliases.get(name)
        if route is not None:
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
            if self._is_sandbox(provider) and model not in SANDBOX_MODELS:
                return None
            return Route(name=name, candidates=(Candidate(provider, model, offer_id=name),))
        if self._catalog is None:
            return None
        candidates = tuple(
            Candidate(provider, model, offer_id=f"{provider}/{model}")
            for provider, model in self._catalog.offers_named(name)
            if provider in self._providers
        )
        return Route(name=name, candidates=candidates) if candidates else None

    def _weighted(self, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """A random order in which each next one is drawn by weight (Efraimidis and Spirakis 2006); weight 0 comes last, in file order."""
        drawn = sorted((c for c in candidates if c.weight), key=lambda c: self._random.random() ** (1 / c.weight), reverse=True)
        return (*drawn, *(c for c in candidates if not c.weight))


def _is_among(route: Route, name: str, allowed: frozenset[str] | None) -> bool:
    return allowed is None or name in allowed or route.name in allowed


def _is_control(name: str) -> bool:
    return any(character < " " or character == "\x7f" for character in name)


def _quoted(name: str) -> str:
    """A name from outside, safe to show: printable, at most 100 characters."""
    shown = "".join(character if character.isprintable() else "?" for character in name[:100])
    return f"'{shown}{'…' if len(name) > 100 else ''}'"
