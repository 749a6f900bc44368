"""Which keys there are for each provider, and where each comes from: the one order of sources.

1. stored in the database (command line, console), if it was stored for where the provider is now
2. the configuration: `api_key` and `api_keys`, as `env:`, `file:` or `vault:` references
3. `secrets.yaml`, for a provider that the configuration names no key of

Keys of all sources serve together, by their names; of two with one name the first in this order counts. A tenant's own stored keys
serve that tenant's calls alone, and then nobody else's key does.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from backend.credentials import repository
from backend.credentials.master import MasterKeys, MasterKeyWrong, Row
from backend.credentials.repository import SealedKey
from backend.credentials.secrets_file import SecretsFileWrong, Section, read_secrets, section_for
from backend.credentials.tables import ProviderKey
from backend.credentials.vault import Vault
from backend.kernel.db import Database
from backend.kernel.secrets import SecretRef, SecretUnavailable
from backend.providers.book import ProviderBook
from backend.providers.destination import destination, vendors_own
from backend.settings import ProviderSettings, Settings

log = structlog.get_logger(__name__)

STORED, CONFIGURATION, SECRETS_FILE = "stored", "configuration", "secrets file"


@dataclass(frozen=True, slots=True)
class FoundKey:
    """`value` is None where the key cannot be had, and `why` then a sentence for operators; `place` says where it is, never what."""

    name: str
    source: str
    place: str
    value: str | None = field(default=None, repr=False)
    why: str = ""

    @property
    def hint(self) -> str:
        """The last four signs of a key that is long enough to keep the rest to itself."""
        return hint_of(self.value) if self.value is not None else ""


Found = tuple[FoundKey, ...]


class KeyBook:
    """`read` and `load` fill it; neither raises for what one key lacks.

    Args:
        db: where keys are stored; None = nowhere.
        vault: where `vault:` references lead; None = nowhere.
        providers: None = those of the configuration.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database | None = None,
        masters: MasterKeys | None = None,
        vault: Vault | None = None,
        providers: ProviderBook | None = None,
    ) -> None:
        self._settings = settings
        self.providers = providers or ProviderBook(settings)
        self._db = db
        self._masters = masters
        self._vault = vault
        self._rows: list[SealedKey] = []
        self._opened: dict[SealedKey, str | None] = {}
        """Values of stored keys by all that they are bound to, so that none opens once more in another place; None where one does not."""
        self.shared: Mapping[str, Found] = {}
        """By provider; every one is there."""
        self.own: Mapping[str, Mapping[str, Found]] = {}
        """By tenant and provider; only where a tenant has any."""
        self.looked_up_for: Mapping[str, ProviderSettings] = {}
        """The providers that keys were looked up for: their values go with these settings, which `providers` may be ahead of."""
        self.trouble = ""
        """What is wrong with the secrets file, as a sentence for operators."""

    def read(self) -> None:
        """Look at configuration, environment, files and what the vault said last; stored keys stay as they were loaded."""
        sections = self._sections()
        providers = self.providers.all
        stored: dict[str | None, dict[str, list[FoundKey]]] = defaultdict(lambda: defaultdict(list))
        places = {name: destination(provider) for name, provider in providers.items()}
        self._opened = {row: self._opened[row] for row in self._rows if row in self._opened}
        for row in self._rows:
            if row.provider in places:
                stored[row.tenant_id][row.provider].append(self._stored(row, places[row.provider]))
        everybodys = stored.pop(None, {})
        shared: dict[str, Found] = {}
        for name, provider in providers.items():
            first = everybodys.get(name, [])
            taken = {key.name for key in first}
            shared[name] = (*first, *(key for key in self._written(name, provider, sections) if key.name not in taken))
        self.shared, self.looked_up_for = shared, providers
        self.own = {tenant: {name: tuple(keys) for name, keys in of.items()} for tenant, of in stored.items() if tenant is not None}

    async def load(self) -> None:
        """Read everything anew, the database first; raises what the database does."""
        if self._db is not None:
            async with self._db.read() as session:
                self._rows = await repository.sealed_keys(session)
        if self._vault is not None:
            await self._vault.fetch(self.vault_places())
        self.read()

    def check_master(self) -> None:
        """Raises MasterKeyWrong: keys were stored under a master key that is not here."""
        unknown = {row.master for row in self._rows if self._masters is None or self._masters.known(row.master) is None}
        if unknown:
            raise MasterKeyWrong(
                f"keys of providers are stored under the master key {min(unknown)}, which is not configured: set BOURSE_SECRET_KEY (or "
                "BOURSE_SECRET_KEY_PREVIOUS) to it, or remove them (`python -m backend provider remove-key`)"
            )

    def files(self) -> list[Path]:
        """Those that keys are read from."""
        references = (key.file for provider in self._settings.providers.values() for key in provider.keys.values())
        return [self._settings.secrets_file, *(file for file in references if file is not None)]

    def vault_places(self) -> frozenset[str]:
        """The paths that the configuration refers to."""
        references = (key for provider in self._settings.providers.values() for key in provider.keys.values())
        return frozenset(place[0] for place in (reference.vault_place for reference in references) if place is not None)

    def _sections(self) -> Mapping[str, Section]:
        try:
            sections = read_secrets(self._settings.secrets_file)
        except SecretsFileWrong as error:
            if str(error) != self.trouble:
                log.error("secrets_file.cannot_be_used", reason=str(error))
            self.trouble = str(error)
            return {}
        self.trouble = ""
        return sections

    def _written(self, name: str, provider: ProviderSettings, sections: Mapping[str, Section]) -> Iterable[FoundKey]:
        if provider.keys:
            for key, reference in provider.keys.items():
                yield self._resolved(key, reference)
            return
        if name not in self.providers.in_file and destination(provider) != vendors_own(provider):
            # The file's sections are for addresses that the configuration names, or the vendor's: not for what the database says.
            return
        section = section_for(sections, name, provider.protocol, own_servers=provider.base_url is None)
        if section is not None:
            for key, value in section.keys.items():
                yield FoundKey(key, SECRETS_FILE, f"{self._settings.secrets_file}, section {section.name}", value)

    def _resolved(self, name: str, reference: SecretRef) -> FoundKey:
        try:
            place = reference.vault_place
            if place is None:
                value = reference.resolve()
            elif self._vault is None:
                raise SecretUnavailable(f"{reference.place}: no vault is configured (vault.address)")
            else:
                value = self._vault.value(*place)
        except SecretUnavailable as error:
            return FoundKey(name, CONFIGURATION, reference.place, None, f"{error}.")
        return FoundKey(name, CONFIGURATION, reference.place, value)

    def _stored(self, row: SealedKey, now: str) -> FoundKey:
        """Args:
        now: where its provider is.
        """
        if row.origin != now:
            why = f"It was stored for {row.origin}, and the provider is at {now} now: add it anew."
            return FoundKey(row.name, STORED, "database", None, why)
        if row not in self._opened:
            master = self._masters.known(row.master) if self._masters is not None else None
            if master is None:
                return FoundKey(row.name, STORED, "database", None, f"It was sealed under the master key {row.master}, which is not here.")
            self._opened[row] = master.unsealed(row.sealed, row_of(row))
            if self._opened[row] is None:
                log.error("provider_key.does_not_open", provider=row.provider, key=row.name, row=row.id)
        value = self._opened[row]
        why = "" if value is not None else "It does not open: somebody has changed its row. Add it anew."
        return FoundKey(row.name, STORED, "database", value, why)


def row_of(row: ProviderKey | SealedKey) -> Row:
    """What its secret is bound to."""
    return Row(row.id, row.tenant_id, row.provider, row.origin)


def hint_of(value: str) -> str:
    """The last four signs, of a secret of which they give nothing away."""
    return value[-4:] if len(value) >= 16 else ""
