"""Who has which limits, from memory: the hot path asks here and never the database.

A key has the defaults of the settings with its own override on top; a person or a tenant is limited only where somebody said so.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from backend.identity import repository as identity
from backend.identity.end_users import MOST_END_USERS, EndUser
from backend.identity.snapshot import KeyRecord
from backend.kernel.db import Database
from backend.kernel.errors import RateLimited
from backend.limits import repository
from backend.limits.schemas import Limits, Scope, default_limits
from backend.limits.window import COUNTED
from backend.settings import RateLimit

_UNLIMITED = Limits()


class LimitBook:
    """Replaced as a whole by `load`, which belongs on the change feed; on an error the old content stays."""

    def __init__(self, db: Database, default: RateLimit) -> None:
        self._db = db
        self._default = default_limits(default)
        self._overrides: Mapping[tuple[str, str, str], Mapping[str, Any]] = {}
        self._zones: Mapping[str, str] = {}
        self._scopes: dict[str, tuple[KeyRecord, tuple[Scope, ...]]] = {}
        self._end_users: dict[str, dict[str, Scope]] = {}
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        async with self._loading, self._db.read() as session:
            overrides = await repository.overrides(session)
            zones = await identity.time_zones(session)
        self._overrides, self._zones, self._scopes = overrides, zones, {}

    def scopes_of(self, key: KeyRecord) -> tuple[Scope, ...]:
        """The scopes that limit a call with that key, outermost first; those without any limit are left out."""
        known = self._scopes.get(key.key_id)
        # The records of the keys are replaced when keys change, so another object means: look again.
        if known is not None and known[0] is key:
            return known[1]
        tenant, zone = key.tenant_id, self._zones.get(key.tenant_id, "UTC")
        found = [Scope("tenant", tenant, tenant, _UNLIMITED.overridden_by(self._overrides.get((tenant, "tenant", tenant))), zone)]
        if key.user_id is not None:
            limits = _UNLIMITED.overridden_by(self._overrides.get((tenant, "user", key.user_id)))
            found.append(Scope("user", tenant, key.user_id, limits, zone))
        found.append(Scope("key", tenant, key.key_id, self._default.overridden_by(key.rate_limit), zone))
        scopes = tuple(scope for scope in found if not scope.limits.is_unlimited)
        self._scopes[key.key_id] = (key, scopes)
        return scopes

    def scope_of(self, end_user: EndUser) -> Scope | None:
        """What limits one end user of a key; None = nothing.

        Raises:
            RateLimited: so many others of the same key have called lately that this one cannot be told apart any more.
        """
        limits = end_user.terms.limits
        if limits.is_unlimited:
            return None
        scopes = self._end_users.setdefault(end_user.key_id, {})
        scope = scopes.get(end_user.payer_id)
        if scope is None or scope.limits != limits:
            if scope is None and len(scopes) >= MOST_END_USERS:
                raise RateLimited(f"More than {MOST_END_USERS:,} end users of this key have called lately.", retry_after=COUNTED)
            scope = scopes[end_user.payer_id] = Scope("end_user", end_user.tenant_id, end_user.payer_id, limits)
        return scope

    def forget_end_users(self, counts: Callable[[str], bool]) -> None:
        """Drop those of whom nothing counts any more; `counts` is asked by the scope's name."""
        for key_id, scopes in list(self._end_users.items()):
            kept = {payer_id: scope for payer_id, scope in scopes.items() if counts(scope.name)}
            if kept:
                self._end_users[key_id] = kept
            else:
                del self._end_users[key_id]
