"""Lets a call in or refuses it: `await limiter.admit(key, tokens)` before it, `admission.settle(tokens)` after it.

One process alone counts in memory, exactly. With Redis all replicas count there, exactly. Several replicas without Redis count for
themselves, each a share of the limit, and say so in a header and a metric; so does every process while Redis is away.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from backend.identity.end_users import EndUser
from backend.identity.snapshot import KeyRecord
from backend.kernel.clock import Clock
from backend.kernel.days import day_number
from backend.kernel.db import Database
from backend.kernel.errors import RateLimited
from backend.kernel.tasks import end_tasks
from backend.limits.admission import Admission
from backend.limits.book import LimitBook
from backend.limits.memory import MemoryLimiter
from backend.limits.redis_link import LinkDown
from backend.limits.schemas import Scope, Unit
from backend.limits.shared import ANSWER_SECONDS, SharedLimiter
from backend.limits.window import COUNTED
from backend.metering import repository as ledger
from backend.observability.metrics import Metrics

log = structlog.get_logger(__name__)

TIDY_SECONDS = 30
LEDGER_SECONDS = 1.0
_OF_TOKENS = frozenset({Unit.TOKENS.value, Unit.DAY_TOKENS.value})


class Limiter:
    """Holds every call of this process to the limits of its key, user, tenant and end user, wherever they are counted.

    Args:
        book: who has which limits.
        db: the ledger, asked once a day for each scope with a daily quota.
        redis_url: where replicas count together; None = every process for itself.
        known_replicas: how many processes share the traffic; asked whenever this one counts for itself.
        answer_seconds: how long Redis may be silent while an answer is due; then it is taken for away.
    """

    def __init__(
        self,
        book: LimitBook,
        db: Database,
        clock: Clock,
        metrics: Metrics,
        *,
        redis_url: str | None = None,
        known_replicas: Callable[[], int] = lambda: 1,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._book = book
        self._db = db
        self._clock = clock
        self._metrics = metrics
        self._known_replicas = known_replicas
        self._memory = MemoryLimiter(clock)
        self._redis_url = redis_url
        self._answer_seconds = answer_seconds
        self._shared: SharedLimiter | None = None
        self._last_degraded = float("-inf")
        self._days_known: dict[str, int] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._tidying: asyncio.Task[None] | None = None
        metrics.limits_redis_up.set_function(lambda: self.counts_in_redis)
        metrics.limits_degraded.set_function(lambda: self.is_degraded)

    async def start(self) -> None:
        if self._redis_url is not None:
            self._shared = SharedLimiter(self._redis_url, self._memory, self._redis_changed, answer_seconds=self._answer_seconds)
            await self._shared.start()
        self._tidying = asyncio.create_task(self._tidy(), name="limits-tidy")

    async def stop(self) -> None:
        await end_tasks(self._tidying)
        if self._shared is not None:
            await self._shared.stop()

    async def admit(
        self, key: KeyRecord, tokens: int, exact: Callable[[], Awaitable[int]] | None = None, end_user: EndUser | None = None
    ) -> Admission:
        """Let a call in under every limit of its key, user and tenant, and of the key's end user, or under none.

        Args:
            tokens: an upper bound of what the call may use, prompt and answer.
            exact: counts more exactly, at a price; asked once, if the bound is all that stands in the way.

        Raises:
            RateLimited, ParallelLimitExceeded, QuotaExceeded: with `retry_after` in seconds and `x-ratelimit-*` headers.
        """
        scopes = self._book.scopes_of(key)
        if end_user is not None and (scope := self._book.scope_of(end_user)) is not None:
            scopes = (*scopes, scope)
        if not scopes:
            return Admission(_nothing_held, 0, 0, 0, 0)
        for scope in scopes:
            if scope.has_quota:
                await self._learn_day(scope)
        try:
            try:
                return await self._admit(scopes, tokens)
            except RateLimited as error:
                if exact is None or error.details.get("limit") not in _OF_TOKENS:
                    raise
                counted = await exact()
                if counted >= tokens:
                    raise
                return await self._admit(scopes, counted)
        except RateLimited as error:
            self._metrics.limit_refusals.labels(error.details["scope"], error.details["limit"]).inc()
            raise

    async def _admit(self, scopes: tuple[Scope, ...], tokens: int) -> Admission:
        shared = self._shared
        if shared is None:
            replicas = self._known_replicas()
            if replicas <= 1:
                return self._memory.admit(scopes, tokens)
            return self._memory.admit([scope.share(replicas) for scope in scopes], tokens, degraded=True)
        if shared.is_up:
            hold = None
            if self._clock.monotonic() < self._last_degraded + COUNTED:
                # Redis does not know what was let in without it, so for a minute the shares hold as well.
                hold = self._memory.hold(self._shares(scopes), tokens)
            try:
                return await shared.admit(scopes, tokens, hold)
            except BaseException as error:
                if hold is not None:
                    hold.undo()
                if not isinstance(error, LinkDown):
                    raise
        self._last_degraded = self._clock.monotonic()
        admission = self._memory.admit(self._shares(scopes), tokens, degraded=True)
        shared.follow(admission, scopes)
        return admission

    def _shares(self, scopes: tuple[Scope, ...]) -> list[Scope]:
        replicas = max(1, self._known_replicas())
        return [scope.share(replicas) for scope in scopes]

    @property
    def counts_in_redis(self) -> bool:
        """Whether a call that comes now is counted together with those of the other processes."""
        return self._shared is not None and self._shared.is_up

    @property
    def is_degraded(self) -> bool:
        """Whether it is counted here as this process's share, because others count too and nothing shared is there."""
        return not self.counts_in_redis and (self._shared is not None or self._known_replicas() > 1)

    def _redis_changed(self, is_up: bool) -> None:
        if not is_up:
            self._metrics.limits_redis_failures.inc()
            # It may come back empty, whether a call came meanwhile or not.
            self._last_degraded = self._clock.monotonic()

    # Daily quotas ------------------------------------------------------------------------------------------------------------------

    async def _learn_day(self, scope: Scope) -> None:
        """The first time that a scope's day is asked for, ask the ledger what is used of it: this process may just have started."""
        number = self._memory.day_of(scope)[0]
        if self._days_known.get(scope.name) == number:
            return
        asking = self._asking.get(scope.name)
        if asking is None:
            asking = self._asking[scope.name] = asyncio.create_task(self._ask_ledger(scope, number), name="limits-ledger")
        # All calls of a scope wait for one answer; it is somebody else's too if this one is cancelled.
        await asyncio.shield(asking)

    async def _ask_ledger(self, scope: Scope, number: int) -> None:
        since = datetime.fromtimestamp(day_number(scope.zone, number).start, UTC)
        try:
            async with asyncio.timeout(LEDGER_SECONDS), self._db.read() as session:
                key_id, user_id = (scope.id if scope.kind == kind else None for kind in ("key", "user"))
                requests, tokens = await ledger.used_since(session, scope.tenant_id, since, key_id=key_id, user_id=user_id)
        except Exception as error:
            # The quota is then counted from here on; the finished task stays for a while, so that not every call waits for a dead database.
            log.warning("limits.ledger_not_asked", scope=scope.name, error=type(error).__name__)
            return
        self._memory.learn_day(scope, number, requests, tokens)
        self._days_known[scope.name] = number
        self._asking.pop(scope.name, None)

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            self._memory.forget_idle()
            self._book.forget_end_users(self._memory.__contains__)
            for name in [name for name, asking in self._asking.items() if asking.done()]:
                del self._asking[name]
            if self._shared is not None:
                self._shared.forget_idle()


def _nothing_held(_: int) -> None:
    return None
