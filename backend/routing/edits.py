"""Changing routes: checked, audited, and on the change feed. An edit is a field of the file's `models[]` that the database now decides."""

from typing import Any

from backend.audit.service import AuditService
from backend.identity.names import model_name
from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.edits import Edits, facts, over, storable, without
from backend.kernel.errors import BadRequest, Conflict, NotFound
from backend.providers.book import ProviderBook
from backend.route_settings import RouteSettings
from backend.routing import repository
from backend.routing.merge import checked, merged
from backend.settings import Settings

_RESERVED = "router:"


class RouteEdits:
    """Every method needs a super admin, and answers with the route as it then is; running processes follow the change feed.

    All of them raise PermissionDenied for anybody else, and BadRequest for settings that cannot be, with the field in `param`.
    """

    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings, providers: ProviderBook | None = None) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings
        self._providers = providers or ProviderBook(settings)
        self._in_file = {route.alias for route in settings.models}

    async def create(self, principal: Principal, name: str, fields: Edits) -> RouteSettings:
        """A new alias, which is in the database alone.

        Raises:
            Conflict: there is one of that name.
        """
        require_super_admin(principal, "change routes")
        async with self._db.write() as unit:
            edits = await self._held(unit)
            if name in edits or name in self._in_file:
                raise Conflict(f"There is already a route {name!r}.", param="alias")
            return await self._put(unit, principal, "route.create", _new_name(name), fields, edits)

    async def change(self, principal: Principal, name: str, fields: Edits) -> RouteSettings:
        """Edit the fields that are given, and of sections such as `timeouts` the parts that are given; what was edited before stays.

        Raises:
            NotFound: there is no such alias.
        """
        require_super_admin(principal, "change routes")
        if not fields:
            raise BadRequest("Say which fields of the route are to be edited.")
        async with self._db.write() as unit:
            edits = await self._known(unit, name)
            return await self._put(unit, principal, "route.change", name, over(edits.get(name, {}), fields), edits, told=fields)

    async def replace(self, principal: Principal, name: str, fields: Edits) -> RouteSettings:
        """Make `fields` all that is edited of an alias, which is made if there is none. No fields: as the file says."""
        require_super_admin(principal, "change routes")
        async with self._db.write() as unit:
            edits = await self._held(unit)
            if name not in edits and name not in self._in_file:
                return await self._put(unit, principal, "route.create", _new_name(name), fields, edits)
            return await self._put(unit, principal, "route.replace", name, fields, edits)

    async def reset(self, principal: Principal, name: str, fields: tuple[str, ...] = ()) -> RouteSettings:
        """Take back what was edited of these fields (`strategy`, `timeouts.total`), or of all: the file decides them again.

        Raises:
            NotFound: there is no such alias. Conflict: the file does not have it, so there is nothing to go back to.
        """
        require_super_admin(principal, "change routes")
        async with self._db.write() as unit:
            edits = await self._known(unit, name)
            if name not in self._in_file:
                raise Conflict(f"{name!r} is in the database alone: change its fields, or delete it.")
            kept: Edits = {}
            if fields:
                kept = edits.get(name, {})
                for field in fields:
                    kept = without(kept, field)
            return await self._put(unit, principal, "route.reset", name, kept, edits, told=dict.fromkeys(fields or edits.get(name, {})))

    async def delete(self, principal: Principal, name: str) -> None:
        """End an alias that is in the database alone.

        Raises:
            NotFound: there is no such alias. Conflict: the file has it, or another route names it.
        """
        require_super_admin(principal, "change routes")
        async with self._db.write() as unit:
            edits = await self._known(unit, name)
            if name in self._in_file:
                raise Conflict(f"{name!r} is in the configuration file: disable it here, or reset what was edited.")
            routes, _ = merged(self._settings, edits)
            naming = [other.alias for other in routes.values() if name in other.names]
            if naming:
                raise Conflict(f"{naming[0]!r} names this route in its rules or as its smaller model: change that first.")
            await repository.remove_edit(unit.session, name)
            await self._audit.record(unit, principal, "route.delete", name)

    async def _held(self, unit: UnitOfWork) -> dict[str, dict[str, Any]]:
        # Moving the feed takes its row until the commit, so that no two changes see the same edits.
        await unit.mark_changed()
        return await repository.edits(unit.session)

    async def _known(self, unit: UnitOfWork, name: str) -> dict[str, dict[str, Any]]:
        edits = await self._held(unit)
        if name not in edits and name not in self._in_file:
            raise NotFound("There is no such route.")
        return edits

    async def _put(
        self,
        unit: UnitOfWork,
        principal: Principal,
        action: str,
        name: str,
        fields: Edits,
        edits: dict[str, dict[str, Any]],
        *,
        told: Edits | None = None,
    ) -> RouteSettings:
        storable(fields, "A route")
        route = checked(self._settings, {**edits, name: fields}, name, self._providers.all)
        if fields:
            await repository.put_edit(unit.session, name, dict(fields), now=self._clock.now(), by=principal.id[:40])
        else:
            await repository.remove_edit(unit.session, name)
        await self._audit.record(unit, principal, action, name, fields=facts(fields if told is None else told))
        return route


def _new_name(name: str) -> str:
    name = model_name(name)
    if name != name.strip():
        raise BadRequest("The name of a route does not begin or end with a space.", param="alias")
    if name.startswith(_RESERVED):
        raise BadRequest(f"Names that begin with {_RESERVED!r} are those of routers.", param="alias")
    return name
