"""SQL of identity: users, tenants, memberships, keys, sign-in sessions and small installation facts."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col

from backend.identity.tables import AccessToken, ApiKey, Membership, SignInSession, SystemSetting, Tenant, User
from backend.kernel.db import Change

_KEYS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class UsableKey:
    """A key that is neither revoked nor owned by a disabled person, with what its tenant says."""

    id: str
    public_id: str
    secret_sha256: str
    name: str
    tenant_id: str
    owner_user_id: str | None
    expires_at: datetime | None
    models: list[str] | None
    allowed_addresses: list[str] | None
    tags: list[str]
    rate_limit: dict[str, Any] | None
    end_users: dict[str, Any] | None
    plain_bodies: bool
    tier: str | None
    tenant_slug: str
    tenant_status: str
    tenant_models: list[str] | None
    tenant_tier: str | None
    tenant_default_model: str | None


async def usable_keys(session: AsyncSession) -> AsyncIterator[list[UsableKey]]:
    """Every key that may authenticate, in portions, so that the loop breathes while many are read."""
    query = (
        sa.select(
            col(ApiKey.id),
            col(ApiKey.public_id),
            col(ApiKey.secret_sha256),
            col(ApiKey.name),
            col(ApiKey.tenant_id),
            col(ApiKey.owner_user_id),
            col(ApiKey.expires_at),
            col(ApiKey.models),
            col(ApiKey.allowed_addresses),
            col(ApiKey.tags),
            col(ApiKey.rate_limit),
            col(ApiKey.end_users),
            col(ApiKey.plain_bodies),
            col(ApiKey.tier),
            col(Tenant.slug),
            col(Tenant.status),
            col(Tenant.models),
            col(Tenant.tier),
            col(Tenant.default_model),
        )
        .join(Tenant, col(Tenant.id) == col(ApiKey.tenant_id))
        .outerjoin(User, col(User.id) == col(ApiKey.owner_user_id))
        .where(col(ApiKey.status) == "active", sa.or_(col(User.id).is_(None), col(User.status) == "active"))
    )
    result = await session.stream(query)
    async for rows in result.partitions(_KEYS_AT_ONCE):
        yield [UsableKey(*tuple(row)) for row in rows]


async def take_turn(session: AsyncSession) -> None:
    """Let only one transaction of this kind run at a time, across replicas too (SQLite's writers take turns anyway)."""
    await session.execute(sa.select(col(Change.id)).where(col(Change.id) == 1).with_for_update())


async def add(session: AsyncSession, row: SQLModel) -> None:
    session.add(row)
    await session.flush()


# Users -----------------------------------------------------------------------------------------------------------------------------


async def user_by_email(session: AsyncSession, email: str) -> User | None:
    return (await session.execute(sa.select(User).where(col(User.email) == email))).scalar_one_or_none()


async def user_by_id(session: AsyncSession, user_id: str) -> User | None:
    return await session.get(User, user_id)


async def users(session: AsyncSession) -> Sequence[User]:
    """Everybody, by address."""
    return (await session.execute(sa.select(User).order_by(col(User.email)))).scalars().all()


async def users_of(session: AsyncSession, ids: Collection[str]) -> Sequence[User]:
    """Those of these ids."""
    return (await session.execute(sa.select(User).where(col(User.id).in_(ids)))).scalars().all()


async def has_users(session: AsyncSession) -> bool:
    return (await session.execute(sa.select(sa.literal(1)).select_from(User).limit(1))).first() is not None


async def update_user(session: AsyncSession, user_id: str, **columns: Any) -> None:
    await session.execute(sa.update(User).where(col(User.id) == user_id).values(**columns))


# Tenants and memberships -----------------------------------------------------------------------------------------------------------


async def tenant_by_id(session: AsyncSession, tenant_id: str) -> Tenant | None:
    return await session.get(Tenant, tenant_id)


async def tenant_by_slug(session: AsyncSession, slug: str) -> Tenant | None:
    return (await session.execute(sa.select(Tenant).where(col(Tenant.slug) == slug))).scalar_one_or_none()


async def tenants(session: AsyncSession, *, of_user: str | None) -> list[tuple[Tenant, str | None]]:
    """Tenants by name, each with the person's role; all of them (role None) when no person is named."""
    if of_user is None:
        rows = await session.execute(sa.select(Tenant).order_by(col(Tenant.name), col(Tenant.id)))
        return [(tenant, None) for tenant in rows.scalars()]
    query = (
        sa.select(Tenant, col(Membership.role))
        .join(Membership, col(Membership.tenant_id) == col(Tenant.id))
        .where(col(Membership.user_id) == of_user)
        .order_by(col(Tenant.name), col(Tenant.id))
    )
    return [(tenant, role) for tenant, role in await session.execute(query)]


async def time_zone(session: AsyncSession, tenant_id: str) -> ZoneInfo:
    """Where the tenant's days begin; UTC for one that does not exist."""
    name = (await session.execute(sa.select(col(Tenant.timezone)).where(col(Tenant.id) == tenant_id))).scalar_one_or_none()
    return ZoneInfo(name or "UTC")


async def time_zones(session: AsyncSession) -> dict[str, str]:
    """The time zone of every tenant that has another one than UTC."""
    rows = await session.execute(sa.select(col(Tenant.id), col(Tenant.timezone)).where(col(Tenant.timezone) != "UTC"))
    return {tenant_id: zone for tenant_id, zone in rows}


async def update_tenant(session: AsyncSession, tenant_id: str, **columns: Any) -> None:
    await session.execute(sa.update(Tenant).where(col(Tenant.id) == tenant_id).values(**columns))


async def membership(session: AsyncSession, tenant_id: str, user_id: str) -> Membership | None:
    return await session.get(Membership, (tenant_id, user_id))


async def members(session: AsyncSession, tenant_id: str) -> list[tuple[User, str]]:
    """The people of a tenant with their roles, by address."""
    query = sa.select(User, col(Membership.role)).join(Membership, col(Membership.user_id) == col(User.id))
    query = query.where(col(Membership.tenant_id) == tenant_id).order_by(col(User.email))
    return [(user, role) for user, role in await session.execute(query)]


async def count_members(session: AsyncSession, tenant_id: str, role: str) -> int:
    query = sa.select(sa.func.count()).select_from(Membership)
    query = query.where(col(Membership.tenant_id) == tenant_id, col(Membership.role) == role)
    return int((await session.execute(query)).scalar_one())


async def set_role(session: AsyncSession, tenant_id: str, user_id: str, role: str) -> None:
    query = sa.update(Membership).where(col(Membership.tenant_id) == tenant_id, col(Membership.user_id) == user_id)
    await session.execute(query.values(role=role))


async def remove_membership(session: AsyncSession, tenant_id: str, user_id: str) -> None:
    query = sa.delete(Membership).where(col(Membership.tenant_id) == tenant_id, col(Membership.user_id) == user_id)
    await session.execute(query)


# Keys ------------------------------------------------------------------------------------------------------------------------------


async def key_by_public_id(session: AsyncSession, public_id: str) -> ApiKey | None:
    return (await session.execute(sa.select(ApiKey).where(col(ApiKey.public_id) == public_id))).scalar_one_or_none()


async def key_in_tenant(session: AsyncSession, tenant_id: str, key_id: str) -> ApiKey | None:
    query = sa.select(ApiKey).where(col(ApiKey.tenant_id) == tenant_id, col(ApiKey.id) == key_id)
    return (await session.execute(query)).scalar_one_or_none()


async def key_by_id(session: AsyncSession, key_id: str) -> ApiKey | None:
    return await session.get(ApiKey, key_id)


async def keys_of_tenant(session: AsyncSession, tenant_id: str) -> Sequence[ApiKey]:
    query = sa.select(ApiKey).where(col(ApiKey.tenant_id) == tenant_id).order_by(col(ApiKey.created_at).desc(), col(ApiKey.id).desc())
    return (await session.execute(query)).scalars().all()


async def update_key(session: AsyncSession, key_id: str, **columns: Any) -> None:
    await session.execute(sa.update(ApiKey).where(col(ApiKey.id) == key_id).values(**columns))


# Sign-in sessions ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SessionOwner:
    """A live session, the person whose it is, and one row per tenant he belongs to (first by name)."""

    session_id: str
    last_seen_at: datetime
    expires_at: datetime
    user_id: str
    email: str
    name: str
    is_super_admin: bool
    memberships: tuple[tuple[str, str, str, str, str], ...]
    """Tenant id, slug, name, status, and the role there."""


async def session_owner(session: AsyncSession, session_id: str, now: datetime) -> SessionOwner | None:
    """Whose live session that is: not expired, not revoked, of a person who is not disabled. One query."""
    query = (
        sa.select(
            col(SignInSession.id),
            col(SignInSession.last_seen_at),
            col(SignInSession.expires_at),
            col(User.id),
            col(User.email),
            col(User.name),
            col(User.is_super_admin),
            col(Tenant.id),
            col(Tenant.slug),
            col(Tenant.name),
            col(Tenant.status),
            col(Membership.role),
        )
        .join(User, col(User.id) == col(SignInSession.user_id))
        .outerjoin(Membership, col(Membership.user_id) == col(User.id))
        .outerjoin(Tenant, col(Tenant.id) == col(Membership.tenant_id))
        .where(
            col(SignInSession.id) == session_id,
            col(SignInSession.revoked_at).is_(None),
            col(SignInSession.expires_at) > now,
            col(User.status) == "active",
        )
        .order_by(col(Tenant.name), col(Tenant.id))
    )
    rows = (await session.execute(query)).all()
    if not rows:
        return None
    return SessionOwner(*rows[0][:7], memberships=tuple(row[7:] for row in rows if row[7] is not None))


async def touch_session(session: AsyncSession, session_id: str, now: datetime) -> None:
    await session.execute(sa.update(SignInSession).where(col(SignInSession.id) == session_id).values(last_seen_at=now))


async def revoke_session(session: AsyncSession, session_id: str, now: datetime) -> str | None:
    """End one session; the id of its person, or None if it was not alive."""
    query = sa.update(SignInSession).where(col(SignInSession.id) == session_id, col(SignInSession.revoked_at).is_(None))
    row = (await session.execute(query.values(revoked_at=now).returning(col(SignInSession.user_id)))).first()
    return None if row is None else str(row[0])


async def revoke_sessions_of(session: AsyncSession, user_id: str, now: datetime) -> None:
    query = sa.update(SignInSession).where(col(SignInSession.user_id) == user_id, col(SignInSession.revoked_at).is_(None))
    await session.execute(query.values(revoked_at=now))


async def delete_sessions_before(session: AsyncSession, instant: datetime) -> None:
    """Forget sessions that expired before `instant`."""
    await session.execute(sa.delete(SignInSession).where(col(SignInSession.expires_at) < instant))


# Access tokens ---------------------------------------------------------------------------------------------------------------------


async def access_tokens(session: AsyncSession, user_id: str) -> Sequence[AccessToken]:
    """A person's, the newest first."""
    query = sa.select(AccessToken).where(col(AccessToken.user_id) == user_id)
    return (await session.execute(query.order_by(col(AccessToken.id).desc()))).scalars().all()


async def access_token(session: AsyncSession, name: str) -> AccessToken | None:
    """By id or public part."""
    query = sa.select(AccessToken).where(sa.or_(col(AccessToken.id) == name, col(AccessToken.public_id) == name))
    return (await session.execute(query)).scalar_one_or_none()


async def access_token_owner(session: AsyncSession, sha256: str, now: datetime) -> tuple[AccessToken, User] | None:
    """A token that has not ended, with the active super admin whose it is."""
    query = (
        sa.select(AccessToken, User)
        .join(User, col(User.id) == col(AccessToken.user_id))
        .where(
            col(AccessToken.sha256) == sha256,
            col(AccessToken.revoked_at).is_(None),
            col(AccessToken.expires_at) > now,
            col(User.status) == "active",
            col(User.is_super_admin),
        )
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1])


async def touch_access_token(session: AsyncSession, token_id: str, now: datetime) -> None:
    await session.execute(sa.update(AccessToken).where(col(AccessToken.id) == token_id).values(last_used_at=now))


# Installation facts ----------------------------------------------------------------------------------------------------------------


async def setting(session: AsyncSession, name: str) -> dict[str, Any] | None:
    row = await session.get(SystemSetting, name)
    return None if row is None else dict(row.value)


async def put_setting(session: AsyncSession, name: str, value: dict[str, Any], now: datetime) -> None:
    row = await session.get(SystemSetting, name)
    if row is None:
        session.add(SystemSetting(name=name, value=value, updated_at=now))
    else:
        row.value = value
        row.updated_at = now
    await session.flush()


async def remove_setting(session: AsyncSession, name: str) -> None:
    await session.execute(sa.delete(SystemSetting).where(col(SystemSetting.name) == name))
