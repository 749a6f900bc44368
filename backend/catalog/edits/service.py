"""What operators do with the catalog: models and offers of their own, columns that they decide, models that are not to be shown.

A column that an operator set holds against everything that sources say later, until he takes it back; what they say meanwhile is kept
beside it. A deleted model is hidden, not gone: the ledger may name its offers, and the next reading of a source must not bring it back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from backend.audit.service import AuditService, SecretInAudit
from backend.catalog.concurrency import hold_to, version_of
from backend.catalog.edits import repository
from backend.catalog.edits.fields import COLUMN_OF, FIELD_OF, ModelChange, ModelFields, NewModel, NewOffer, WholeModel
from backend.catalog.names import canonical, slug
from backend.catalog.providers import provider_name
from backend.catalog.service import CatalogService
from backend.catalog.taxonomy import CAPABILITIES
from backend.catalog.writing import ALSO_STATED, OPERATOR, plain
from backend.identity.principal import Principal, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.edits import facts as told
from backend.kernel.errors import BadRequest, Conflict, ModelNotFound, NotFound

_DATES = frozenset({"release_date", "deprecation_date"})
_UNKNOWN: dict[str, Any] = {
    "mode": "chat", "status": "active", "capabilities": [], "capabilities_denied": [], "modalities_in": [], "modalities_out": [],
    "supported_formats": [], "languages": [],
}  # fmt: skip
"""What a column is when nobody says anything."""


@dataclass(frozen=True, slots=True)
class EditedModel:
    """A model that an operator made, changed or deleted. `fields` are those that he decides."""

    id: str
    name: str
    own: bool
    hidden: bool
    fields: tuple[str, ...]
    version: int


class CatalogEdits:
    """Every change needs a super admin and is audited; this process has it when the method returns, others within a second.

    All methods raise PermissionDenied for anybody else and ModelNotFound for an unknown model. `if_match` and a `version` in the fields
    raise PreconditionFailed or Conflict where somebody else changed the model since.
    """

    def __init__(self, db: Database, clock: Clock, audit: AuditService, catalog: CatalogService) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._catalog = catalog

    async def all(self, principal: Principal) -> list[EditedModel]:
        """Every model that an operator made, changed or deleted, by id."""
        require_super_admin(principal, "see what was changed in the catalog")
        async with self._db.read() as session:
            return [_edited(row) for row in await repository.touched_models(session)]

    async def create(self, principal: Principal, new: NewModel) -> str:
        """A model of one's own; its id.

        Raises:
            BadRequest: it has no usable name or id. Conflict: something goes by that id already.
        """
        require_super_admin(principal, "change the catalog")
        columns = _columns(new)
        model_id = _new_id(new)
        async with self._db.write() as unit:
            await unit.mark_changed()
            await self._refuse_taken(unit, model_id)
            now = await self._now(unit)
            row: dict[str, Any] = {"family": None, **_UNKNOWN, **columns, "id": model_id, "stated": {}, "hidden": False}
            row |= {"created_at": now, "updated_at": now, "facts": dict.fromkeys(("id", *columns), OPERATOR)}
            await repository.add_model(unit.session, row)
            await self._record(unit, principal, "model.create", model_id, fields=_told(columns))
        await self._catalog.load()
        return model_id

    async def change(self, principal: Principal, name: str, change: ModelChange, *, if_match: int | None = None) -> str:
        """Set the fields that are given, take back those in `reset`, hide the model or bring it back; its id.

        Raises:
            BadRequest: nothing is to be changed, or a field is both set and reset, or was not set.
        """
        require_super_admin(principal, "change the catalog")
        columns = _columns(change)
        reset = {COLUMN_OF[field] for field in change.reset}
        if both := sorted(FIELD_OF[column] for column in reset & columns.keys()):
            raise BadRequest(f"{both[0]} cannot be set and taken back at once.", param="reset")
        if not columns and not reset and change.hidden is None:
            raise BadRequest("Say what is to be changed.")
        async with self._db.write() as unit:
            row = await self._held(unit, name, if_match, change.version)
            for column in sorted(reset):
                if row["facts"].get(column) != OPERATOR:
                    raise BadRequest(f"{FIELD_OF[column]} was not set by an operator.", param="reset")
            values = _after(row, columns, reset)
            if change.hidden is not None:
                values["hidden"] = change.hidden
            await self._put(unit, row, values)
            facts: dict[str, Any] = {"fields": _told(columns), "reset": sorted(change.reset)}
            if change.hidden is not None:
                facts["hidden"] = change.hidden
            await self._record(unit, principal, "model.change", row["id"], **facts)
        await self._catalog.load()
        return str(row["id"])

    async def replace(self, principal: Principal, name: str, whole: WholeModel, *, if_match: int | None = None) -> str:
        """Make the fields all that an operator decides of the model: what is missing is as the sources say; its id."""
        require_super_admin(principal, "change the catalog")
        columns = _columns(whole)
        async with self._db.write() as unit:
            row = await self._held(unit, name, if_match, whole.version)
            held = {column for column, source in row["facts"].items() if source == OPERATOR and column in FIELD_OF}
            await self._put(unit, row, _after(row, columns, held - columns.keys()))
            await self._record(unit, principal, "model.replace", row["id"], fields=_told(columns))
        await self._catalog.load()
        return str(row["id"])

    async def delete(self, principal: Principal, name: str, *, if_match: int | None = None) -> None:
        """Take a model out of the store, whatever its sources go on saying; `change` with `hidden=False` brings it back."""
        require_super_admin(principal, "change the catalog")
        async with self._db.write() as unit:
            row = await self._held(unit, name, if_match, None)
            if row["hidden"]:
                raise ModelNotFound(f"There is no model {name[:100]!r} in the catalog: it was deleted before.", param="id")
            await self._put(unit, row, {"hidden": True})
            await self._record(unit, principal, "model.delete", row["id"])
        await self._catalog.load()

    async def add_offer(self, principal: Principal, name: str, new: NewOffer) -> str:
        """Say that a provider sells the model; the offer's id. It is unpriced until somebody states a price.

        Raises:
            Conflict: there is that offer already.
        """
        require_super_admin(principal, "change the catalog")
        offer_id = f"{new.provider}/{new.upstreamId}"
        async with self._db.write() as unit:
            row = await self._held(unit, name, None, None)
            now = await self._now(unit)
            held = await repository.offer_row(unit.session, offer_id)
            if held is not None and (held["status"] != "retired" or OPERATOR not in held["extra"]):
                raise Conflict(f"There is already an offer {offer_id!r}, of {held['model_id']}.", param="upstreamId")
            await self._refuse_taken(unit, offer_id, but_for=offer_id)
            if not await repository.has_provider(unit.session, new.provider):
                await repository.add_provider(unit.session, new.provider, provider_name(new.provider), now)
            said = {"region": new.region, "context_tokens": new.contextTokens, "max_output_tokens": new.maxOutputTokens}
            values = {
                "id": offer_id, "model_id": row["id"], "provider_id": new.provider, "upstream_id": new.upstreamId, "mode": row["mode"],
                **said, "status": "active", "capabilities": [], "modalities_in": [], "modalities_out": [],
                "extra": {OPERATOR: {"by": principal.id[:40], **said}}, "updated_at": now,
            }  # fmt: skip
            await repository.put_offer(unit.session, values, new=held is None)
            await repository.add_alias(unit.session, canonical(offer_id), offer_id)
            await self._record(unit, principal, "offer.create", offer_id, model=str(row["id"]))
        await self._catalog.load()
        return offer_id

    async def end_offer(self, principal: Principal, name: str, offer_id: str) -> None:
        """Retire an offer that an operator made; its rows stay for the ledger's sake.

        Raises:
            NotFound: the model has no such offer. Conflict: sources state it, so that they would bring it back.
        """
        require_super_admin(principal, "change the catalog")
        async with self._db.write() as unit:
            row = await self._held(unit, name, None, None)
            held = await repository.offer_row(unit.session, offer_id)
            if held is None or held["model_id"] != row["id"] or held["status"] == "retired":
                raise NotFound(f"{row['id']} has no offer {offer_id[:100]!r}.", param="offer_id")
            made = held["extra"].get(OPERATOR)
            if made is None or made.get(ALSO_STATED):
                raise Conflict(f"{offer_id!r} is stated by sources: it ends when they say so.", param="offer_id")
            await repository.put_offer(unit.session, {"id": offer_id, "status": "retired", "updated_at": await self._now(unit)}, new=False)
            await self._record(unit, principal, "offer.delete", offer_id, model=str(row["id"]))
        await self._catalog.load()

    # --- what they have in common ----------------------------------------------------------------------------------------------------

    async def _held(self, unit: UnitOfWork, name: str, if_match: int | None, stated: int | None) -> Mapping[str, Any]:
        # Moving the feed takes its row until the commit, so that no two changes see the same model.
        await unit.mark_changed()
        row: Mapping[str, Any] | None = await repository.model(unit.session, name)
        if row is None and (known := self._catalog.summary(name)) is not None:
            row = await repository.model(unit.session, known.id)
        if row is None:
            raise ModelNotFound(f"There is no model {name[:100]!r} in the catalog.", param="id")
        hold_to(version_of(row["updated_at"]), if_match=if_match, stated=stated)
        return row

    async def _put(self, unit: UnitOfWork, row: Mapping[str, Any], values: dict[str, Any]) -> None:
        await repository.change_model(unit.session, row["id"], values | {"updated_at": await self._now(unit)})

    async def _now(self, unit: UnitOfWork) -> datetime:
        # Later than anything in the store, whosever clock was ahead: by this, processes see that there is something to load.
        newest = await repository.newest_change(unit.session)
        now = self._clock.now()
        return now if newest is None else max(now, newest + timedelta(microseconds=1))

    async def _record(self, unit: UnitOfWork, principal: Principal, action: str, target: str, **facts: Any) -> None:
        try:
            await self._audit.record(unit, principal, action, target, **facts)
        except SecretInAudit:
            raise BadRequest("A field looks as if it held a key or password, which the audit log refuses to keep.") from None

    async def _refuse_taken(self, unit: UnitOfWork, name: str, *, but_for: str = "") -> None:
        target = await repository.target_of(unit.session, name, canonical(name))
        if target is not None and target != but_for:
            hidden = await repository.model(unit.session, target)
            if hidden is not None and hidden["hidden"]:
                raise Conflict(f"{target!r} was deleted: PATCH it with hidden=false to bring it back.", param="id")
            raise Conflict(f"{name!r} is already a name of {target!r}.", param="id")


def _columns(fields: ModelFields) -> dict[str, Any]:
    try:
        return fields.columns()
    except ValueError as error:
        raise BadRequest(str(error), param=str(error).partition(":")[0]) from None


def _new_id(new: NewModel) -> str:
    try:
        model_id = slug(new.id or new.name)
        canonical(model_id)
    except ValueError:
        raise BadRequest("No id can be made of the name: give one of Latin letters and digits.", param="id") from None
    if new.id is not None and new.id != model_id:
        raise BadRequest(f"An id is made of lower case letters, digits, points and single hyphens: {model_id!r} would be one.", param="id")
    return model_id


def _after(row: Mapping[str, Any], columns: Mapping[str, Any], reset: Iterable[str]) -> dict[str, Any]:
    """The values to write: what is set, what is taken back, and who says so."""
    facts, stated = dict(row["facts"]), dict(row["stated"])
    values: dict[str, Any] = {}
    for column in _with_denied(reset):
        was, source = stated.pop(column, (_UNKNOWN.get(column), None))
        values[column] = date.fromisoformat(was) if column in _DATES and was is not None else was
        facts.pop(column, None)
        if source is not None:
            facts[column] = source
    if "name" in values and values["name"] is None:
        raise BadRequest("No source names this model, so that its name cannot be taken back.", param="reset")
    wanted = dict(columns)
    if "capabilities" in wanted:
        wanted["capabilities_denied"] = sorted(CAPABILITIES.keys() - set(wanted["capabilities"]))
        wanted["capabilities"] = sorted(wanted["capabilities"])
    for column, value in wanted.items():
        if facts.get(column) != OPERATOR:
            stated[column] = [plain(row[column]), facts.get(column)]
        facts[column] = OPERATOR
        values[column] = value
    return values | {"facts": facts, "stated": stated}


def _with_denied(columns: Iterable[str]) -> list[str]:
    """What a model can and what it cannot are said together."""
    listed = sorted(columns)
    return [*listed, "capabilities_denied"] if "capabilities" in listed else listed


def _told(columns: Mapping[str, Any]) -> list[str]:
    return told({FIELD_OF[column]: plain(value) for column, value in columns.items()})


def _edited(row: Mapping[str, Any]) -> EditedModel:
    fields = sorted(FIELD_OF[column] for column, source in row["facts"].items() if source == OPERATOR and column in FIELD_OF)
    return EditedModel(
        row["id"], row["name"], row["facts"].get("id") == OPERATOR, row["hidden"], tuple(fields), version_of(row["updated_at"])
    )
