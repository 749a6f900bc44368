"""API keys: made, listed, changed, revoked. Every change is checked against the principal, audited and put on the change feed."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from ipaddress import ip_network
from typing import Any

from backend.audit.service import AuditService
from backend.budgets import repository as budgets
from backend.identity import repository
from backend.identity.belonging import require_in_tenant
from backend.identity.end_users import EndUserTerms
from backend.identity.keys import generate_key
from backend.identity.names import AUTO, allowed_names, canonical_name, canonical_tier
from backend.identity.principal import Principal, Role, require_role, require_super_admin
from backend.identity.schemas import KeyView, NewKey
from backend.identity.tables import ApiKey, Tenant
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, Conflict, NotFound, PermissionDenied
from backend.kernel.ids import new_id
from backend.limits.schemas import checked_key_override, default_limits
from backend.settings import RateLimit

_MOST_TAGS = 32
_MAX_TAG = 64


class Keep(Enum):
    """For arguments of which None is a value: leave it as it is."""

    KEEP = 0


KEEP = Keep.KEEP


class KeyService:
    def __init__(self, db: Database, clock: Clock, audit: AuditService, default: RateLimit) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._default = default_limits(default)

    async def create(
        self,
        principal: Principal,
        tenant_id: str,
        *,
        name: str,
        owner_user_id: str | None = None,
        models: Sequence[str] | None = None,
        allowed_addresses: Sequence[str] | None = None,
        tags: Sequence[str] = (),
        expires_at: datetime | None = None,
        plain_bodies: bool = False,
        rate_limit: dict[str, Any] | None = None,
    ) -> NewKey:
        """A new key. The answer holds its text, the only time that anybody sees it.

        Args:
            owner_user_id: the member whose key it is; the person who makes it if not given, nobody if that is the system.
            models: names that the key may use, among the tenant's; None = all of the tenant's.
            allowed_addresses: networks in CIDR notation; None = from anywhere.
            rate_limit: fields of `Limits` that differ from the defaults for keys.

        Raises:
            PermissionDenied: not a member of the tenant, a model beyond the tenant's, limits looser than the defaults without being a super
                admin, or a key for somebody else by a mere member.
            NotFound: no such tenant for this principal, or no such member in it.
            BadRequest: a name, address or expiry that cannot be.
        """
        require_role(principal, tenant_id, Role.MEMBER)
        now = self._clock.now()
        self._check_expiry(expires_at)
        maker = principal.id if principal.kind == "user" else None
        owner = owner_user_id or maker
        if owner != maker and not principal.has_role(Role.ADMIN):
            raise PermissionDenied("Only an admin may make a key for somebody else.")
        addresses = _networks(allowed_addresses)
        if rate_limit is not None:
            rate_limit = checked_key_override(rate_limit, self._default, may_exceed=principal.is_super_admin)
        key = generate_key()
        async with self._db.write() as unit:
            await unit.mark_changed()
            tenant = await repository.tenant_by_id(unit.session, tenant_id)
            if tenant is None:
                raise NotFound("There is no such tenant.")
            if owner != maker:
                await require_in_tenant(unit.session, tenant_id, "user", owner or "")
            _check_within(models, tenant)
            row = ApiKey(
                id=new_id("key"),
                public_id=key.public_id,
                secret_sha256=key.secret_sha256,
                tenant_id=tenant_id,
                owner_user_id=owner,
                name=canonical_name(name),
                expires_at=expires_at,
                models=allowed_names(models),
                allowed_addresses=addresses,
                tags=_tags(tags),
                rate_limit=rate_limit,
                plain_bodies=plain_bodies,
                created_at=now,
                created_by=principal.id,
            )
            await repository.add(unit.session, row)
            await self._audit.record(unit, principal, "api_key.create", row.id, tenant_id=tenant_id, name=row.name)
        return NewKey(KeyView.of(row), key.text)

    async def of_tenant(self, principal: Principal, tenant_id: str) -> list[KeyView]:
        """The tenant's keys, newest first, revoked ones too.

        Raises:
            NotFound: no such tenant for this principal.
        """
        require_role(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            return [KeyView.of(row) for row in await repository.keys_of_tenant(session, tenant_id)]

    async def find(self, principal: Principal, name: str) -> KeyView:
        """The key with that id or public id, in any tenant that the principal sees.

        Raises:
            NotFound: there is none for this principal.
        """
        async with self._db.read() as session:
            key = await repository.key_by_id(session, name) or await repository.key_by_public_id(session, name)
        if key is None or not principal.sees(key.tenant_id):
            raise NotFound("There is no such key.")
        return KeyView.of(key)

    async def change(
        self,
        principal: Principal,
        tenant_id: str,
        key_id: str,
        *,
        name: str | Keep = KEEP,
        models: Sequence[str] | Keep | None = KEEP,
        allowed_addresses: Sequence[str] | Keep | None = KEEP,
        tags: Sequence[str] | Keep = KEEP,
        expires_at: datetime | Keep | None = KEEP,
    ) -> KeyView:
        """Change what is given of a key: its owner may, and an admin of the tenant. What is not given stays.

        Raises:
            PermissionDenied: somebody else's key, or a model beyond the tenant's. NotFound: no such key in a tenant of this principal.
            Conflict: the key is revoked, which is for good. BadRequest: a name, address, tag or expiry that cannot be.
        """
        require_role(principal, tenant_id, Role.MEMBER)
        columns: dict[str, Any] = {}
        if not isinstance(name, Keep):
            columns["name"] = canonical_name(name)
        if not isinstance(models, Keep):
            columns["models"] = allowed_names(models)
        if not isinstance(allowed_addresses, Keep):
            columns["allowed_addresses"] = _networks(allowed_addresses)
        if not isinstance(tags, Keep):
            columns["tags"] = _tags(tags)
        if not isinstance(expires_at, Keep):
            self._check_expiry(expires_at)
            columns["expires_at"] = expires_at
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await self._own(unit, principal, tenant_id, key_id)
            if key.status == "revoked":
                raise Conflict("This key is revoked, and that is for good. Make a new one.")
            if "models" in columns:
                tenant = await repository.tenant_by_id(unit.session, tenant_id)
                assert tenant is not None
                _check_within(columns["models"], tenant)
            if columns:
                await repository.update_key(unit.session, key_id, **columns)
                facts = columns | ({"expires_at": expires_at.isoformat()} if isinstance(expires_at, datetime) else {})
                await self._audit.record(unit, principal, "api_key.change", key_id, tenant_id=tenant_id, **{"name": key.name, **facts})
            await unit.session.refresh(key)
        return KeyView.of(key)

    async def set_end_users(self, principal: Principal, tenant_id: str, key_id: str, terms: EndUserTerms | None) -> KeyView:
        """Say what each end user of a key may have, or with None that `user` is only a tag. Accounts that somebody set on their own stay.

        Raises:
            PermissionDenied: not an admin of the tenant. NotFound: no such key in a tenant of this principal.
            Conflict: the key is revoked, which is for good.
        """
        require_role(principal, tenant_id, Role.ADMIN)
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await self._own(unit, principal, tenant_id, key_id)
            if key.status == "revoked":
                raise Conflict("This key is revoked, and that is for good. Make a new one.")
            await repository.update_key(unit.session, key_id, end_users=None if terms is None else terms.as_row())
            if terms is None or terms.limit_nano is None:
                await budgets.delete_end_users(unit.session, key_id)
            else:
                now = self._clock.now()
                await budgets.apply_terms(unit.session, key_id, limit_nano=terms.limit_nano, window=terms.window, now=now)
            told = "none" if terms is None else terms.in_words()
            await self._audit.record(unit, principal, "api_key.end_users", key_id, tenant_id=tenant_id, name=key.name, terms=told)
            await unit.session.refresh(key)
        return KeyView.of(key)

    async def set_tier(self, principal: Principal, tenant_id: str, key_id: str, tier: str | None) -> KeyView:
        """Give a key a tier of its own, or with None its tenant's.

        Raises:
            PermissionDenied: only a super admin may do this: what a tier gets is the operator's to say. NotFound: no such key.
            Conflict: the key is revoked, which is for good. BadRequest: a word that cannot be.
        """
        require_super_admin(principal, "say which tier a key has")
        tier = canonical_tier(tier)
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await self._own(unit, principal, tenant_id, key_id)
            if key.status == "revoked":
                raise Conflict("This key is revoked, and that is for good. Make a new one.")
            await repository.update_key(unit.session, key_id, tier=tier)
            await self._audit.record(unit, principal, "api_key.set_tier", key_id, tenant_id=tenant_id, name=key.name, tier=tier)
            await unit.session.refresh(key)
        return KeyView.of(key)

    async def revoke(self, principal: Principal, tenant_id: str, key_id: str) -> None:
        """End a key for good: its owner may, and an admin of the tenant. Doing it again changes nothing.

        Raises:
            PermissionDenied: somebody else's key. NotFound: no such key in a tenant of this principal.
        """
        require_role(principal, tenant_id, Role.MEMBER)
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await self._own(unit, principal, tenant_id, key_id)
            if key.status != "revoked":
                await repository.update_key(unit.session, key_id, status="revoked")
                await self._audit.record(unit, principal, "api_key.revoke", key_id, tenant_id=tenant_id, name=key.name)

    async def revoke_all_of(self, unit: UnitOfWork, principal: Principal, tenant_id: str, user_id: str) -> None:
        """Within a transaction: who leaves a tenant leaves with all his ways in."""
        for key in await repository.keys_of_tenant(unit.session, tenant_id):
            if key.owner_user_id == user_id and key.status != "revoked":
                await repository.update_key(unit.session, key.id, status="revoked")
                await self._audit.record(unit, principal, "api_key.revoke", key.id, tenant_id=tenant_id, name=key.name)

    async def _own(self, unit: UnitOfWork, principal: Principal, tenant_id: str, key_id: str) -> ApiKey:
        key = await repository.key_in_tenant(unit.session, tenant_id, key_id)
        if key is None:
            raise NotFound("There is no such key.")
        if key.owner_user_id != principal.id and not principal.has_role(Role.ADMIN):
            raise PermissionDenied("Only its owner or an admin may change or revoke this key.")
        return key

    def _check_expiry(self, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at <= self._clock.now():
            raise BadRequest("The key would have expired already.", param="expires_at")


def _check_within(models: Sequence[str] | None, tenant: Tenant) -> None:
    if models is not None and tenant.models is not None and not set(models) - {AUTO} <= set(tenant.models):
        raise PermissionDenied("A key may not use models beyond its tenant's.", param="models")


def _tags(tags: Sequence[str]) -> list[str]:
    if len(tags) > _MOST_TAGS or any(not 0 < len(tag) <= _MAX_TAG or not tag.isprintable() for tag in tags):
        raise BadRequest(f"A key has at most {_MOST_TAGS} tags of 1 to {_MAX_TAG} visible characters.", param="tags")
    return list(dict.fromkeys(tags))


def _networks(texts: Sequence[str] | None) -> list[str] | None:
    return None if texts is None else [_network(text) for text in texts]


def _network(text: str) -> str:
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError:
        raise BadRequest("An address is written as 192.0.2.7 or 192.0.2.0/24.", param="allowed_addresses") from None
