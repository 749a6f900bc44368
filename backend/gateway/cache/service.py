"""Clearing what is kept. Nothing is deleted: the numbers move on, no key leads to it any more, and it ends with its time."""

from backend.audit.service import AuditService
from backend.gateway.cache import repository
from backend.gateway.cache.repository import ALL
from backend.identity.principal import Principal, Role, require_role, require_super_admin
from backend.kernel.clock import Clock
from backend.kernel.db import Database


class ClearingService:
    def __init__(self, db: Database, clock: Clock, audit: AuditService) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit

    async def clear(self, principal: Principal, tenant_id: str | None = None) -> None:
        """From now on, within a second in every process, no answer that was kept until now is given again: of one tenant, or of all.

        Raises:
            PermissionDenied: not an admin of the tenant; or not a super admin, for all.
            NotFound: no such tenant for this principal.
        """
        if tenant_id is None:
            require_super_admin(principal, "clear the cache of all tenants")
        else:
            require_role(principal, tenant_id, Role.ADMIN)
        async with self._db.write() as unit:
            await unit.mark_changed()
            await repository.clear(unit.session, tenant_id or ALL, now=self._clock.now(), by=principal.id[:40])
            await self._audit.record(unit, principal, "cache.clear", tenant_id or ALL, tenant_id=tenant_id)
