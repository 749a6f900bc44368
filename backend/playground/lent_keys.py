"""API keys for who calls from a page: a real key of the person's tenant, made when it is first needed and known to this process alone.

So a call from a page is a call like any other: the same limits, budgets, permissions and row in the ledger. The key expires by itself an
hour after its last use, is refused when its owner leaves the tenant, and an admin may revoke it like any key.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backend.identity.end_users import EndUserTerms
from backend.identity.principal import Principal, system
from backend.identity.schemas import NewKey, TenantView
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.kernel.clock import Clock
from backend.kernel.errors import BourseError, Conflict, InvalidApiKey, NotFound

LIFETIME = timedelta(hours=1)
RENEWED_WITHIN = timedelta(minutes=20)
"""A key that is used so shortly before its end lives for another `LIFETIME`."""
VISITORS = "playground-visitors"
"""The slug of the tenant that pays for people who are not signed in; suspending it closes the playground to them."""
REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE, PARALLEL = 20, 40_000, 4
"""What one address may do without signing in."""
_TERMS = EndUserTerms.checked(
    limit_nano=None,
    window=None,
    rate_limit={"requests_per_minute": REQUESTS_PER_MINUTE, "tokens_per_minute": TOKENS_PER_MINUTE, "parallel": PARALLEL},
)
_ALL_VISITORS = {"requests_per_minute": 600, "parallel": 32}
"""What all addresses together may do at one process."""
_TAG = "playground"
_ACTOR = system("playground")


@dataclass(frozen=True, slots=True)
class _Lent:
    key_id: str
    tenant_id: str
    authorization: str = field(repr=False)
    expires_at: datetime


class LentKeys:
    def __init__(self, identity: IdentityService, auth: AuthSnapshot, clock: Clock) -> None:
        self._identity = identity
        self._auth = auth
        self._clock = clock
        self._held: dict[tuple[str, str], _Lent] = {}
        self._making = asyncio.Lock()

    async def for_person(self, who: Principal) -> str:
        """The `Authorization` header of calls that a member makes from a page, in his tenant.

        Raises:
            PermissionDenied: he may make no keys there.
        """
        tenant_id = who.tenant_id or ""

        async def make() -> NewKey:
            return await self._identity.keys.create(who, tenant_id, name="Playground", tags=[_TAG], expires_at=self._ends())

        return await self._good((tenant_id, who.id), who, make)

    async def for_visitors(self, models: Sequence[str]) -> str:
        """The header of calls by who is not signed in; the body's `user` must name the address. It opens these models alone."""

        async def make() -> NewKey:
            keys, tenant = self._identity.keys, await self._visitors()
            new = await keys.create(
                _ACTOR,
                tenant.id,
                name="Playground visitors",
                models=models,
                tags=[_TAG],
                expires_at=self._ends(),
                rate_limit=_ALL_VISITORS,
            )
            await keys.set_end_users(_ACTOR, tenant.id, new.view.id, _TERMS)
            return new

        return await self._good((VISITORS, "\n".join(models)), _ACTOR, make)

    async def _good(self, place: tuple[str, str], who: Principal, make: Callable[[], Awaitable[NewKey]]) -> str:
        async with self._making:
            now = self._clock.now()
            held = self._held.get(place)
            if held is not None and held.expires_at > now and self._is_accepted(held):
                if held.expires_at <= now + RENEWED_WITHIN:
                    await self._identity.keys.change(who, held.tenant_id, held.key_id, expires_at=self._ends())
                    held = _Lent(held.key_id, held.tenant_id, held.authorization, self._ends())
                    self._held[place] = held
                return held.authorization
            self._held = {place: lent for place, lent in self._held.items() if lent.expires_at > now}
            new = await make()
            await self._auth.load()
            lent = _Lent(new.view.id, new.view.tenant_id, f"Bearer {new.text}", new.view.expires_at or now)
            self._held[place] = lent
            return lent.authorization

    def _is_accepted(self, held: _Lent) -> bool:
        """Whether it was not revoked meanwhile; of a suspended tenant the call itself tells."""
        try:
            self._auth.authenticate(held.authorization, address="")
        except InvalidApiKey:
            return False
        except BourseError:
            return True
        return True

    def _ends(self) -> datetime:
        return self._clock.now() + LIFETIME

    async def _visitors(self) -> TenantView:
        try:
            return await self._identity.tenants.get(_ACTOR, VISITORS)
        except NotFound:
            pass
        try:
            return await self._identity.tenants.create(_ACTOR, slug=VISITORS, name="Playground visitors")
        except Conflict:
            # Another process was faster.
            return await self._identity.tenants.get(_ACTOR, VISITORS)
