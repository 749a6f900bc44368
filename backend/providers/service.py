"""Which providers there are, and whether each can be asked: what operators look at when calls fail."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.identity.principal import Principal, require_super_admin
from backend.kernel.edits import field_names
from backend.kernel.errors import NotFound
from backend.providers.book import ProviderBook
from backend.providers.merge import shown, told
from backend.providers.registry import needs_key, obstacle
from backend.settings import ProviderSettings


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
    """`key` is present, missing or none (there is none, and none is needed); `why` is a sentence when it cannot be asked, else empty.

    `origin` is configuration, database or both, and empty for the sandbox that nobody has written down. `edited` are the fields that the
    database decides, in dots.
    """

    name: str
    origin: str
    edited: tuple[str, ...]
    protocol: str
    base_url: str | None
    key: str
    why: str
    settings: Mapping[str, Any]
    """As they would stand in the file, without what is for nobody to see; empty where they cannot be used."""
    offers: tuple[str, ...]
    """What callers may ask of it: the `models` that are named, else what the catalog says it sells; others can be asked for by
    `provider/model` then, too, at the operator's own price."""

    @property
    def usable(self) -> bool:
        return not self.why


class ProviderService:
    def __init__(self, book: ProviderBook, store: Store, keys: Keys) -> None:
        self._book = book
        self._store = store
        self._keys = keys

    def all(self, principal: Principal) -> list[ProviderView]:
        """Every provider by name, and the sandbox in development.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        book = self._book
        unusable = {name: None for name in book.troubles if name not in book.all}
        return [self._view(name, provider) for name, provider in sorted({**unusable, **book.all}.items())]

    def get(self, principal: Principal, name: str) -> ProviderView:
        """One provider; raises as `all`, and NotFound."""
        found = next((view for view in self.all(principal) if view.name == name), None)
        if found is None:
            raise NotFound(f"There is no such provider: {name!r}.")
        return found

    def usable(self) -> set[str]:
        """The names of those that calls can be sent to now."""
        return {name for name in self._book.open if not self.why_unusable(name)}

    def why_unusable(self, name: str) -> str:
        """A sentence why a provider cannot be asked; empty if it can."""
        provider = self._book.all.get(name)
        return self._state(name, provider)[1] if provider is not None else f"There is no provider {name!r}."

    def _view(self, name: str, provider: ProviderSettings | None) -> ProviderView:
        edits = self._book.edits.get(name, {})
        origin = ("both" if edits else "configuration") if name in self._book.in_file else "database" if edits else ""
        edited = tuple(field_names(shown(edits)))
        if provider is None:
            return ProviderView(name, origin, edited, str(edits.get("protocol")), None, "missing", self._why_closed(name), {}, ())
        key, why = self._state(name, provider)
        offers = tuple(sorted(offer.id for offer, _ in self._store.sold_by(name)))
        if provider.models is not None:
            offers = tuple(f"{name}/{model}" for model in provider.models)
        return ProviderView(name, origin, edited, provider.protocol, provider.base_url, key, why, told(provider, edits), offers)

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
        return key, self._why_closed(name) or why or obstacle(provider)

    def _why_closed(self, name: str) -> str:
        trouble = self._book.troubles.get(name)
        if trouble is not None:
            return f"What was edited and what the configuration says do not fit together any more: {trouble}"
        return self._book.closed.get(name, "")
