"""Which providers there are just now: those of the configuration with what operators edited in the database over them."""

from collections.abc import Mapping

import structlog

from backend.kernel.db import Database
from backend.kernel.edits import Edits
from backend.providers import repository
from backend.providers.merge import merged
from backend.providers.registry import configured, has_adapter
from backend.settings import ProviderSettings, Settings

log = structlog.get_logger(__name__)


class ProviderBook:
    """Those of the configuration from the first moment on, those of the database from the first `load`.

    `allowed` and `servers` stay the same objects, for who looks at them with every call.

    Args:
        db: where operators edit providers; None = the configuration alone.
    """

    def __init__(self, settings: Settings, db: Database | None = None) -> None:
        self._settings = settings
        self._db = db
        self.in_file = frozenset(settings.providers)
        self.edits: Mapping[str, Edits] = {}
        """What operators edited, by name."""
        self.all: Mapping[str, ProviderSettings] = {}
        """By name, with the metadata of their protocols; in development the sandbox, too."""
        self.open: Mapping[str, ProviderSettings] = {}
        """Of these, those that are switched on and whose protocol has an adapter."""
        self.closed: Mapping[str, str] = {}
        """Why others are not, as a sentence for operators and callers."""
        self.troubles: Mapping[str, str] = {}
        """What is wrong with edits that cannot be used; such a provider is closed, and not in `all` where the file has none of it."""
        self.allowed: dict[str, frozenset[str]] = {}
        """`allow_fields` of each."""
        self.servers: dict[str, str] = {}
        """What the name of each stands for: its protocol and address."""
        self._take({})

    async def load(self) -> None:
        """Read providers anew; subscribe this to the change feed, before all that asks it. One that did not change is the same object."""
        if self._db is None:
            return
        async with self._db.read() as session:
            edits = await repository.edits(session)
        if edits != self.edits:
            self._take(edits)

    def _take(self, edits: Mapping[str, Edits]) -> None:
        wanted, troubles = merged(self._settings, edits)
        known, self.all, self.open, self.closed = self.all, {}, {}, {}
        for name, provider in configured(self._settings, wanted).items():
            before = known.get(name)
            kept = before if before == provider else provider
            self.all[name] = kept
            if name in troubles:
                continue
            if not kept.enabled:
                self.closed[name] = f"The provider {name} is switched off."
            elif has_adapter(kept):
                self.open[name] = kept
            else:
                self.closed[name] = f"The provider {name} cannot be asked: its protocol is not supported."
        for name, trouble in troubles.items():
            self.closed[name] = f"The provider {name} cannot be asked: its configuration is wrong. The operator's log says more."
            if troubles.get(name) != self.troubles.get(name):
                log.error("provider.cannot_be_used", provider=name, reason=trouble)
        self.edits, self.troubles = edits, troubles
        self.allowed.clear()
        self.allowed.update({name: frozenset(provider.allow_fields) for name, provider in self.all.items()})
        self.servers.clear()
        self.servers.update({name: f"{provider.protocol} {provider.base_url}" for name, provider in self.all.items()})


async def read_providers(settings: Settings, db: Database) -> ProviderBook:
    """The providers as this process sees them just now."""
    book = ProviderBook(settings, db)
    await book.load()
    return book
