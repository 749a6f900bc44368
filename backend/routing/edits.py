"""Changing routes: checked, audited, and on the change feed. An edit is a field of the file's `models[]` that the database now decides."""

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from backend.audit.service import AuditService
from backend.identity.names import model_name
from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, Conflict, NotFound
from backend.route_settings import RouteSettings
from backend.routing import repository
from backend.routing.merge import Edits, checked, merged, over
from backend.settings import Settings

_MOST_BYTES = 64 * 1024
_RESERVED = "router:"


class RouteEdits:
    """Every method needs a super admin, and answers with the route as it then is; running processes follow the change feed.

    All of them raise PermissionDenied for anybody else, and BadRequest for settings that cannot be, with the field in `param`.
    """

    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings
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
                    kept = _without(kept, field.split("."), field)
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
        _storable(fields)
        route = checked(self._settings, {**edits, name: fields}, name)
        if fields:
            await repository.put_edit(unit.session, name, dict(fields), now=self._clock.now(), by=principal.id[:40])
        else:
            await repository.remove_edit(unit.session, name)
        # A list of texts, because the audit takes `max_output_tokens` as the name of a fact for a secret's.
        facts = [f"{field}={json.dumps(value)}"[:500] for field, value in sorted((fields if told is None else told).items())]
        await self._audit.record(unit, principal, action, name, fields=facts)
        return route


def as_written(value: Any) -> Any:
    """Settings as they would be written in the file: `5s`, plain numbers and words."""
    if isinstance(value, BaseModel):
        return {name: as_written(getattr(value, name)) for name in type(value).model_fields if name != "alias"}
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return [as_written(item) for item in value] if isinstance(value, tuple) else value


def field_names(edits: Edits, before: str = "") -> list[str]:
    """What is edited, in dots: `strategy`, `timeouts.total`."""
    names: list[str] = []
    for name, value in sorted(edits.items()):
        names += field_names(value, f"{before}{name}.") if isinstance(value, Mapping) and value else [f"{before}{name}"]
    return names


def _without(edits: Edits, path: list[str], field: str) -> Edits:
    name, *below = path
    inner = edits.get(name)
    if name not in edits or (below and not isinstance(inner, Mapping)):
        raise BadRequest(f"{field!r} was not edited. What was: {', '.join(field_names(edits)) or 'nothing'}.", param="fields")
    rest = {other: value for other, value in edits.items() if other != name}
    left = _without(inner, below, field) if below and isinstance(inner, Mapping) else {}
    return {**rest, name: left} if left else rest


def _storable(fields: Edits) -> None:
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise BadRequest("A field holds something that is neither text, number, list nor mapping.") from None
    if size > _MOST_BYTES:
        raise BadRequest("A route is described in at most 64 KiB.")
    if "\\u0" in text:
        raise BadRequest("A field holds a control character.")


def _new_name(name: str) -> str:
    name = model_name(name)
    if name != name.strip():
        raise BadRequest("The name of a route does not begin or end with a space.", param="alias")
    if name.startswith(_RESERVED):
        raise BadRequest(f"Names that begin with {_RESERVED!r} are those of routers.", param="alias")
    return name
