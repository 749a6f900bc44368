"""People: who they are, how they sign in, and the first of them. Tenants and members are next door in `tenants.py`, keys in `keys.py`.

A person holds a random 256-bit cookie; the database holds its SHA-256. Whoever asks for a `Principal` asks the database, so signing
out, a new password or a disabled account count from the next request and the next event on.
"""

import hashlib
import secrets
from collections.abc import Collection
from datetime import timedelta

import structlog

from backend.audit.service import AuditService
from backend.identity import repository
from backend.identity.api_keys import KeyService
from backend.identity.bootstrap import DEMO_TENANT, Bootstrap
from backend.identity.names import canonical_email, canonical_name
from backend.identity.passwords import Passwords, check_new_password
from backend.identity.principal import Principal, Role, require_super_admin, system
from backend.identity.schemas import SIGNED_OUT, NewSession, SessionView, TenantView, UserView
from backend.identity.tables import Membership, SignInSession, User
from backend.identity.tenants import TenantService
from backend.identity.throttle import Throttle
from backend.identity.tokens import TokenService
from backend.kernel.clock import Clock
from backend.kernel.db import Database, UnitOfWork
from backend.kernel.errors import BadRequest, BourseError, Conflict, NotFound, PermissionDenied, SignInRequired
from backend.kernel.ids import new_id
from backend.settings import Settings

log = structlog.get_logger(__name__)

SESSION_LIFETIME = timedelta(days=14)
SESSION_IDLE = timedelta(days=3)
_TOUCH_EVERY = timedelta(hours=1)
_KEEP_EXPIRED = timedelta(days=30)
_THROTTLE_SECONDS = 300.0
_ATTEMPTS_PER_ACCOUNT_AND_ADDRESS = 10
_ATTEMPTS_PER_ADDRESS = 100
_ATTEMPTS_PER_ACCOUNT = 1000
_SETUP = "setup"
_WRONG = "The e-mail address or the password is wrong."


class IdentityService:
    """Everything about people. `tenants` has tenants and memberships, `keys` their API keys, `tokens` super admins' access tokens."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService, settings: Settings) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit
        self._settings = settings
        self._passwords = Passwords()
        self._per_pair = Throttle(clock, limit=_ATTEMPTS_PER_ACCOUNT_AND_ADDRESS, seconds=_THROTTLE_SECONDS)
        self._per_address = Throttle(clock, limit=_ATTEMPTS_PER_ADDRESS, seconds=_THROTTLE_SECONDS)
        self._per_account = Throttle(clock, limit=_ATTEMPTS_PER_ACCOUNT, seconds=_THROTTLE_SECONDS)
        self.keys = KeyService(db, clock, audit, settings.rate_limits.default)
        self.tokens = TokenService(db, clock, audit)
        self.tenants = TenantService(db, clock, audit, settings, self.keys)

    def close(self) -> None:
        """End the password pool."""
        self._passwords.close()

    async def bootstrap(self) -> None:
        """Create what `settings.bootstrap` names and is not there yet, and the demo tenant in development; never update anything.

        Raises:
            BootstrapRefused: the configuration names something that cannot be made; nothing was created.
        """
        await Bootstrap(self._db, self._clock, self._audit, self._settings, self._passwords).run()

    # Sign-in -----------------------------------------------------------------------------------------------------------------------

    async def sign_in(
        self, email: str, password: str, *, address: str = "", user_agent: str = "", request_id: str = "", previous: str | None = None
    ) -> NewSession:
        """A new session for the person with that password; the `previous` one of the same browser ends.

        Raises:
            SignInRequired: no such person, wrong password, disabled: one answer after one amount of work.
            RateLimited: more than 10 attempts in 5 minutes on this account from this address, or too many at once.
        """
        try:
            account = canonical_email(email)
        except BadRequest:
            account = ""
        pair = f"{account}\n{address}"
        self._per_address.attempt(address)
        self._per_pair.attempt(pair)
        self._per_account.attempt(account)
        async with self._db.read() as session:
            user = await repository.user_by_email(session, account)
        fits = await self._passwords.verify(password, user.password_hash if user is not None else None)
        if user is None or not fits or user.status != "active":
            log.info("sign_in.failed", address=address, request_id=request_id)
            raise SignInRequired(_WRONG, code="sign_in_failed")
        self._per_pair.forget(pair)
        self._per_address.take_back(address)
        self._per_account.take_back(account)
        who = Principal(kind="user", id=user.id, email=user.email, address=address, request_id=request_id)
        async with self._db.write() as unit:
            if previous:
                await repository.revoke_session(unit.session, _session_id(previous), self._clock.now())
            return await self._begin_session(unit, who, user_agent)

    async def sign_out(self, cookie: str | None, *, address: str = "", request_id: str = "") -> None:
        """End the session of that cookie; a cookie that stands for nothing is fine."""
        if not cookie:
            return
        async with self._db.write() as unit:
            session_id = _session_id(cookie)
            user_id = await repository.revoke_session(unit.session, session_id, self._clock.now())
            if user_id is not None:
                who = Principal(kind="user", id=user_id, address=address, request_id=request_id)
                await self._audit.record(unit, who, "session.sign_out", user_id)

    async def session(self, cookie: str | None, *, tenant: str | None = None, address: str = "", request_id: str = "") -> SessionView:
        """Whom the cookie stands for now, acting in the tenant with that id or slug, else in his first by name.

        Never raises for a bad cookie: it stands for nobody. One query, none without a cookie.
        """
        if not cookie or len(cookie) > 128:
            return SIGNED_OUT
        now = self._clock.now()
        async with self._db.read() as session:
            owner = await repository.session_owner(session, _session_id(cookie), now)
        if owner is None or owner.last_seen_at <= now - SESSION_IDLE:
            return SIGNED_OUT
        if owner.last_seen_at <= now - _TOUCH_EVERY:
            async with self._db.write() as unit:
                await repository.touch_session(unit.session, owner.session_id, now)
        chosen = next((one for one in owner.memberships if tenant in one[:2]), None) if tenant else None
        if chosen is None and owner.memberships:
            chosen = owner.memberships[0]
        return SessionView(
            principal=Principal(
                kind="user",
                id=owner.user_id,
                tenant_id=chosen[0] if chosen else None,
                role=Role[chosen[4].upper()] if chosen else None,
                is_super_admin=owner.is_super_admin,
                name=owner.name or owner.email,
                email=owner.email,
                address=address,
                request_id=request_id,
            ),
            tenant_slug=chosen[1] if chosen else "",
            tenant_name=chosen[2] if chosen else "",
            expires_at=owner.expires_at,
        )

    async def _begin_session(self, unit: UnitOfWork, who: Principal, user_agent: str) -> NewSession:
        now = self._clock.now()
        cookie = secrets.token_urlsafe(32)
        await repository.delete_sessions_before(unit.session, now - _KEEP_EXPIRED)
        await repository.add(
            unit.session,
            SignInSession(
                id=_session_id(cookie),
                user_id=who.id,
                created_at=now,
                last_seen_at=now,
                expires_at=now + SESSION_LIFETIME,
                user_agent=_printable(user_agent)[:255],
                address=who.address[:64],
            ),
        )
        await self._audit.record(unit, who, "session.sign_in", who.id)
        return NewSession(cookie=cookie, expires_at=now + SESSION_LIFETIME, user_id=who.id)

    # People ------------------------------------------------------------------------------------------------------------------------

    async def create_user(
        self, principal: Principal, *, email: str, password: str | None = None, name: str = "", is_super_admin: bool = False
    ) -> UserView:
        """A new person; without a password he cannot sign in with one.

        Raises:
            PermissionDenied: only a super admin may do this. Conflict: the address has an account. BadRequest: address, name or password.
        """
        require_super_admin(principal)
        account = canonical_email(email)
        shown = canonical_name(name) if name else ""
        if password is not None:
            check_new_password(password)
        password_hash = await self._passwords.hash(password) if password is not None else None
        async with self._db.write() as unit:
            await unit.mark_changed()
            if await repository.user_by_email(unit.session, account) is not None:
                raise Conflict("There is already an account with this e-mail address.", param="email")
            user = User(
                id=new_id("user"),
                email=account,
                name=shown,
                password_hash=password_hash,
                is_super_admin=is_super_admin,
                created_at=self._clock.now(),
            )
            await repository.add(unit.session, user)
            await self._audit.record(unit, principal, "user.create", user.id, email=account, super_admin=is_super_admin)
        return UserView.of(user)

    async def users(self, principal: Principal) -> list[UserView]:
        """Everybody who has an account, by address.

        Raises:
            PermissionDenied: only a super admin may see this.
        """
        require_super_admin(principal)
        async with self._db.read() as session:
            return [UserView.of(user) for user in await repository.users(session)]

    async def people(self, principal: Principal, ids: Collection[str]) -> dict[str, UserView]:
        """Those of these ids that have an account, by id; raises as `users`."""
        require_super_admin(principal)
        if not ids:
            return {}
        async with self._db.read() as session:
            return {user.id: UserView.of(user) for user in await repository.users_of(session, ids)}

    async def user(self, principal: Principal, name: str) -> UserView:
        """The person with that id or e-mail address.

        Raises:
            PermissionDenied: only a super admin may look at others. NotFound. BadRequest: neither an id nor an address.
        """
        if not (principal.kind == "user" and name in (principal.id, principal.email)):
            require_super_admin(principal)
        async with self._db.read() as session:
            user = await repository.user_by_id(session, name)
            if user is None:
                user = await repository.user_by_email(session, canonical_email(name))
        if user is None:
            raise NotFound("There is no such person.")
        return UserView.of(user)

    async def tenants_of(self, principal: Principal, user_id: str) -> list[TenantView]:
        """The tenants that a person belongs to, by name, with his roles.

        Raises:
            PermissionDenied: only a super admin may look at others.
        """
        if principal.kind != "user" or principal.id != user_id:
            require_super_admin(principal)
        async with self._db.read() as session:
            return [TenantView.of(tenant, role) for tenant, role in await repository.tenants(session, of_user=user_id)]

    async def set_super_admin(self, principal: Principal, user_id: str, is_super_admin: bool) -> None:
        """Make a person a super admin, or an ordinary one again; counts from his next request on.

        Raises:
            PermissionDenied: only a super admin may do this. NotFound. Conflict: a super admin cannot demote himself.
        """
        require_super_admin(principal)
        if not is_super_admin and principal.id == user_id:
            raise Conflict("You cannot take your own rights away. Ask another super admin.")
        async with self._db.write() as unit:
            if await repository.user_by_id(unit.session, user_id) is None:
                raise NotFound("There is no such person.")
            await repository.update_user(unit.session, user_id, is_super_admin=is_super_admin)
            await self._audit.record(unit, principal, "user.set_super_admin", user_id, super_admin=is_super_admin)

    async def set_password(self, principal: Principal, user_id: str, password: str) -> None:
        """Give a person (oneself, or by a super admin anybody) a new password; all his sessions end.

        Raises:
            PermissionDenied, NotFound, BadRequest.
        """
        if principal.id != user_id or principal.kind != "user":
            require_super_admin(principal)
        check_new_password(password)
        password_hash = await self._passwords.hash(password)
        async with self._db.write() as unit:
            if await repository.user_by_id(unit.session, user_id) is None:
                raise NotFound("There is no such person.")
            await repository.update_user(unit.session, user_id, password_hash=password_hash)
            await repository.revoke_sessions_of(unit.session, user_id, self._clock.now())
            await self._audit.record(unit, principal, "user.set_sign_in", user_id)

    async def set_user_status(self, principal: Principal, user_id: str, status: str) -> None:
        """Make an account `active` or `disabled`; disabling ends his sessions at once and his keys within the change feed's delay.

        Raises:
            PermissionDenied, NotFound; Conflict when a super admin would lock himself out.
        """
        require_super_admin(principal)
        if status not in ("active", "disabled"):
            raise BadRequest("A person is active or disabled.", param="status")
        if status == "disabled" and principal.id == user_id:
            raise Conflict("You cannot disable your own account.")
        async with self._db.write() as unit:
            await unit.mark_changed()
            if await repository.user_by_id(unit.session, user_id) is None:
                raise NotFound("There is no such person.")
            await repository.update_user(unit.session, user_id, status=status)
            if status == "disabled":
                await repository.revoke_sessions_of(unit.session, user_id, self._clock.now())
            await self._audit.record(unit, principal, "user.set_status", user_id, status=status)

    # First run ---------------------------------------------------------------------------------------------------------------------

    async def open_setup(self) -> str | None:
        """A fresh one-time token for making the first admin, or None when there are people already. Only its hash is kept, so an
        earlier token that was not used is worthless from now on."""
        async with self._db.write() as unit:
            await repository.take_turn(unit.session)
            if await repository.has_users(unit.session):
                return None
            token = secrets.token_urlsafe(24)
            await repository.put_setting(unit.session, _SETUP, {"sha256": _sha256(token)}, self._clock.now())
        return token

    async def setup_is_open(self) -> bool:
        """Whether nobody has an account yet, so that the first-run page makes sense."""
        async with self._db.read() as session:
            return not await repository.has_users(session)

    async def complete_setup(
        self, token: str, email: str, password: str, *, address: str = "", user_agent: str = "", request_id: str = ""
    ) -> NewSession:
        """Make the first super admin, who also owns the demo tenant where there is one, and sign him in. The token is used up.

        Raises:
            PermissionDenied: the token is wrong or used, or there is somebody already (who loses a race sees this).
            BadRequest: address or password. RateLimited: too many attempts from this address.
        """
        self._per_address.attempt(address)
        await self._check_setup_token(token)
        account = canonical_email(email)
        check_new_password(password)
        password_hash = await self._passwords.hash(password)
        now = self._clock.now()
        async with self._db.write() as unit:
            await repository.take_turn(unit.session)
            stored = await repository.setting(unit.session, _SETUP)
            if not _token_fits(token, stored) or await repository.has_users(unit.session):
                raise _setup_closed()
            await unit.mark_changed()
            user = User(id=new_id("user"), email=account, password_hash=password_hash, is_super_admin=True, created_at=now)
            await repository.add(unit.session, user)
            await repository.remove_setting(unit.session, _SETUP)
            who = Principal(kind="user", id=user.id, email=account, is_super_admin=True, address=address, request_id=request_id)
            await self._audit.record(unit, system("setup"), "user.create", user.id, email=account, super_admin=True)
            demo = await repository.tenant_by_slug(unit.session, DEMO_TENANT)
            if demo is not None:
                await repository.add(unit.session, Membership(tenant_id=demo.id, user_id=user.id, role="owner", created_at=now))
                await self._audit.record(unit, system("setup"), "membership.create", user.id, tenant_id=demo.id, role="owner")
            return await self._begin_session(unit, who, user_agent)

    async def _check_setup_token(self, token: str) -> None:
        """Refuse a wrong token before any work is done for it."""
        async with self._db.read() as session:
            stored = await repository.setting(session, _SETUP)
            if not _token_fits(token, stored) or await repository.has_users(session):
                raise _setup_closed()


def _setup_closed() -> BourseError:
    return PermissionDenied(
        "This setup link is not valid. It works once; restarting Bourse prints a new one while there is no account.", code="setup_closed"
    )


def _token_fits(token: str, stored: dict[str, str] | None) -> bool:
    return stored is not None and secrets.compare_digest(_sha256(token), stored["sha256"])


def _session_id(cookie: str) -> str:
    return _sha256(cookie)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
