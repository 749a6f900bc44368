"""What identity tells its callers: frozen, complete, and without secrets except where a name says so."""

from dataclasses import dataclass, field
from datetime import datetime

from backend.identity.end_users import EndUserTerms
from backend.identity.principal import ANONYMOUS, Principal, Role
from backend.identity.tables import ApiKey, Tenant, User


@dataclass(frozen=True, slots=True)
class SessionView:
    """Whom a sign-in cookie stands for, and in which tenant he acts."""

    principal: Principal
    tenant_slug: str = ""
    tenant_name: str = ""
    expires_at: datetime | None = None

    @property
    def signed_in(self) -> bool:
        return not self.principal.is_anonymous


SIGNED_OUT = SessionView(ANONYMOUS)


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session just begun. `cookie` is the only copy of its secret."""

    cookie: str = field(repr=False)
    expires_at: datetime
    user_id: str


@dataclass(frozen=True, slots=True)
class UserView:
    id: str
    email: str
    name: str
    is_super_admin: bool
    status: str

    @classmethod
    def of(cls, row: User) -> "UserView":
        return cls(row.id, row.email, row.name, row.is_super_admin, row.status)


@dataclass(frozen=True, slots=True)
class TenantView:
    id: str
    slug: str
    name: str
    status: str
    timezone: str
    models: tuple[str, ...] | None
    role: Role | None = None
    """The asking person's role in it; None where he is no member."""
    default_model: str | None = None
    """What `auto` stands for; None = as the installation says."""
    tier: str | None = None

    @classmethod
    def of(cls, row: Tenant, role: str | None = None) -> "TenantView":
        models = None if row.models is None else tuple(row.models)
        standing = Role[role.upper()] if role else None
        return cls(row.id, row.slug, row.name, row.status, row.timezone, models, standing, row.default_model, row.tier)


@dataclass(frozen=True, slots=True)
class MemberView:
    """A person in a tenant."""

    user_id: str
    email: str
    name: str
    status: str
    role: Role


@dataclass(frozen=True, slots=True)
class KeyView:
    id: str
    public_id: str
    name: str
    tenant_id: str
    owner_user_id: str | None
    status: str
    models: tuple[str, ...] | None
    tags: tuple[str, ...]
    expires_at: datetime | None
    created_at: datetime
    allowed_addresses: tuple[str, ...] | None = None
    plain_bodies: bool = False
    created_by: str | None = None
    end_users: EndUserTerms | None = None
    """What each of its end users may have."""
    tier: str | None = None
    """None = its tenant's."""

    @classmethod
    def of(cls, row: ApiKey) -> "KeyView":
        return cls(
            id=row.id,
            public_id=row.public_id,
            name=row.name,
            tenant_id=row.tenant_id,
            owner_user_id=row.owner_user_id,
            status=row.status,
            models=None if row.models is None else tuple(row.models),
            tags=tuple(row.tags),
            expires_at=row.expires_at,
            created_at=row.created_at,
            allowed_addresses=None if row.allowed_addresses is None else tuple(row.allowed_addresses),
            plain_bodies=row.plain_bodies,
            created_by=row.created_by,
            end_users=EndUserTerms.from_row(row.end_users),
            tier=row.tier,
        )


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. `text` is shown once: it is stored nowhere."""

    view: KeyView
    text: str = field(repr=False)
