"""Who may do what: users, tenants, memberships, API keys and sign-in sessions. No column holds a secret in clear."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class User(SQLModel, table=True):
    __tablename__ = "user"
    id: str = Field(primary_key=True, max_length=40)
    email: str = Field(max_length=255, unique=True, description="canonical form")
    name: str = Field(default="", max_length=255)
    password_hash: str | None = Field(default=None, max_length=255, description="argon2id")
    is_super_admin: bool = False
    status: str = Field(default="active", max_length=16, description="active, disabled")
    created_at: datetime = Field(sa_type=UtcDateTime)


class Tenant(SQLModel, table=True):
    __tablename__ = "tenant"
    id: str = Field(primary_key=True, max_length=40)
    slug: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=255)
    status: str = Field(default="active", max_length=16, description="active, suspended")
    timezone: str = Field(default="UTC", max_length=64, description="IANA name")
    models: list[str] | None = Field(default=None, sa_type=Json, description="allowed names; NULL = all, [] = none")
    default_model: str | None = Field(default=None, max_length=255, description="what `auto` stands for; NULL = the installation's")
    tier: str | None = Field(default=None, max_length=63, description="a word that routes and overload choose by")
    created_at: datetime = Field(sa_type=UtcDateTime)


class Membership(SQLModel, table=True):
    __tablename__ = "membership"
    tenant_id: str = Field(primary_key=True, foreign_key="tenant.id")
    user_id: str = Field(primary_key=True, foreign_key="user.id", index=True)
    role: str = Field(max_length=16, description="viewer, member, admin, owner")
    created_at: datetime = Field(sa_type=UtcDateTime)


class ApiKey(SQLModel, table=True):
    """`public_id` is the part of `sk-<id>.<secret>` before the dot; only the SHA-256 of the secret is stored."""

    __tablename__ = "api_key"
    id: str = Field(primary_key=True, max_length=40)
    public_id: str = Field(max_length=64, unique=True)
    secret_sha256: str = Field(max_length=64)
    tenant_id: str = Field(foreign_key="tenant.id", index=True)
    owner_user_id: str | None = Field(default=None, foreign_key="user.id", index=True)
    name: str = Field(max_length=255)
    status: str = Field(default="active", max_length=16, description="active, revoked")
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    models: list[str] | None = Field(default=None, sa_type=Json, description="allowed names; NULL = the tenant's")
    allowed_addresses: list[str] | None = Field(default=None, sa_type=Json, description="CIDR; NULL = any")
    tags: list[str] = Field(default_factory=list, sa_type=Json)
    tier: str | None = Field(default=None, max_length=63, description="NULL = the tenant's")
    rate_limit: dict[str, Any] | None = Field(default=None, sa_type=Json, description="fields of Limits that differ from the defaults")
    end_users: dict[str, Any] | None = Field(default=None, sa_type=Json, description="what each end user may have; see EndUserTerms")
    plain_bodies: bool = Field(default=False, description="leave answer bodies without the `bourse` object")
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str | None = Field(default=None, max_length=40)


class SignInSession(SQLModel, table=True):
    """`id` is the SHA-256 of the cookie's value."""

    __tablename__ = "sign_in_session"
    id: str = Field(primary_key=True, max_length=64)
    user_id: str = Field(foreign_key="user.id", index=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_seen_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    user_agent: str = Field(default="", max_length=255)
    address: str = Field(default="", max_length=64)


class AccessToken(SQLModel, table=True):
    """What a super admin's program asks the REST surface with. `public_id` is the part of `bt-<id>.<secret>` before the dot; `sha256` is
    that of the whole text."""

    __tablename__ = "access_token"
    id: str = Field(primary_key=True, max_length=40)
    public_id: str = Field(max_length=64, unique=True)
    sha256: str = Field(max_length=64, unique=True)
    user_id: str = Field(foreign_key="user.id", index=True)
    name: str = Field(max_length=255)
    created_at: datetime = Field(sa_type=UtcDateTime)
    created_by: str | None = Field(default=None, max_length=40)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UtcDateTime, description="to the hour")
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SystemSetting(SQLModel, table=True):
    """Small facts about this installation, such as the hash of the one-time setup token."""

    __tablename__ = "system_setting"
    name: str = Field(primary_key=True, max_length=64)
    value: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    updated_at: datetime = Field(sa_type=UtcDateTime)
