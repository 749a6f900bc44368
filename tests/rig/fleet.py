"""Several gateways, each a process, on one database: what callers meet behind a load balancer."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from backend.audit.service import AuditService
from backend.budgets.service import BudgetService
from backend.identity.principal import Role, system
from backend.identity.service import IdentityService
from backend.kernel.clock import SystemClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.limits.service import LimitService
from backend.settings import RateLimit, Settings
from tests.rig.server import AppServer

OPERATOR = system("test")
NO_LIMITS = RateLimit(requests_per_minute=0, tokens_per_minute=0, parallel=0)


Patience = Callable[[], float]


def forever() -> float:
    return 300.0


@dataclass(frozen=True)
class Key:
    """`text` is what a caller sends."""

    text: str
    id: str
    tenant_id: str
    user_id: str | None = None


class Operator:
    """An operator's hand on the database, beside the replicas and not through them. Amounts in nano-dollars."""

    def __init__(self, db: Database) -> None:
        clock, settings = SystemClock(), Settings()
        audit = AuditService(clock)
        self.db = db
        self.identity = IdentityService(db, clock, audit, settings)
        self.tenants, self.keys = self.identity.tenants, self.identity.keys
        self.budgets = BudgetService(db, clock, audit, settings)
        self.limits = LimitService(db, clock, audit, NO_LIMITS)
        self._count = 0

    def close(self) -> None:
        self.identity.close()

    async def tenant(self, budget: int | None = None, *, zone: str = "UTC", window: str = "calendar_month") -> str:
        """A new tenant's id."""
        self._count += 1
        tenant = await self.tenants.create(OPERATOR, slug=f"t{self._count}-{random.randrange(16**6):06x}", timezone=zone)
        if budget is not None:
            await self.budgets.set(OPERATOR, tenant.id, "tenant", tenant.id, limit_nano=budget, window=window)
        return tenant.id

    async def user(self, tenant_id: str, budget: int | None = None) -> str:
        """A new member of a tenant: his id."""
        self._count += 1
        person = await self.identity.create_user(OPERATOR, email=f"u{self._count}-{random.randrange(16**6):06x}@example.org", name="U")
        await self.tenants.set_member(OPERATOR, tenant_id, email=person.email, role=Role.MEMBER)
        if budget is not None:
            await self.budgets.set(OPERATOR, tenant_id, "user", person.id, limit_nano=budget)
        return str(person.id)

    async def key(
        self,
        tenant_id: str | None = None,
        *,
        owner: str | None = None,
        budget: int | None = None,
        window: str = "calendar_month",
        limits: Mapping[str, Any] = {},
    ) -> Key:
        """A new key, in a tenant of its own unless one is named."""
        tenant_id = tenant_id or await self.tenant()
        # Nobody may use it before what binds it is there: a replica that answers it knows that, too.
        closed = ["192.0.2.1/32"] if budget is not None or limits else None
        made = await self.keys.create(OPERATOR, tenant_id, name="till", owner_user_id=owner, allowed_addresses=closed)
        if budget is not None:
            await self.budgets.set(OPERATOR, tenant_id, "key", made.view.id, limit_nano=budget, window=window)
        if limits:
            await self.limits.set(OPERATOR, tenant_id, "key", made.view.id, limits)
        if closed is not None:
            await self.keys.change(OPERATOR, tenant_id, made.view.id, allowed_addresses=None)
        return Key(made.text, made.view.id, tenant_id, owner)


async def _text(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as answer:
        return await answer.text()


@asynccontextmanager
async def operator_of(database_url: str) -> AsyncIterator[Operator]:
    db = Database.open(database_url, EventBus())
    operator = Operator(db)
    try:
        yield operator
    finally:
        operator.close()
        await db.close()


@dataclass
class Fleet:
    """`urls` are those of the replicas; where one has several workers, they share its URL."""

    servers: Sequence[AppServer]
    database_url: str
    redis_url: str | None = None
    urls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.urls = self.urls or [server.url for server in self.servers]

    async def knows(self, *keys: Key, status: int = 200) -> None:
        """Wait until every replica answers the keys so; a new key is known everywhere within a second. And until each counts in Redis where
        there is one: on a busy machine it may have lost it for a moment."""
        async with asyncio.timeout(30), crowd() as session:
            if self.redis_url is not None:
                with suppress(TimeoutError):  # where it is away on purpose
                    async with asyncio.timeout(12):
                        for url in self.urls:
                            while "bourse_limits_redis_up 1.0" not in await _text(session, f"{url}/metrics"):
                                await asyncio.sleep(0.05)
            for key in keys:
                for server, url in zip(self.servers, self.urls, strict=False):
                    seen = 0
                    while seen < (1 if server.workers == 1 else 6 * server.workers):
                        async with session.get(f"{url}/v1/budget", headers=_bearer(key)) as answer:
                            seen = seen + 1 if answer.status == status else 0
                        if not seen:
                            await asyncio.sleep(0.05)

    def call(self, session: aiohttp.ClientSession, key: Key, body: Any, number: int, **options: Any) -> Any:
        """One call, at the replica whose turn it is."""
        return session.post(f"{self.urls[number % len(self.urls)]}/v1/chat/completions", json=body, headers=_bearer(key), **options)

    async def storm(self, key: Key | Callable[[int], Key], body: Any, count: int, *, patience: Patience = forever) -> Counter[str]:
        """So many calls at once, and how many were answered how: `200`, a refusal by its status and code, or `gone` for one without answer.

        Args:
            patience: after how many seconds each caller hangs up.
        """
        key_of = key if callable(key) else lambda _: key

        async def one(number: int) -> str:
            try:
                async with self.call(session, key_of(number), body, number, timeout=aiohttp.ClientTimeout(patience())) as answer:
                    return await told(answer)
            except TimeoutError:
                return "gone"
            except aiohttp.ClientError as error:
                return f"gone: {type(error).__name__}"

        async with crowd() as session:
            return Counter(await asyncio.gather(*(one(number) for number in range(count))))


async def told(answer: aiohttp.ClientResponse) -> str:
    """`200`, or the status and the code of a refusal: `403 budget_exceeded`."""
    body = await answer.read()
    if answer.status == 200:
        return "200"
    try:
        error = json.loads(body)["error"]
        # What nobody expects says why.
        return f"{answer.status} {error['code']}" + (f": {error['message']}" if answer.status >= 500 else "")
    except (ValueError, KeyError):
        return f"{answer.status} {body[:200]!r}"


def crowd() -> aiohttp.ClientSession:
    """As many connections as there are calls, none of them used twice, so that workers that share a port share the calls too."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


def _bearer(key: Key) -> dict[str, str]:
    return {"authorization": f"Bearer {key.text}"}
