"""Every provider as it can be asked just now: an adapter for each key that there is, for everybody and for tenants with keys of their own.

What changes is changed in place and for new attempts; calls under way end with the provider and key that they began with. A provider
that did not change keeps its adapters and its connections, and so what was learnt of its keys.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import structlog

from backend.credentials.book import Found, FoundKey, KeyBook
from backend.credentials.events import KeyAccepted, KeyRefused
from backend.credentials.secrets_file import AWS_METADATA
from backend.kernel.events import EventBus
from backend.kernel.secrets import SecretRef
from backend.kernel.tasks import end_tasks
from backend.providers.book import ProviderBook
from backend.providers.http import UpstreamHttp
from backend.providers.keyed import HeldKey, KeyedProvider, Told
from backend.providers.metadata import AWS_ACCOUNT
from backend.providers.posting import json_or_none
from backend.providers.provider import Provider
from backend.providers.registry import built, needs_key, obstacle
from backend.settings import ProviderSettings, Settings

log = structlog.get_logger(__name__)


FILES_SECONDS = 10.0
_NOT_THE_ADAPTERS = ("enabled", "models", "max_parallel", "max_queue", "allow_fields", "default_model")
"""Settings of a provider that its adapter does not look at: with others it is the same one."""


class Connections:
    """Of one process. `start` makes what the configuration alone says, `load` everything; subscribe that to the change feed.

    Args:
        providers: None = those of the configuration.
    """

    def __init__(self, settings: Settings, book: KeyBook, events: EventBus, providers: ProviderBook | None = None) -> None:
        self.book = book
        self._providers = providers or ProviderBook(settings)
        self._events = events
        self._http: UpstreamHttp | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._asked_as: dict[str, ProviderSettings] = {}
        """What adapters are made from, by provider."""
        self._made: dict[str, Found] = {}
        self._made_own: dict[tuple[str, str], tuple[ProviderSettings, Found]] = {}
        self.shared: dict[str, Provider] = {}
        """By name; only those that can be asked."""
        self.missing: dict[str, str] = {}
        """Why others cannot, as a sentence for callers."""
        self.own: dict[str, dict[str, Provider | None]] = {}
        """By tenant: those that it has stored keys of its own for; None where none of them can be used."""
        self.exchanged: Callable[[str], None] = lambda _: None
        """Called with the name of a provider whose keys are others than before."""
        self.moved: Callable[[str], None] = lambda _: None
        """Called with the name of one that is asked elsewhere or otherwise than before, or no more."""
        self.changed: Callable[[], None] = lambda: None
        """Called after anything of this has changed."""

    def start(self, http: UpstreamHttp) -> None:
        self._http = http
        self.book.read()
        self._take()

    async def load(self) -> None:
        """Read the keys anew; raises what the database does."""
        await self.book.load()
        if self._http is not None:
            self._take()

    def refresh(self) -> None:
        """As `load`, where only the vault or a file says something new."""
        self.book.read()
        if self._http is not None:
            self._take()

    def watch_files(self, seconds: float = FILES_SECONDS) -> None:
        """Look now and then whether a file that keys are read from is another than before: mounted secrets are exchanged so."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch(_seen(self.book.files()), seconds), name="files of keys")

    async def stop(self) -> None:
        await end_tasks(self._watcher)
        self._watcher = None

    async def _watch(self, before: list[tuple[int, int] | None], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            # In a thread: a file on a server that is away may take its time.
            now = await asyncio.to_thread(_seen, self.book.files())
            if now != before:
                before = now
                try:
                    self.refresh()
                except Exception:
                    log.exception("provider.keys_not_taken_up")

    def standing(self, tenant_id: str | None, provider: str, name: str) -> str:
        """How a key does: ready, limited or refused. What the only key of a provider meets, the provider's health says."""
        found = self.shared.get(provider) if tenant_id is None else self.own.get(tenant_id, {}).get(provider)
        held = next((key for key in found.keys if key.name == name), None) if isinstance(found, KeyedProvider) else None
        return found.state_of(held) if isinstance(found, KeyedProvider) and held is not None else "ready"

    def _take(self) -> None:
        providers, closed = self._providers.open, self._providers.closed
        asked_as = {name: _asked_as(settings) for name, settings in providers.items()}
        for name, before in self._asked_as.items():
            if asked_as.get(name) != before:
                # Nothing that was made or learnt is true of it any more.
                self.shared.pop(name, None)
                self._made.pop(name, None)
                self.moved(name)
        for name in self.missing.keys() - providers.keys():
            del self.missing[name]
        for name, why in closed.items():
            if self.missing.get(name) != why:
                log.warning("provider.not_asked", provider=name, reason=why)
            self.missing[name] = why
        self._asked_as = asked_as
        for name, settings in asked_as.items():
            found, known = self.book.shared.get(name, ()), self._made.get(name)
            if known != found:
                self._make_shared(name, settings, found)
                self._made[name] = found
                if known is not None:
                    self.exchanged(name)
        self._take_own(asked_as)
        self.changed()

    def _make_shared(self, name: str, settings: ProviderSettings, found: Found) -> None:
        usable = [key for key in found if key.value is not None]
        for key in found:
            if key.value is None:
                log.warning("provider.credentials_missing", provider=name, key=key.name, reason=key.why)
        provider: Provider | None = None
        why = f"The provider {name} cannot be asked: its configuration is wrong. The operator's log says more."
        if usable:
            held = _held(self.shared.get(name), self._made.get(name, ()))
            provider = self._provider(name, settings, found, held, only_one_is_plain=True)
        elif found or needs_key(settings):
            why = f"The provider {name} has no key: the operator has to give it one."
        else:
            provider = built(name, settings, self.upstream_http())
        if provider is None and (reason := obstacle(settings)):
            why = f"The provider {name} cannot be asked: {reason}"
        if provider is not None:
            self.shared[name] = provider
            self.missing.pop(name, None)
        else:
            self.shared.pop(name, None)
            self.missing[name] = why

    def _take_own(self, providers: Mapping[str, ProviderSettings]) -> None:
        wanted = {
            (tenant, name): (providers[name], found)
            for tenant, of in self.book.own.items()
            for name, found in of.items()
            if name in providers
        }
        if wanted == self._made_own:
            return
        own: dict[str, dict[str, Provider | None]] = {}
        for (tenant, name), made in wanted.items():
            settings, found = made
            before = self._made_own.get((tenant, name))
            provider = self.own[tenant][name] if before is not None else None
            if before != made:
                held = _held(provider, before[1]) if before is not None and before[0] == settings else {}
                provider = self._provider(name, settings, found, held, tenant=tenant)
            own.setdefault(tenant, {})[name] = provider
        self._made_own, self.own = wanted, own

    def _provider(
        self,
        name: str,
        settings: ProviderSettings,
        found: Found,
        held: Mapping[FoundKey, HeldKey],
        *,
        tenant: str | None = None,
        only_one_is_plain: bool = False,
    ) -> Provider | None:
        """Keys that are among others before, too, keep what is known of them."""
        keys = []
        for key in found:
            known = held.get(key)
            adapter = None if known is not None else self._adapter(name, settings, key)
            if known is not None:
                keys.append(known)
            elif adapter is not None:
                keys.append(HeldKey(key.name, adapter))
        if only_one_is_plain and len(keys) == 1:
            return keys[0].provider
        return KeyedProvider(keys, self._told(name, tenant), own=tenant is not None) if keys else None

    def _adapter(self, name: str, settings: ProviderSettings, key: FoundKey) -> Provider | None:
        if key.value is None:
            return None
        try:
            return built(name, with_key(settings, key.value), self.upstream_http())
        except ValueError as error:
            log.error("provider_key.cannot_be_used", provider=name, key=key.name, reason=str(error))
            return None

    def _told(self, provider: str, tenant: str | None) -> Told:
        def told(key: str, status: int | None) -> None:
            self._events.publish(KeyRefused(provider, key, status, tenant) if status is not None else KeyAccepted(provider, key, tenant))

        return told

    def upstream_http(self) -> UpstreamHttp:
        """What providers are asked over, from `start` on."""
        assert self._http is not None
        return self._http


def _asked_as(settings: ProviderSettings) -> ProviderSettings:
    """The same as far as its adapter looks at it."""
    fields = type(settings).model_fields
    return settings.model_copy(update={field: fields[field].get_default(call_default_factory=True) for field in _NOT_THE_ADAPTERS})


def _seen(files: Iterable[Path]) -> list[tuple[int, int] | None]:
    """What tells one state of files from another; None for one that is not there."""
    seen: list[tuple[int, int] | None] = []
    for file in files:
        try:
            found = file.stat()
        except OSError:
            seen.append(None)
        else:
            seen.append((found.st_mtime_ns, found.st_size))
    return seen


def _held(provider: Provider | None, found: Found) -> dict[FoundKey, HeldKey]:
    """The keys that a provider was made of."""
    if not isinstance(provider, KeyedProvider):
        return {}
    by_name = {held.name: held for held in provider.keys}
    return {key: by_name[key.name] for key in found if key.name in by_name}


def with_key(settings: ProviderSettings, value: str) -> ProviderSettings:
    """The provider's settings with this key in the place where its adapter looks for it, and no other key.

    Raises:
        ValueError: it is JSON, and not that of an AWS key.
    """
    if settings.protocol == "bedrock" and value.lstrip().startswith("{"):
        given = json_or_none(value.encode())
        # Values and never references: whoever stores a key must not name a variable or a file of the operator's.
        parts = {
            AWS_METADATA[part]: SecretRef.of_value(text)
            for part, text in (given or {}).items()
            if part in AWS_METADATA and isinstance(text, str) and text
        }
        if not {"aws_access_key_id", "aws_secret_access_key"} <= parts.keys():
            # Without them the adapter would go on to look in the environment, which is the operator's.
            raise ValueError("an AWS key is JSON with access_key_id and secret_access_key, and session_token where it has one")
        others = {field: known for field, known in settings.metadata.items() if field not in AWS_ACCOUNT}
        return settings.model_copy(update={"metadata": others | parts, "api_key": None, "api_keys": {}})
    return settings.model_copy(update={"api_key": SecretRef.of_value(value), "api_keys": {}})
