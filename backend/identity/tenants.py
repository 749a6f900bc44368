"""Tenants, who belongs to them, and their API keys. Every change is checked against the principal, audited and put on the change feed."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from ipaddress import ip_network
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend.audit.service import AuditService
from backend.budgets import repository as budgets
from backend.identity import repository
from backend.identity.keys import generate_key
from backend.identity.names import canonical_email, canonical_name, canonical_slug
from backend.identity.principal import Principal, Role
from backend.identity.schemas import KeyView, MemberView, NewKey, TenantView
from backend.identity.tables import ApiKey, Membership, Tenant
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, Conflict, NotFound, PermissionDenied
from backend.kernel.ids import new_id
from backend.kernel.money import nano_from_usd
from backend.limits.schemas import checked_key_override, default_limits
from backend.settings import Settings

_MOST_MODELS = 1000
_MAX_MODEL_NAME = 255
_MOST_TAGS = 32
_MAX_TAG = 64


class Keep(Enum):
    """For arguments of which None is a value: leave it as it is."""

    KEEP = 0


KEEP = Keep.KEEP


class TenantService:
    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings

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
        if not principal.is_super_admin:
            raise PermissionDenied("Only a super admin may create a tenant.")
        slug = canonical_slug(slug)
        zone = _timezone(timezone or self._settings.reporting.timezone)
        now = self._clock.now()
        default = self._settings.budgets.default
        async with self._db.write() as unit:
            await unit.mark_changed()
            if await repository.tenant_by_slug(unit.session, slug) is not None:
                raise Conflict(f"There is already a tenant {slug!r}.", param="slug")
            tenant = Tenant(
                id=new_id("tenant"),
                slug=slug,
                name=canonical_name(name or slug),
                timezone=zone,
                models=_models(models),
                created_at=now,
            )
            await repository.add(unit.session, tenant)
            await budgets.create_if_absent(
                unit.session,
                tenant_id=tenant.id,
                scope="tenant",
                scope_id=tenant.id,
                limit_nano=nano_from_usd(default.limit_usd),
                window=default.window,
                warn_at=default.warn_at,
                now=now,
                is_default=True,
            )
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
        _require(principal, tenant.id, Role.VIEWER)
        return TenantView.of(tenant, principal.role.name if principal.role and principal.tenant_id == tenant.id else None)

    async def rename(self, principal: Principal, tenant_id: str, name: str) -> None:
        """Give a tenant another name; its slug, which programs may know, stays.

        Raises:
            PermissionDenied: not an admin of the tenant. NotFound. BadRequest: a name that cannot be.
        """
        _require(principal, tenant_id, Role.ADMIN)
        await self._change(principal, tenant_id, "tenant.rename", name=canonical_name(name))

    async def set_models(self, principal: Principal, tenant_id: str, models: Sequence[str] | None) -> None:
        """Say which names a tenant may use: None = all, an empty list = none. Keys that were given more keep what is left of it.

        Raises:
            PermissionDenied: only a super admin may do this. NotFound. BadRequest: a name that cannot be.
        """
        if not principal.is_super_admin:
            raise PermissionDenied("Only a super admin may say which models a tenant uses.")
        await self._change(principal, tenant_id, "tenant.set_models", models=_models(models))

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
        if not principal.is_super_admin:
            raise PermissionDenied("Only a super admin may suspend a tenant.")
        if status not in ("active", "suspended"):
            raise BadRequest("A tenant is active or suspended.", param="status")
        await self._change(principal, tenant_id, "tenant.set_status", status=status)

    # Members -----------------------------------------------------------------------------------------------------------------------

    async def members(self, principal: Principal, tenant_id: str) -> list[MemberView]:
        """Who belongs to the tenant, by address.

        Raises:
            NotFound: no such tenant for this principal.
        """
        _require(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            rows = await repository.members(session, tenant_id)
        return [MemberView(user.id, user.email, user.name, user.status, Role[role.upper()]) for user, role in rows]

    async def set_member(self, principal: Principal, tenant_id: str, *, email: str, role: Role | None) -> None:
        """Give the person with that address a role in the tenant, or with None take it away. Nobody gives more than he has.

        Raises:
            PermissionDenied: not an admin of the tenant, or the role given or taken is above one's own.
            NotFound: no such tenant for this principal, or no such person. Conflict: the last owner would go.
        """
        _require(principal, tenant_id, Role.ADMIN)
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
                await self._revoke_keys_of(unit, principal, tenant_id, user.id)
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

    async def _revoke_keys_of(self, unit: UnitOfWork, principal: Principal, tenant_id: str, user_id: str) -> None:
        """Who leaves a tenant leaves with all his ways in."""
        for key in await repository.keys_of_tenant(unit.session, tenant_id):
            if key.owner_user_id == user_id and key.status != "revoked":
                await repository.update_key(unit.session, key.id, status="revoked")
                await self._audit.record(unit, principal, "api_key.revoke", key.id, tenant_id=tenant_id, name=key.name)

    # Keys --------------------------------------------------------------------------------------------------------------------------

    async def create_key(
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
        _require(principal, tenant_id, Role.MEMBER)
        now = self._clock.now()
        self._check_expiry(expires_at)
        maker = principal.id if principal.kind == "user" else None
        owner = owner_user_id or maker
        if owner != maker and not principal.has_role(Role.ADMIN):
            raise PermissionDenied("Only an admin may make a key for somebody else.")
        addresses = _networks(allowed_addresses)
        if rate_limit is not None:
            defaults = default_limits(self._settings.rate_limits.default)
            rate_limit = checked_key_override(rate_limit, defaults, may_exceed=principal.is_super_admin)
        key = generate_key()
        async with self._db.write() as unit:
            await unit.mark_changed()
            tenant = await repository.tenant_by_id(unit.session, tenant_id)
            if tenant is None:
                raise NotFound("There is no such tenant.")
            if owner != maker and await repository.membership(unit.session, tenant_id, owner or "") is None:
                raise NotFound("There is no such member.")
            _check_within(models, tenant)
            row = ApiKey(
                id=new_id("key"),
                public_id=key.public_id,
                secret_sha256=key.secret_sha256,
                tenant_id=tenant_id,
                owner_user_id=owner,
                name=canonical_name(name),
                expires_at=expires_at,
                models=_models(models),
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

    async def list_keys(self, principal: Principal, tenant_id: str) -> list[KeyView]:
        """The tenant's keys, newest first, revoked ones too.

        Raises:
            NotFound: no such tenant for this principal.
        """
        _require(principal, tenant_id, Role.VIEWER)
        async with self._db.read() as session:
            return [KeyView.of(row) for row in await repository.keys_of_tenant(session, tenant_id)]

    async def find_key(self, principal: Principal, name: str) -> KeyView:
        """The key with that id or public id, in any tenant that the principal sees.

        Raises:
            NotFound: there is none for this principal.
        """
        async with self._db.read() as session:
            key = await repository.key_by_id(session, name) or await repository.key_by_public_id(session, name)
        if key is None or not (principal.is_super_admin or (principal.tenant_id == key.tenant_id and principal.has_role(Role.VIEWER))):
            raise NotFound("There is no such key.")
        return KeyView.of(key)

    async def change_key(
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
        _require(principal, tenant_id, Role.MEMBER)
        columns: dict[str, Any] = {}
        if not isinstance(name, Keep):
            columns["name"] = canonical_name(name)
        if not isinstance(models, Keep):
            columns["models"] = _models(models)
        if not isinstance(allowed_addresses, Keep):
            columns["allowed_addresses"] = _networks(allowed_addresses)
        if not isinstance(tags, Keep):
            columns["tags"] = _tags(tags)
        if not isinstance(expires_at, Keep):
            self._check_expiry(expires_at)
            columns["expires_at"] = expires_at
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await self._own_key(unit, principal, tenant_id, key_id)
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

    async def revoke_key(self, principal: Principal, tenant_id: str, key_id: str) -> None:
        """End a key for good: its owner may, and an admin of the tenant. Doing it again changes nothing.

        Raises:
            PermissionDenied: somebody else's key. NotFound: no such key in a tenant of this principal.
        """
        _require(principal, tenant_id, Role.MEMBER)
        async with self._db.write() as unit:
            await unit.mark_changed()
            key = await self._own_key(unit, principal, tenant_id, key_id)
            if key.status != "revoked":
                await repository.update_key(unit.session, key_id, status="revoked")
                await self._audit.record(unit, principal, "api_key.revoke", key_id, tenant_id=tenant_id, name=key.name)

    async def _own_key(self, unit: UnitOfWork, principal: Principal, tenant_id: str, key_id: str) -> ApiKey:
        key = await repository.key_in_tenant(unit.session, tenant_id, key_id)
        if key is None:
            raise NotFound("There is no such key.")
        if key.owner_user_id != principal.id and not principal.has_role(Role.ADMIN):
            raise PermissionDenied("Only its owner or an admin may change or revoke this key.")
        return key

    def _check_expiry(self, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at <= self._clock.now():
            raise BadRequest("The key would have expired already.", param="expires_at")


def _require(principal: Principal, tenant_id: str, role: Role) -> None:
    """The role is held in `principal.tenant_id`, so another tenant's id finds nothing, as if it did not exist."""
    if principal.is_super_admin:
        return
    if principal.tenant_id != tenant_id or principal.role is None:
        raise NotFound("There is no such tenant.")
    if not principal.has_role(role):
        raise PermissionDenied(f"You need to be {role.name.lower()} of this tenant.")


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadRequest("That is not an IANA time zone such as Europe/Berlin.", param="timezone") from None
    return name


def _check_within(models: Sequence[str] | None, tenant: Tenant) -> None:
    if models is not None and tenant.models is not None and not set(models) <= set(tenant.models):
        raise PermissionDenied("A key may not use models beyond its tenant's.", param="models")


def _models(names: Sequence[str] | None) -> list[str] | None:
    if names is None:
        return None
    if len(names) > _MOST_MODELS or any(not 0 < len(name) <= _MAX_MODEL_NAME or not name.isprintable() for name in names):
        raise BadRequest(f"A list of models has at most {_MOST_MODELS} names of 1 to {_MAX_MODEL_NAME} visible characters.", param="models")
    return list(dict.fromkeys(names))


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
