"""Keys of providers as people deal with them: stored, listed, tried and taken away, never shown again.

Keys for everybody's calls are super admins' affair; those of a tenant alone also that of its admins.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy.exc import IntegrityError

from backend.audit.service import AuditService
from backend.credentials import repository
from backend.credentials.book import STORED, FoundKey, KeyBook, hint_of, row_of
from backend.credentials.connections import with_key
from backend.credentials.master import MasterKeys, Row
from backend.credentials.tables import ProviderKey
from backend.identity.principal import Principal, Role, require_role, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, Conflict, NotFound
from backend.kernel.ids import new_id
from backend.kernel.setting_types import is_slug
from backend.providers.book import ProviderBook
from backend.providers.destination import destination
from backend.providers.failures import UpstreamFailure
from backend.providers.http import UpstreamHttp
from backend.providers.posting import json_or_none
from backend.providers.registry import built, has_adapter, obstacle
from backend.settings import ProviderSettings

MOST_KEYS = 32
"""Of one provider and owner."""
MOST_SIGNS = 16 * 1024
LOOK_SECONDS = 10.0
BATCH = 200
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_GOOGLES = frozenset({"oauth2.googleapis.com", "www.googleapis.com", "accounts.google.com"})

Standing = Callable[[str | None, str, str], str]
"""How a key of a tenant (None: everybody's), provider and name does in this process: ready, limited or refused."""


@dataclass(frozen=True, slots=True)
class KeyView:
    """`source` is stored, configuration or secrets file, and `place` where exactly; `hint` its last four signs, empty of a short one.
    `state` is ready, limited, refused, or missing, and `why` then says more."""

    provider: str
    name: str
    tenant_id: str | None
    source: str
    place: str
    hint: str
    state: str
    why: str
    destination: str
    created_at: datetime | None
    created_by: str | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of asking a provider with a key for something that costs nothing. `accepted` is None where that cannot be told; `why` is a
    sentence where it is not True."""

    provider: str
    key: str | None
    destination: str
    reached: bool
    accepted: bool | None
    status: int | None
    error: str | None
    why: str
    milliseconds: float


class CredentialService:
    """Every method raises PermissionDenied (or NotFound, of another tenant) for who may not do it, and NotFound where a provider is not
    configured.

    Args:
        book: loaded.
        reload: takes up a change that was made here; None = the book is loaded again.
        standing: None where this process asks nobody.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        audit: AuditService,
        providers: ProviderBook,
        masters: MasterKeys,
        book: KeyBook,
        *,
        reload: Callable[[], Awaitable[None]] | None = None,
        standing: Standing | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._providers = providers
        self._masters = masters
        self._book = book
        self._reload = reload or book.load
        self._standing = standing

    async def keys(self, principal: Principal, *, provider: str | None = None, tenant_id: str | None = None) -> list[KeyView]:
        """Of everybody, or of one tenant; by provider, in the order in which they count."""
        _may(principal, tenant_id, "see keys of providers")
        if provider is not None:
            self._configured(provider)
        async with self._db.read() as session:
            rows = {(row.provider, row.name): row for row in await repository.keys_of(session, tenant_id)}
        found = self._book.shared if tenant_id is None else self._book.own.get(tenant_id, {})
        names = [provider] if provider is not None else sorted(found)
        return [self._view(name, key, tenant_id, rows) for name in names for key in found.get(name, ())]

    async def add(
        self, principal: Principal, provider: str, value: str, *, name: str = "default", tenant_id: str | None = None, replace: bool = False
    ) -> KeyView:
        """Store a key, for where the provider is now.

        Args:
            replace: put it in the place of the one that is stored under that name.

        Raises:
            BadRequest: it is none; or nothing can be stored, because there is no master key. Conflict: there is one of that name.
        """
        _may(principal, tenant_id, "change keys of providers")
        settings = self._configured(provider)
        async with self._db.write() as unit:
            # Moving the feed takes its row until the commit, so that no two add the same name.
            await unit.mark_changed()
            await self.put(unit, principal, provider, settings, value, name=name, tenant_id=tenant_id, replace=replace)
        await self._reload()
        found = [view for view in await self.keys(principal, provider=provider, tenant_id=tenant_id) if view.name == name]
        if not found:
            raise Conflict("Somebody has just taken this key away again.")
        return found[0]

    async def put(
        self,
        unit: UnitOfWork,
        principal: Principal,
        provider: str,
        settings: ProviderSettings,
        value: str,
        *,
        name: str = "default",
        tenant_id: str | None = None,
        replace: bool = False,
    ) -> None:
        """Store a key in a transaction that has moved the change feed, for where these settings say that its provider is; raises as
        `add`."""
        _may(principal, tenant_id, "change keys of providers")
        value = _checked(value, settings)
        if tenant_id is not None:
            if settings.protocol == "litellm":
                raise Conflict(
                    "litellm may take the operator's own key from the environment instead, so tenants have none of their own there."
                )
            _refuse_destination(value)
        if not is_slug(name):
            raise BadRequest("The name of a key has lower-case letters, digits, '-' and '_' alone.", param="name")
        master = self._masters.to_seal()
        before = await repository.find(unit.session, provider, name, tenant_id)
        if before is not None and not replace:
            raise Conflict(f"There is a key {name!r} of {provider} already: replace it, or give this one another name.", param="name")
        if before is not None:
            await repository.remove(unit.session, before.id)
        elif await repository.count_of(unit.session, provider, tenant_id) >= MOST_KEYS:
            raise Conflict(f"There are {MOST_KEYS} keys of {provider} already.")
        row = Row(new_id("provider_key"), tenant_id, provider, destination(settings))
        key = ProviderKey(
            id=row.id,
            tenant_id=tenant_id,
            provider=provider,
            name=name,
            origin=row.origin,
            sealed=master.seal(value, row),
            master=master.name,
            hint=hint_of(value),
            created_at=self._clock.now(),
            created_by=principal.id[:40],
        )
        try:
            await repository.add(unit.session, key)
        except IntegrityError:
            raise NotFound("There is no such tenant.") from None
        action = "provider_key.replace" if before is not None else "provider_key.add"
        await self._audit.record(unit, principal, action, f"{provider}/{name}", tenant_id=tenant_id, destination=row.origin)

    async def remove_all(self, unit: UnitOfWork, principal: Principal, provider: str) -> int:
        """Take away every stored key of a provider, tenants' own too, in a transaction that has moved the change feed; returns how many."""
        require_super_admin(principal, "change keys of providers")
        return await repository.remove_of(unit.session, provider)

    async def remove(self, principal: Principal, provider: str, name: str, *, tenant_id: str | None = None) -> None:
        """Take away a stored key; where the configuration has one of that name, it counts again.

        Raises:
            NotFound: none of that name is stored.
        """
        _may(principal, tenant_id, "change keys of providers")
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await repository.find(unit.session, provider, name, tenant_id)
            if key is None:
                raise NotFound(f"No key {name!r} of {provider} is stored. Keys of the configuration are changed there.")
            await repository.remove(unit.session, key.id)
            await self._audit.record(unit, principal, "provider_key.remove", f"{provider}/{name}", tenant_id=tenant_id)
        await self._reload()

    async def test(
        self, principal: Principal, http: UpstreamHttp, provider: str, *, name: str | None = None, tenant_id: str | None = None
    ) -> list[Trial]:
        """Ask the provider with each of its keys, or one of them, for something that costs nothing. A key is sent to where its provider
        is and nowhere else; a stored one only if it was stored for there.

        Raises:
            NotFound: there is no such key. Conflict: the provider cannot be asked at all.
        """
        _may(principal, tenant_id, "try keys of providers")
        settings = self._configured(provider)
        if not has_adapter(settings):
            raise Conflict(f"The protocol {settings.protocol!r} is not supported yet.")
        found = self._book.shared if tenant_id is None else self._book.own.get(tenant_id, {})
        settings = self._book.looked_up_for.get(provider, settings)
        keys = [key for key in found.get(provider, ()) if name is None or key.name == name]
        if name is not None and not keys:
            raise NotFound(f"There is no key {name!r} of {provider}.")
        if not keys and tenant_id is None:
            return [await _tried(provider, None, settings, settings, http)]
        trials = []
        for key in keys:
            why = key.why
            if key.value is not None:
                try:
                    trials.append(await _tried(provider, key, settings, with_key(settings, key.value), http))
                    continue
                except ValueError as error:
                    why = f"It cannot be used: {error}."
            trials.append(Trial(provider, key.name, destination(settings), False, None, None, None, why, 0.0))
        return trials

    async def sealed_otherwise(self, principal: Principal) -> int:
        """How many keys another master key than the first one seals."""
        require_super_admin(principal, "change keys of providers")
        master = self._masters.first
        async with self._db.read() as session:
            return await repository.count_sealed_otherwise(session, master.name if master is not None else "")

    async def reseal(self, principal: Principal, progress: Callable[[int], None] = lambda _: None) -> tuple[int, int]:
        """Seal everything under the first master key, some at a time, while everything runs; may be broken off and begun again. Each
        portion is a line of the audit.

        Args:
            progress: hears after each portion how many are done.

        Returns:
            How many were sealed anew, and how many do not open under any key that is here.
        """
        require_super_admin(principal, "change keys of providers")
        master = self._masters.to_seal()
        done, closed, after = 0, 0, ""
        while True:
            async with self._db.write() as unit:
                rows = await repository.sealed_otherwise(unit.session, master.name, after, BATCH)
                anew = []
                for row in rows:
                    known = self._masters.known(row.master)
                    value = known.unsealed(row.sealed, row_of(row)) if known is not None else None
                    if value is not None:
                        anew.append((row.id, row.master, master.seal(value, row_of(row))))
                await repository.reseal(unit.session, anew, master.name)
                if anew:
                    await self._audit.record(
                        unit, principal, "provider_key.reseal", master.name, resealed=len(anew), closed=len(rows) - len(anew)
                    )
                done += len(anew)
                closed += len(rows) - len(anew)
                if not rows:
                    if done:
                        await unit.mark_changed()
                    break
                after = rows[-1].id
            progress(done)
        await self._reload()
        return done, closed

    def _configured(self, provider: str) -> ProviderSettings:
        found = self._providers.all.get(provider)
        if found is None:
            raise NotFound(f"There is no such provider: {provider!r}.")
        return found

    def _view(self, provider: str, key: FoundKey, tenant_id: str | None, rows: dict[tuple[str, str], ProviderKey]) -> KeyView:
        row = rows.get((provider, key.name)) if key.source == STORED else None
        state = "missing" if key.value is None else "ready"
        if key.value is not None and self._standing is not None:
            state = self._standing(tenant_id, provider, key.name)
        return KeyView(
            provider=provider,
            name=key.name,
            tenant_id=tenant_id,
            source=key.source,
            place=key.place,
            hint=row.hint if row is not None else key.hint,
            state=state,
            why=key.why,
            destination=row.origin if row is not None else destination(self._configured(provider)),
            created_at=row.created_at if row is not None else None,
            created_by=row.created_by if row is not None else None,
        )


def _may(principal: Principal, tenant_id: str | None, what: str) -> None:
    if tenant_id is None:
        require_super_admin(principal, what)
    else:
        require_role(principal, tenant_id, Role.ADMIN)


def _checked(value: str, settings: ProviderSettings) -> str:
    """Raises BadRequest: no key looks like this. A key may be JSON of several lines, such as a service account's."""
    value = value.strip()
    if not value:
        raise BadRequest("The key is empty.", param="key")
    if len(value) > MOST_SIGNS:
        raise BadRequest("A key has at most 16 KiB.", param="key")
    if value.startswith(("env:", "file:", "vault:")):
        raise BadRequest("What is stored is the key itself; references belong into the configuration.", param="key")
    if not value.isascii() or not (value.isprintable() or value.startswith("{")):
        raise BadRequest("A key is one line of printable signs, or JSON.", param="key")
    try:
        with_key(settings, value)
    except ValueError as error:
        raise BadRequest(f"This is no key of AWS: {error}.", param="key") from None
    return value


def _refuse_destination(value: str) -> None:
    """A tenant's key says who asks, and never where: the JSON of a service account names the address that its token is fetched at.

    Raises:
        BadRequest: it is not one of Google's.
    """
    given = json_or_none(value.encode()) if value.startswith("{") else None
    address = given.get("token_uri") if isinstance(given, dict) else None
    if address is None:
        return
    parts = urlsplit(address) if isinstance(address, str) else None
    if parts is None or parts.scheme != "https" or parts.netloc not in _GOOGLES:
        raise BadRequest("The service account's token_uri is none of Google's.", param="key")


async def _tried(
    provider: str, key: FoundKey | None, settings: ProviderSettings, with_value: ProviderSettings, http: UpstreamHttp
) -> Trial:
    def trial(reached: bool, accepted: bool | None, status: int | None, error: str | None, why: str, took: float = 0.0) -> Trial:
        return Trial(provider, key.name if key is not None else None, destination(settings), reached, accepted, status, error, why, took)

    adapter = built(provider, with_value, http)
    if adapter is None:
        return trial(False, None, None, None, obstacle(settings) or "The provider's configuration is wrong: see the log.")
    if not adapter.capabilities.looks:
        return trial(False, None, None, None, "There is nothing that it can be asked for nothing; a call of one of its models tells.")
    started, status, error, why = time.monotonic(), None, None, ""
    try:
        status = await adapter.look(LOOK_SECONDS)
    except UpstreamFailure as failure:
        status, error, why = failure.status, failure.kind, failure.error.message
    took = round((time.monotonic() - started) * 1000, 1)
    accepted = None if status is None else False if status in (_UNAUTHORIZED, _FORBIDDEN) else True if status < 300 else None
    if accepted is False:
        why = _refused(provider, key, status)
    elif accepted is None and status is not None:
        why = why or f"{provider} answered {status} to what every key may ask: look whether its base_url is right."
    return trial(status is not None, accepted, status, error, why, took)


def _refused(provider: str, key: FoundKey | None, status: int | None) -> str:
    if key is None:
        return f"{provider} answers nobody without a key ({status}): `provider add-key {provider}` stores one."
    anew = f"`provider add-key {provider} --name {key.name} --replace`" if key.source == STORED else f"change it where it is, {key.place}"
    return f"{provider} does not accept this key ({status}): {anew}."
