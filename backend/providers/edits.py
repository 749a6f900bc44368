"""Changing providers: checked, audited, and on the change feed. An edit is a field of the file's `providers` that the database decides."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

from backend.audit.service import AuditService
from backend.identity.principal import Principal, require_super_admin
from backend.kernel.addresses import AddressPolicy
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.edits import Edits, facts, over, storable, without
from backend.kernel.errors import BadRequest, Conflict, NotFound
from backend.kernel.setting_types import is_slug
from backend.providers import repository
from backend.providers.http import UpstreamHttp
from backend.providers.merge import addresses, edited, shown
from backend.providers.registry import configured, flaw
from backend.settings import ProviderSettings, Settings

RESOLVE_SECONDS = 5.0


class StoredKeys(Protocol):
    """Where keys are kept, as far as providers come and go with them."""

    async def put(self, unit: UnitOfWork, principal: Principal, provider: str, settings: ProviderSettings, value: str) -> None: ...
    async def remove_all(self, unit: UnitOfWork, principal: Principal, provider: str) -> int: ...


class ProviderEdits:
    """Every method needs a super admin; running processes follow the change feed, and this one has followed when a method returns.

    All of them raise PermissionDenied for anybody else, and BadRequest for settings that cannot be, with the field in `param`.

    Args:
        addresses: those that providers may have.
        reload: takes up a change that was made here.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        audit: AuditService,
        settings: Settings,
        addresses: AddressPolicy,
        keys: StoredKeys,
        *,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings
        self._policy = addresses
        self._keys = keys
        self._reload = reload

    async def add(self, principal: Principal, name: str, fields: Edits, *, key: str | None = None) -> None:
        """A new provider, which is in the database alone, and its key, which is stored encrypted.

        Raises:
            Conflict: there is one of that name. AddressRefused: it may not be where it is said to be.
        """
        require_super_admin(principal, "change providers")
        if not is_slug(name):
            raise BadRequest(
                "The name of a provider begins with a letter or digit and has lower-case letters, digits, '-' and '_' alone, 63 at most.",
                param="name",
            )
        taken = Conflict(f"There is already a provider {name!r}: `provider change {name}` changes it.", param="name")
        if name in self._settings.providers:
            raise taken
        provider = await self._checked(name, fields)
        async with self._db.write() as unit:
            if name in await self._held(unit):
                raise taken
            await self._put(unit, principal, "provider.add", name, fields)
            if key is not None:
                await self._keys.put(unit, principal, name, provider, key)
        await self._reload()

    async def change(self, principal: Principal, name: str, fields: Edits) -> None:
        """Edit the fields that are given, and of sections such as `metadata` the parts that are given; what was edited before stays.

        Raises:
            NotFound: there is no such provider. AddressRefused: as `add`.
        """
        require_super_admin(principal, "change providers")
        if not fields:
            raise BadRequest("Say which fields of the provider are to be edited.")
        await self._edit(principal, "provider.change", name, lambda before: over(before, fields), fields)

    async def reset(self, principal: Principal, name: str, fields: tuple[str, ...] = ()) -> None:
        """Take back what was edited of these fields (`max_parallel`, `metadata.region`), or of all: the file decides them again, or they
        are as if nobody had said anything of them.

        Raises:
            NotFound: there is no such provider. Conflict: the file does not have it, so there is nothing to go back to.
        """
        require_super_admin(principal, "change providers")
        if not fields and name not in self._settings.providers:
            async with self._db.read() as session:
                if name in await repository.edits(session):
                    raise Conflict(f"{name!r} is in the database alone: change its fields, or remove it.")

        def kept(before: Edits) -> Edits:
            left: Edits = before if fields else {}
            for field in fields:
                left = without(left, field)
            return left

        await self._edit(principal, "provider.reset", name, kept, dict.fromkeys(fields) or None)

    async def remove(self, principal: Principal, name: str) -> int:
        """End a provider that is in the database alone, with its stored keys, tenants' own too; returns how many there were. Calls under
        way go on; routes that name it answer without it.

        Raises:
            NotFound: there is no such provider. Conflict: the file has it.
        """
        require_super_admin(principal, "change providers")
        async with self._db.write() as unit:
            self._known(name, await self._held(unit))
            if name in self._settings.providers:
                raise Conflict(
                    f"{name!r} is in the configuration file: take it out there, or switch it off (`provider change {name} enabled=false`)."
                )
            await repository.remove_edit(unit.session, name)
            keys = await self._keys.remove_all(unit, principal, name)
            await self._audit.record(unit, principal, "provider.remove", name, keys=keys)
        await self._reload()
        return keys

    async def _edit(self, principal: Principal, action: str, name: str, change: Callable[[Edits], Edits], told: Edits | None) -> None:
        """`told` is what the audit log has of it; None = that nothing is edited any more."""
        # Names are resolved before the transaction, which must not wait for them.
        async with self._db.read() as session:
            before = self._known(name, await repository.edits(session))
        after = change(before)
        await self._checked(name, after)
        async with self._db.write() as unit:
            if self._known(name, await self._held(unit)) != before:
                raise Conflict("Somebody has just changed this provider: look at it, and try again.")
            await self._put(unit, principal, action, name, after, dict.fromkeys(before) if told is None else told)
        await self._reload()

    async def _held(self, unit: UnitOfWork) -> dict[str, dict[str, Any]]:
        # Moving the feed takes its row until the commit, so that no two changes see the same edits.
        await unit.mark_changed()
        return await repository.edits(unit.session)

    def _known(self, name: str, edits: Mapping[str, Edits]) -> Edits:
        if name not in edits and name not in self._settings.providers:
            raise NotFound(f"There is no such provider: {name!r}. `provider add {name}` makes one.")
        return edits.get(name, {})

    async def _put(self, unit: UnitOfWork, principal: Principal, action: str, name: str, fields: Edits, told: Edits | None = None) -> None:
        if fields:
            await repository.put_edit(unit.session, name, dict(fields), now=self._clock.now(), by=principal.id[:40])
        else:
            await repository.remove_edit(unit.session, name)
        await self._audit.record(unit, principal, action, name, fields=facts(shown(fields if told is None else told)))

    async def _checked(self, name: str, fields: Edits) -> ProviderSettings:
        """The provider as it would be."""
        storable(fields, "A provider")
        file = self._settings.providers.get(name)
        provider = configured(self._settings, {name: edited(name, file, fields)})[name]
        if file is None:
            for field, url in addresses(provider):
                await self._check_address(field, url)
        http = UpstreamHttp(self._policy)
        wrong = flaw(name, provider, http)
        # What is wrong in the file is no reason to refuse an edit, such as switching it off.
        if wrong and (file is None or not flaw(name, file, http)):
            raise BadRequest(f"No call could be made so: {wrong}.")
        return provider

    async def _check_address(self, field: str, url: str) -> None:
        """A name that does not resolve just now is let in: every connection checks its address anew."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            host, port = None, 0
        if not host or parts.scheme not in ("http", "https"):
            raise BadRequest(f"{field} must look like https://host/path.", param=field)
        if parts.username is not None:
            raise BadRequest(f"{field} holds a name or a password: keys are stored encrypted (`provider add-key`).", param=field)
        with suppress(OSError):
            async with asyncio.timeout(RESOLVE_SECONDS):
                await self._policy.resolve(host, port)
