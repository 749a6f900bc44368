"""Tenants, and who belongs to them. Every change is checked against the principal, audited and put on the change feed."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.audit.service import AuditService
from backend.budgets.opening import open_default_budget
from backend.identity import repository
from backend.identity.api_keys import KeyService
from backend.identity.names import AUTO, allowed_names, canonical_email, canonical_name, canonical_slug, canonical_tier, model_name
from backend.identity.principal import Principal, Role, require_role, require_super_admin
from backend.identity.schemas import MemberView, TenantView
from backend.identity.tables import Membership, Tenant
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, Conflict, NotFound, PermissionDenied
from backend.kernel.ids import new_id
from backend.settings import Settings


class TenantService:
    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings, keys: KeyService) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings
        self._keys = keys

    # Tenants -----------------------------------------------------------------------------------------------------------------------

    async def create(
        self, principal: Principal, *, slug: str, name: str = "", timezone: str | None = None, models: Sequence[str] | None = None
    ) -> TenantView:
        """A new tenant with the default budget.

        Args:
            models: names that it may use; None = all, an empty list = none.

        Raises:
            PermissionDenied: only a super admin may do this. Conflict: the slug is taken. BadRequest: slug, name or time zone.
        """
        require_super_admin(principal, "create a tenant")
        slug = canonical_slug(slug)
        zone = _timezone(timezone or self._settings.reporting.timezone)
        now = self._clock.now()
        async with self._db.write() as unit:
            await unit.mark_changed()
            if await repository.tenant_by_slug(unit.session, slug) is not None:
                raise Conflict(f"There is already a tenant {slug!r}.", param="slug")
            tenant = Tenant(
                id=new_id("tenant"),
                slug=slug,
                name=canonical_name(name or slug),
                timezone=zone,
                models=allowed_names(models),
                created_at=now,
            )
            await repository.add(unit.session, tenant)
            await open_default_budget(unit.session, tenant.id, self._settings.budgets.default, now=now)
            await self._audit.record(unit, principal, "tenant.create", tenant.id, tenant_id=tenant.id, slug=slug)
        return TenantView.of(tenant)

    async def of(self, principal: Principal) -> list[TenantView]:
        """The tenants that a person belongs to, by name, with his role; all of them for the system."""
        if principal.is_anonymous or principal.kind == "key":
            raise PermissionDenied
        async with self._db.read() as session:
            rows = await repository.tenants(session, of_user=None if principal.kind == "system" else principal.id)
        return [TenantView.of(tenant, role) for tenant, role in rows]

    async def get(self, principal: Principal, name: str) -> TenantView:
        """The tenant with that id or slug.

        Raises:
            NotFound: there is none for this principal.
        """
        async with self._db.read() as session:
            tenant = await repository.tenant_by_id(session, name) or await repository.tenant_by_slug(session, name)
        if tenant is None:
            raise NotFound("There is no such tenant.")
        require_role(principal, tenant.id, Role.VIEWER)
        return TenantView.of(tenant, principal.role.name if principal.role and principal.tenant_id == tenant.id else None)

    async def rename(self, principal: Principal, tenant_id: str, name: str) -> None:
        """Give a tenant another name; its slug, which programs may know, stays.

        Raises:
            PermissionDenied: not an admin of the tenant. NotFound. BadRequest: a name that cannot be.
        """
        require_role(principal, tenant_id, Role.ADMIN)
        await self._change(principal, tenant_id, "tenant.rename", name=canonical_name(name))

    async def set_models(self, principal: Principal, tenant_id: str, models: Sequence[str] | None) -> None:
        """Say which names a tenant may use: None = all, an empty list = none. Keys that were given more keep what is left of it.

        Raises:
            PermissionDenied: only a super admin may do this. NotFound. BadRequest: a name that cannot be.
        """
        require_super_admin(principal, "say which models a tenant uses")
        await self._change(principal, tenant_id, "tenant.set_models", models=allowed_names(models))

    async def set_default_model(self, principal: Principal, tenant_id: str, model: str | None) -> None:
        """Say what `auto` stands for in a tenant, or with None that it is what the installation says. It opens nothing: what the tenant
        or a key may not use is refused under the name `auto` as well.

        Raises:
            PermissionDenied: not an admin of the tenant. NotFound. BadRequest: a name that cannot be, or `auto` itself.
        """
        require_role(principal, tenant_id, Role.ADMIN)
        if model == AUTO:
            raise BadRequest(f"'{AUTO}' stands for the default model, so it cannot be that itself.", param="model")
        await self._change(principal, tenant_id, "tenant.set_default_model", default_model=None if model is None else model_name(model))

    async def set_tier(self, principal: Principal, tenant_id: str, tier: str | None) -> None:
        """Say which tier a tenant has, by which routes and overload choose; keys may have one of their own.

        Raises:
            PermissionDenied: only a super admin may do this. NotFound. BadRequest: a word that cannot be.
        """
        require_super_admin(principal, "say which tier a tenant has")
        await self._change(principal, tenant_id, "tenant.set_tier", tier=canonical_tier(tier))

    async def set_timezone(self, principal: Principal, tenant_id: str, timezone: str) -> None:
        """Say in which zone the tenant's days begin. What was spent stays with the day that it was counted for; where
        it is tomorrow already, it stays so until the new zone has caught up.

        Raises:
            PermissionDenied: only a super admin may do this: it moves the hour at which budgets begin anew. NotFound.
            BadRequest: no IANA name.
        """
        if not principal.is_super_admin:
            raise PermissionDenied("Only a super admin may change a tenant's time zone.")
        await self._change(principal, tenant_id, "tenant.set_timezone", timezone=_timezone(timezone))

    async def _change(self, principal: Principal, tenant_id: str, action: str, **columns: Any) -> None:
        async with self._db.write() as unit:
            await unit.mark_changed()
            if await repository.tenant_by_id(unit.session, tenant_id) is None:
                raise NotFound("There is no such tenant.")
            await repository.update_tenant(unit.session, tenant_id, **columns)
            await self._audit.record(unit, principal, action, tenant_id, tenant_id=tenant_id, **columns)

    async def set_status(self, principal: Principal, tenant_id: str, status: str) -> None:
        """Make a tenant `active` or `suspended`; calls with its keys are refused within the change feed's delay.

        Raises:
            PermissionDenied: only a super admin may do this. NotFound. BadRequest: another status.
        """
        require_super_admin(principal, "suspend a tenant")
        if status not in ("active", "suspended"):
            raise BadRequest("A tenant is active or suspended.", param="status")
        await self._change(principal, tenant_id, "tenant.set_status", status=status)

    # Members -----------------------------------------------------------------------------------------------------------------------

    async def members(self, principal: Principal, tenant_id: str) -> list[MemberView]:
        """Who belongs to the tenant, by address.

        Raises:
            NotFound: no such tenant for this principal.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            rows = await repository.members(session, tenant_id)
        return [MemberView(user.id, user.email, user.name, user.status, Role[role.upper()]) for user, role in rows]

    async def set_member(self, principal: Principal, tenant_id: str, *, email: str, role: Role | None) -> None:
        """Give the person with that address a role in the tenant, or with None take it away. Nobody gives more than he has.

        Raises:
            PermissionDenied: not an admin of the tenant, or the role given or taken is above one's own.
            NotFound: no such tenant for this principal, or no such person. Conflict: the last owner would go.
        """
        require_role(principal, tenant_id, Role.ADMIN)
        account = canonical_email(email)
        now = self._clock.now()
        async with self._db.write() as unit:
            await unit.mark_changed()
            session = unit.session
            user = await repository.user_by_email(session, account)
            if await repository.tenant_by_id(session, tenant_id) is None or user is None:
                raise NotFound("There is no such person or tenant.")
            existing = await repository.membership(session, tenant_id, user.id)
            before = Role[existing.role.upper()] if existing is not None else None
            for one in (before, role):
                if one is not None and not principal.has_role(one):
                    raise PermissionDenied(f"Only an {one.name.lower()} may give or take the role {one.name.lower()}.")
            if before is Role.OWNER and role is not Role.OWNER and await repository.count_members(session, tenant_id, "owner") == 1:
                raise Conflict("A tenant needs an owner. Make somebody else an owner first.")
            if role is None:
                await repository.remove_membership(session, tenant_id, user.id)
                await self._keys.revoke_all_of(unit, principal, tenant_id, user.id)
            elif existing is None:
                await repository.add(session, Membership(tenant_id=tenant_id, user_id=user.id, role=role.name.lower(), created_at=now))
            else:
                await repository.set_role(session, tenant_id, user.id, role.name.lower())
            await self._audit.record(
                unit,
                principal,
                "membership.set",
                user.id,
                tenant_id=tenant_id,
                before=before.name.lower() if before else None,
                after=role.name.lower() if role else None,
            )


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest("That is not an IANA time zone such as Europe/Berlin.", param="timezone") from None
    return name
