"""Which providers there are, and whether each can be asked: what operators look at when calls fail."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from backend.identity.principal import Principal, require_super_admin
from backend.kernel.errors import NotFound
from backend.providers.registry import configured, needs_key, obstacle
from backend.settings import ProviderSettings, Settings


class Sold(Protocol):
    @property
    def id(self) -> str: ...


class Store(Protocol):
    """The catalog as far as providers look at it."""

    def sold_by(self, provider_id: str) -> Iterable[tuple[Sold, object]]:
        """Every offer of a provider with its model."""
        ...


class Key(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str | None:
        """None where it cannot be had."""
        ...

    @property
    def why(self) -> str:
        """And then a sentence about it."""
        ...


class Keys(Protocol):
    """What is known of keys, as far as providers look at it."""

    @property
    def shared(self) -> Mapping[str, Sequence[Key]]:
        """Everybody's, by provider."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderView:
    """`key` is present, missing or none (none is configured, and none needed); `why` is a sentence when it cannot be asked, else empty."""

    name: str
    protocol: str
    base_url: str | None
    key: str
    why: str
    offers: tuple[str, ...]
    """What the catalog says it sells; other models of it can be asked for by `provider/model` too, at the operator's own price."""

    @property
    def usable(self) -> bool:
        return not self.why


class ProviderService:
    def __init__(self, settings: Settings, store: Store, keys: Keys) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys

    def all(self, principal: Principal) -> list[ProviderView]:
        """Every configured provider by name, and the sandbox in development.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        return [self._view(name, provider) for name, provider in sorted(configured(self._settings).items())]

    def get(self, principal: Principal, name: str) -> ProviderView:
        """One provider; raises as `all`, and NotFound."""
        found = next((view for view in self.all(principal) if view.name == name), None)
        if found is None:
            raise NotFound("There is no such provider in the configuration.")
        return found

    def why_unusable(self, name: str) -> str:
        """A sentence why a provider cannot be asked; empty if it can."""
        provider = configured(self._settings).get(name)
        return self._state(name, provider)[1] if provider is not None else f"The provider {name!r} is not configured."

    def _view(self, name: str, provider: ProviderSettings) -> ProviderView:
        key, why = self._state(name, provider)
        offers = tuple(sorted(offer.id for offer, _ in self._store.sold_by(name)))
        return ProviderView(name, provider.protocol, provider.base_url, key, why, offers)

    def _state(self, name: str, provider: ProviderSettings) -> tuple[str, str]:
        """The key's state, and why the provider cannot be asked."""
        key, why = "none", ""
        found = self._keys.shared.get(name, ())
        if any(one.value is not None for one in found):
            key = "present"
        elif found:
            reasons = " ".join(f"{one.name}: {one.why}" if len(found) > 1 else one.why for one in found)
            key, why = "missing", f"The key of {name!r} is missing: {reasons}"
        elif needs_key(provider):
            key, why = "missing", f"{name!r} has no key: `python -m backend provider add-key {name}` stores one."
        if find_spec(f"backend.providers.{provider.protocol}") is None:
            why = f"The protocol {provider.protocol!r} is not supported yet."
        else:
            why = why or obstacle(provider)
        return key, why
