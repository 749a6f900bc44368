"""The first rows: what the configuration's `bootstrap` names, and in development a demo tenant with a key that everybody knows.

It creates and never updates: what somebody changed later stays changed. Everything is one transaction, taken in turns by replicas
that start together, so a refused configuration leaves nothing behind.
"""

from collections.abc import Sequence

import structlog

from backend.audit.service import AuditService
from backend.budgets.opening import open_budget, open_default_budget
from backend.identity import repository
from backend.identity.end_users import EndUserTerms
from backend.identity.keys import MalformedKey, parse_key
from backend.identity.names import canonical_email, canonical_name
from backend.identity.passwords import Passwords, check_new_password
from backend.identity.principal import system
from backend.identity.snapshot import DEMO_SECRET_DIGEST
from backend.identity.tables import ApiKey, Membership, Tenant, User
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest
from backend.kernel.ids import new_id
from backend.kernel.money import nano_from_usd
from backend.kernel.secrets import SecretRef, SecretUnavailable
from backend.settings import BootstrapKey, BootstrapTenant, BootstrapUser, BudgetLimit, EndUserSettings, Settings

log = structlog.get_logger(__name__)

DEMO_TENANT = "demo"
_DEMO = BootstrapTenant(slug=DEMO_TENANT, name="Demo", budget=BudgetLimit.model_validate({"limit_usd": 100}))
DEMO_KEY = "sk-demo.my-secret"
"""In development alone."""
_DEMO_KEY = BootstrapKey(tenant=DEMO_TENANT, name="demo", key=SecretRef(DEMO_KEY))
_ACTOR = system("bootstrap")


class BootstrapRefused(Exception):
    """The configuration's `bootstrap` cannot be carried out; the message names the entry, never a secret."""


class Bootstrap:
    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings, passwords: Passwords) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings
        self._passwords = passwords

    async def run(self) -> None:
        """Create what is missing.

        Raises:
            BootstrapRefused: a secret that is not there, a malformed key, a name that nothing has; nothing was created.
        """
        wanted = self._settings.bootstrap
        development = not self._settings.is_production
        tenants = (*wanted.tenants, _DEMO) if development else wanted.tenants
        keys = (*wanted.api_keys, _DEMO_KEY) if development else wanted.api_keys
        hashes = await self._hash_new_passwords()
        try:
            await self._create(tenants, keys, hashes)
        except BadRequest as error:
            raise BootstrapRefused(f"bootstrap: {error.message}") from None

    async def _create(self, tenants: Sequence[BootstrapTenant], keys: Sequence[BootstrapKey], hashes: dict[str, str]) -> None:
        wanted = self._settings.bootstrap
        async with self._db.write() as unit:
            await repository.take_turn(unit.session)
            # Before anybody new is there: whether this is a first start decides who owns the demo tenant.
            nobody_yet = not await repository.has_users(unit.session)
            created = 0
            for tenant in tenants:
                created += await self._tenant(unit, tenant)
            for user in wanted.admin_users:
                created += await self._admin(unit, user, hashes)
            for membership in wanted.memberships:
                created += await self._membership(unit, membership.tenant, membership.email, membership.role)
            if nobody_yet and wanted.admin_users and not self._settings.is_production:
                created += await self._membership(unit, DEMO_TENANT, wanted.admin_users[0].email, "owner")
            for key in keys:
                created += await self._key(unit, key)
            if created:
                await unit.mark_changed()

    async def _hash_new_passwords(self) -> dict[str, str]:
        """Argon2 takes its time, so it is done before the transaction, and only for people who are not there yet."""
        hashes: dict[str, str] = {}
        for user in self._settings.bootstrap.admin_users:
            email = _email(user.email)
            async with self._db.read() as session:
                if await repository.user_by_email(session, email) is not None:
                    continue
            password = _secret(user.password, f"bootstrap.admin_users: the password of {email}")
            if self._settings.is_production:
                try:
                    check_new_password(password)
                except BadRequest as error:
                    raise BootstrapRefused(f"bootstrap.admin_users: {email}: {error.message}") from None
            hashes[email] = await self._passwords.hash(password)
        return hashes

    async def _tenant(self, unit: UnitOfWork, wanted: BootstrapTenant) -> bool:
        if await repository.tenant_by_slug(unit.session, wanted.slug) is not None:
            return False
        tenant = Tenant(
            id=new_id("tenant"),
            slug=wanted.slug,
            name=canonical_name(wanted.name or wanted.slug),
            timezone=wanted.timezone or self._settings.reporting.timezone,
            models=None if wanted.models is None else list(wanted.models),
            default_model=wanted.default_model,
            tier=wanted.tier,
            created_at=self._clock.now(),
        )
        await repository.add(unit.session, tenant)
        if wanted.budget is not None:
            await open_budget(unit.session, tenant.id, "tenant", tenant.id, wanted.budget, now=self._clock.now())
        else:
            await open_default_budget(unit.session, tenant.id, self._settings.budgets.default, now=self._clock.now())
        await self._audit.record(unit, _ACTOR, "tenant.create", tenant.id, tenant_id=tenant.id, slug=tenant.slug)
        return True

    async def _admin(self, unit: UnitOfWork, wanted: BootstrapUser, hashes: dict[str, str]) -> bool:
        email = _email(wanted.email)
        if await repository.user_by_email(unit.session, email) is not None:
            return False
        user = User(
            id=new_id("user"),
            email=email,
            name=canonical_name(wanted.name) if wanted.name else "",
            password_hash=hashes[email],
            is_super_admin=True,
            created_at=self._clock.now(),
        )
        await repository.add(unit.session, user)
        await self._audit.record(unit, _ACTOR, "user.create", user.id, email=email, super_admin=True)
        return True

    async def _membership(self, unit: UnitOfWork, slug: str, address: str, role: str) -> bool:
        tenant = await self._existing_tenant(unit, slug, "bootstrap.memberships")
        user = await self._existing_user(unit, address, "bootstrap.memberships")
        if await repository.membership(unit.session, tenant.id, user.id) is not None:
            return False
        await repository.add(unit.session, Membership(tenant_id=tenant.id, user_id=user.id, role=role, created_at=self._clock.now()))
        await self._audit.record(unit, _ACTOR, "membership.create", user.id, tenant_id=tenant.id, role=role)
        return True

    async def _key(self, unit: UnitOfWork, wanted: BootstrapKey) -> bool:
        where = f"bootstrap.api_keys: the key {wanted.name!r}"
        try:
            key = parse_key(_secret(wanted.key, where))
        except MalformedKey as error:
            raise BootstrapRefused(f"{where}: {error}") from None
        if self._settings.is_production and bytes.fromhex(key.secret_sha256) == DEMO_SECRET_DIGEST:
            raise BootstrapRefused(f"{where} has the demo key's secret, which is public; production refuses it")
        existing = await repository.key_by_public_id(unit.session, key.public_id)
        if existing is not None:
            if existing.secret_sha256 != key.secret_sha256:
                log.warning(
                    "bootstrap.key_kept", name=wanted.name, reason="a key with this id exists with another secret; it stays as it is"
                )
            return False
        tenant = await self._existing_tenant(unit, wanted.tenant, where)
        owner = await self._existing_user(unit, wanted.owner, where) if wanted.owner else None
        row = ApiKey(
            id=new_id("key"),
            public_id=key.public_id,
            secret_sha256=key.secret_sha256,
            tenant_id=tenant.id,
            owner_user_id=owner.id if owner else None,
            name=canonical_name(wanted.name),
            models=None if wanted.models is None else list(wanted.models),
            rate_limit=None if wanted.rate_limit is None else wanted.rate_limit.model_dump(exclude_none=True) or None,
            end_users=None if wanted.end_users is None else _terms(wanted.end_users).as_row(),
            tier=wanted.tier,
            created_at=self._clock.now(),
            created_by=_ACTOR.id,
        )
        await repository.add(unit.session, row)
        if wanted.budget is not None:
            await open_budget(unit.session, tenant.id, "key", row.id, wanted.budget, now=self._clock.now())
        await self._audit.record(unit, _ACTOR, "api_key.create", row.id, tenant_id=tenant.id, name=row.name)
        return True

    async def _existing_tenant(self, unit: UnitOfWork, slug: str, where: str) -> Tenant:
        tenant = await repository.tenant_by_slug(unit.session, slug)
        if tenant is None:
            raise BootstrapRefused(f"{where}: there is no tenant {slug!r}")
        return tenant

    async def _existing_user(self, unit: UnitOfWork, address: str, where: str) -> User:
        user = await repository.user_by_email(unit.session, _email(address))
        if user is None:
            raise BootstrapRefused(f"{where}: there is no person {address!r}")
        return user


def _terms(wanted: EndUserSettings) -> EndUserTerms:
    budget = wanted.budget
    return EndUserTerms.checked(
        limit_nano=None if budget is None else nano_from_usd(budget.limit_usd),
        window=None if budget is None else budget.window,
        rate_limit={} if wanted.rate_limit is None else wanted.rate_limit.model_dump(),
    )


def _email(text: str) -> str:
    try:
        return canonical_email(text)
    except BadRequest:
        raise BootstrapRefused(f"bootstrap: {text!r} is not an e-mail address") from None


def _secret(reference: SecretRef, where: str) -> str:
    try:
        return reference.resolve()
    except SecretUnavailable as error:
        raise BootstrapRefused(f"{where}: {error}") from None
