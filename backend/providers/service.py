"""Which providers there are, and whether each can be asked: what operators look at when calls fail."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from backend.identity.principal import Principal, require_super_admin
from backend.kernel.errors import NotFound
from backend.kernel.secrets import SecretUnavailable
from backend.providers.registry import SANDBOX
from backend.settings import ProviderSettings, Settings


class Sold(Protocol):
    @property
    def id(self) -> str: ...


class Store(Protocol):
    """The catalog as far as providers look at it."""

    def sold_by(self, provider_id: str) -> Iterable[tuple[Sold, object]]:
        """Every offer of a provider with its model."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderView:
    """`key` is present, missing or none (none is configured); `why` is a sentence when it cannot be asked, else empty."""

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
    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def all(self, principal: Principal) -> list[ProviderView]:
        """Every configured provider by name, and the sandbox in development.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        return [self._view(name, provider) for name, provider in sorted(self._configured().items())]

    def get(self, principal: Principal, name: str) -> ProviderView:
        """One provider; raises as `all`, and NotFound."""
        found = next((view for view in self.all(principal) if view.name == name), None)
        if found is None:
            raise NotFound("There is no such provider in the configuration.")
        return found

    def why_unusable(self, name: str) -> str:
        """A sentence why a provider cannot be asked; empty if it can."""
        provider = self._configured().get(name)
        return self._state(name, provider)[1] if provider is not None else f"The provider {name!r} is not configured."

    def _configured(self) -> dict[str, ProviderSettings]:
        configured = dict(self._settings.providers)
        if not self._settings.is_production:
            configured.setdefault(SANDBOX, ProviderSettings(protocol=SANDBOX))
        return configured

    def _view(self, name: str, provider: ProviderSettings) -> ProviderView:
        key, why = self._state(name, provider)
        offers = tuple(sorted(offer.id for offer, _ in self._store.sold_by(name)))
        return ProviderView(name, provider.protocol, provider.base_url, key, why, offers)

    def _state(self, name: str, provider: ProviderSettings) -> tuple[str, str]:
        """The key's state, and why the provider cannot be asked."""
        key, why = "none", ""
        if provider.api_key is not None:
            try:
                provider.api_key.resolve()
                key = "present"
            except SecretUnavailable as error:
                key, why = "missing", f"The key of {name!r} is missing: {error}."
        if find_spec(f"backend.providers.{provider.protocol}") is None:
            why = f"The protocol {provider.protocol!r} is not supported yet."
        return key, why
