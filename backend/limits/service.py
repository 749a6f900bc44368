"""What operators and admins do with limits: look at them, set them, clear them. Checked, audited, and on the change feed."""

from collections.abc import Mapping
from typing import Any, cast, get_args

from backend.audit.service import AuditService
from backend.identity.belonging import require_in_tenant
from backend.identity.principal import Principal, Role, require_role, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest
from backend.limits import repository
from backend.limits.schemas import Limits, LimitView, ScopeKind, checked_key_override, checked_override, default_limits
from backend.settings import RateLimit


class LimitService:
    """A tenant's limits are the operator's: only a super admin changes them. An admin of the tenant limits its people as he likes, and
    its keys up to the defaults that the operator gave to all keys."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, default: RateLimit) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._default = default_limits(default)

    async def get(self, principal: Principal, tenant_id: str, scope: ScopeKind, scope_id: str) -> LimitView:
        """What binds one key, user or tenant.

        Raises:
            NotFound: no such tenant for this principal, or no such key or member in it.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            override = await self._override(session, tenant_id, scope, scope_id)
        return self._view(tenant_id, scope, scope_id, override)

    async def of_tenant(self, principal: Principal, tenant_id: str) -> list[LimitView]:
        """Everything in a tenant for which limits were set: the tenant itself, its people, its keys.

        Raises:
            NotFound: no such tenant for this principal.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            rows = await repository.overrides_of_tenant(session, tenant_id)
        return [self._view(tenant_id, cast(ScopeKind, scope), scope_id, override) for scope, scope_id, override in rows]

    async def set(self, principal: Principal, tenant_id: str, scope: ScopeKind, scope_id: str, limits: Mapping[str, Any]) -> LimitView:
        """Replace what is set for one key, user or tenant. Fields that are absent or None fall back to what binds without it.

        Raises:
            PermissionDenied: not an admin of the tenant; only a super admin changes a tenant's own limits or lifts a key over the defaults.
            NotFound: no such tenant for this principal, or no such key or member in it. BadRequest: a field or value that cannot be.
        """
        self._may_change(principal, tenant_id, scope)
        if scope == "key":
            override = checked_key_override(limits, self._default, may_exceed=principal.is_super_admin)
        else:
            override = checked_override(limits)
        async with self._db.write() as unit:
            await unit.mark_changed()
            before = await self._override(unit.session, tenant_id, scope, scope_id)
            if scope == "key":
                await repository.set_key_override(unit.session, scope_id, override or None)
            elif override:
                await repository.put_override(
                    unit.session, tenant_id, scope, scope_id, limits=override, now=self._clock.now(), by=principal.id[:40]
                )
            else:
                await repository.remove_override(unit.session, tenant_id, scope, scope_id)
            await self._record(unit, principal, "limit.set" if override else "limit.clear", tenant_id, scope, scope_id, before, override)
        return self._view(tenant_id, scope, scope_id, override)

    async def clear(self, principal: Principal, tenant_id: str, scope: ScopeKind, scope_id: str) -> LimitView:
        """Take back what is set for one key, user or tenant; raises as `set`."""
        return await self.set(principal, tenant_id, scope, scope_id, {})

    # Rules -------------------------------------------------------------------------------------------------------------------------

    def _may_change(self, principal: Principal, tenant_id: str, scope: ScopeKind) -> None:
        require_role(principal, tenant_id, Role.ADMIN)
        if scope == "tenant":
            require_super_admin(principal, "change the limits of a tenant")

    def _base(self, scope: ScopeKind) -> Limits:
        """What binds a scope for which nothing is set."""
        return self._default if scope == "key" else Limits()

    async def _override(self, session: Any, tenant_id: str, scope: ScopeKind, scope_id: str) -> dict[str, Any]:
        if scope not in get_args(ScopeKind):
            raise BadRequest("Limits are set for a key, a user or a tenant.", param="scope")
        await require_in_tenant(session, tenant_id, scope, scope_id)
        if scope == "key":
            return await repository.key_override(session, scope_id)
        row = await repository.override(session, tenant_id, scope, scope_id)
        return {} if row is None else dict(row.limits)

    def _view(self, tenant_id: str, scope: ScopeKind, scope_id: str, override: dict[str, Any]) -> LimitView:
        return LimitView(scope, scope_id, tenant_id, self._base(scope).overridden_by(override), override)

    async def _record(
        self,
        unit: UnitOfWork,
        principal: Principal,
        action: str,
        tenant_id: str,
        scope: ScopeKind,
        scope_id: str,
        before: dict[str, Any],
        after: dict[str, Any],
    ) -> None:
        facts = {"scope": scope, "before": _told(before), "after": _told(after)}
        await self._audit.record(unit, principal, action, scope_id, tenant_id=tenant_id, **facts)


def _told(override: Mapping[str, Any]) -> list[str]:
    """`requests_per_minute=60`, …: a list, because the audit takes `tokens_per_minute` as the name of a fact for a secret's."""
    return [f"{name}={value}" for name, value in sorted(override.items())]
