"""Access tokens: how a program of a super admin's asks the REST surface, where he himself would have a session.

`bt-<id>.<secret>`, made as API keys are, ends by itself and opens nothing on `/v1`. What is kept is the SHA-256 of the whole of it. Whose
token it is is asked of the database at every request, so revoking it, disabling its owner or taking his rights counts from the next one on.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backend.audit.service import AuditService
from backend.identity import repository
from backend.identity.keys import generate_key
from backend.identity.names import canonical_name
from backend.identity.principal import Principal, require_super_admin
from backend.identity.tables import AccessToken
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, NotFound, SignInRequired
from backend.kernel.ids import new_id

PREFIX = "bt-"
LIFETIME, LONGEST = timedelta(days=90), timedelta(days=366)
_BEARER = "bearer "
_LONGEST_TEXT = 512
_TOUCH_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TokenView:
    """`status`: active, expired or revoked."""

    id: str
    public_id: str
    name: str
    user_id: str
    status: str
    created_at: datetime
    created_by: str | None
    expires_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made. `text` is shown once: it is stored nowhere."""

    view: TokenView
    text: str = field(repr=False)


def is_token(authorization: str) -> bool:
    """Whether an `Authorization` header holds something that looks like an access token, and not an API key."""
    return authorization[: len(_BEARER)].lower() == _BEARER and authorization[len(_BEARER) :].strip().startswith(PREFIX)


class TokenService:
    """Every method but `owner` raises PermissionDenied for all but super admins."""

    def __init__(self, db: Database, clock: Clock, audit: AuditService) -> None:
        self._db = db
        self._clock = clock
        self._audit = audit

    async def create(self, principal: Principal, user_id: str, *, name: str, expires_at: datetime | None = None) -> NewToken:
        """A token of a super admin; it ends after 90 days, or when `expires_at` says, within a year.

        Raises:
            NotFound: no such person. BadRequest: he is no super admin or disabled, no name, or an end that is past or too far.
        """
        require_super_admin(principal, "make access tokens")
        shown, now = canonical_name(name), self._clock.now()
        ends = expires_at or now + LIFETIME
        if not now < ends <= now + LONGEST:
            raise BadRequest("An access token ends in the future, within a year.", param="expires")
        made = generate_key()
        text = f"{PREFIX}{made.public_id}.{made.secret}"
        async with self._db.write() as unit:
            user = await repository.user_by_id(unit.session, user_id)
            if user is None:
                raise NotFound("There is no such person.")
            if not user.is_super_admin or user.status != "active":
                raise BadRequest("Access tokens are for super admins whose account is active.", param="user")
            row = AccessToken(
                id=new_id("access"),
                public_id=made.public_id,
                sha256=_sha256(text),
                user_id=user.id,
                name=shown,
                created_at=now,
                created_by=principal.id,
                expires_at=ends,
            )
            await repository.add(unit.session, row)
            await self._audit.record(unit, principal, "access.create", row.id, name=shown, of=user.id, expires_at=ends.isoformat())
            return NewToken(self._view(row), text)

    async def of_user(self, principal: Principal, user_id: str) -> list[TokenView]:
        """A person's tokens, the newest first, with those that have ended."""
        require_super_admin(principal, "see access tokens")
        async with self._db.read() as session:
            return [self._view(row) for row in await repository.access_tokens(session, user_id)]

    async def revoke(self, principal: Principal, name: str) -> TokenView:
        """End the token with that id or public part for good. One that is revoked stays so.

        Raises:
            NotFound: there is none.
        """
        require_super_admin(principal, "revoke access tokens")
        async with self._db.write() as unit:
            row = await repository.access_token(unit.session, name.removeprefix(PREFIX).partition(".")[0])
            if row is None:
                raise NotFound("There is no such access token.")
            if row.revoked_at is None:
                row.revoked_at = self._clock.now()
                await repository.add(unit.session, row)
                await self._audit.record(unit, principal, "access.revoke", row.id, name=row.name, of=row.user_id)
            return self._view(row)

    async def owner(self, authorization: str, *, address: str = "", request_id: str = "") -> Principal:
        """The super admin whose token an `Authorization` header holds; one query.

        Raises:
            SignInRequired: it is unknown, has ended, or its owner is a super admin no more. One answer for all.
        """
        text = authorization[len(_BEARER) :].strip()
        now = self._clock.now()
        if is_token(authorization) and len(text) <= _LONGEST_TEXT:
            async with self._db.read() as session:
                found = await repository.access_token_owner(session, _sha256(text), now)
            if found is not None:
                row, user = found
                if row.last_used_at is None or row.last_used_at <= now - _TOUCH_EVERY:
                    async with self._db.write() as unit:
                        await repository.touch_access_token(unit.session, row.id, now)
                return Principal(
                    kind="user",
                    id=user.id,
                    is_super_admin=True,
                    name=user.name or user.email,
                    email=user.email,
                    address=address,
                    request_id=request_id,
                    via=row.id,
                )
        raise SignInRequired(
            "This needs a session, or an access token of a super admin that has not ended. API keys open /v1 only.", code="invalid_access"
        )

    def _view(self, row: AccessToken) -> TokenView:
        status = "revoked" if row.revoked_at is not None else "expired" if row.expires_at <= self._clock.now() else "active"
        return TokenView(
            row.id, row.public_id, row.name, row.user_id, status, row.created_at, row.created_by, row.expires_at, row.last_used_at
        )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
