"""When a call begins: one tenant's flood costs the others little, and a process that is behind takes the most important calls.

What calls compete for is the loop's time. So in each turn of the loop each tenant may begin a call, and what a tenant asks beyond that
waits in a line of its own, which moves up by a few in each turn. A caller who waits cannot ask for more on his connection, which is what
bounds the cost of a flood: who is turned away at once comes back at once. While a call waits for its provider it costs nobody anything;
when its answer has come, it takes its turn again if others of its tenant wait, so that many answers at once are not all worked on in one
turn.

Turns cost something themselves: a quarter of a call if it takes one for itself, a thirtieth if three share one. A tenant that has been
alone for minutes, in a process that is not late, is let through without looking.
"""

import asyncio
from collections import deque

from backend.gateway.load.level import Load
from backend.identity.snapshot import KeyRecord
from backend.kernel.errors import Overloaded
from backend.observability.metrics import Metrics
from backend.settings import OverloadSettings

STRANGERS = ""
"""Callers without a good key share a line as if they were a tenant."""
_NOBODY = "nobody"
"""No tenant's id."""
_ALONE_AFTER = 3000
"""Looks, ten a second, at which no second tenant was seen."""
STEPS = 3
"""Calls of a line that begin, or go on, in a turn: half a millisecond of work."""
_SHED_LAST_STEPS = 2 * STEPS
_TOO_LATE = "So much was to be done that this call's turn did not come in time."
_RETRY_SECONDS = {"high": 2.0, "degraded": 5.0}

Told = Overloaded | None
"""What a waiting call is told: to begin, or why not."""


class _Line:
    __slots__ = ("answered", "steps", "waiting")

    def __init__(self, steps: int) -> None:
        self.steps = steps
        """Calls that begin, or go on, in a turn."""
        self.waiting: deque[tuple[asyncio.Future[Told], float]] = deque()
        self.answered: deque[asyncio.Future[None]] = deque()


class Gate:
    """`passes` first; where it says no, `wait`."""

    def __init__(self, settings: OverloadSettings, load: Load, metrics: Metrics) -> None:
        self._longest = settings.queue
        self._patience = settings.wait.total_seconds()
        self._first, self._last = frozenset(settings.shed_first), frozenset(settings.shed_last)
        self._load = load
        self._metrics = metrics
        self._only = ""
        """The one tenant that asks anything; empty before it is known who that is, nobody while there are several."""
        self._seen: set[str] = set()
        """Of late, while there are several."""
        self._lonely_looks = 0
        self._had_theirs: set[str] = set()
        """Tenants that have begun a call in this turn, or have calls waiting."""
        self._turning = False
        self._lines: dict[str, _Line] = {}
        self._refused: deque[tuple[asyncio.Future[Told], Overloaded]] = deque()
        load.waited = self.look

    def passes(self, tenant_id: str) -> bool:
        """Whether a call may begin at once. It is taken to begin then."""
        if tenant_id == self._only:
            return True
        if not self._only:
            self._only = tenant_id
            return True
        self._only = _NOBODY
        self._seen.add(tenant_id)
        if tenant_id in self._had_theirs or self._load.level != "normal":
            return False
        self._had_theirs.add(tenant_id)
        if not self._turning:
            self._turn_next(asyncio.get_running_loop())
        return True

    async def wait(self, key: KeyRecord | None) -> None:
        """Return when a call of this key (None: of a stranger) may begin.

        Raises:
            Overloaded: it may not, and when to come back.
        """
        loop = asyncio.get_running_loop()
        tenant_id, tier = (key.tenant_id, key.tier) if key is not None else (STRANGERS, None)
        line = self._lines.get(tenant_id)
        future: asyncio.Future[Told] = loop.create_future()
        refusal = self._refusal(tier, line, loop.time())
        if refusal is not None:
            self._refused.append((future, refusal))
        else:
            if line is None:
                line = self._lines[tenant_id] = _Line(_SHED_LAST_STEPS if tier in self._last else STEPS)
                self._had_theirs.add(tenant_id)
            line.waiting.append((future, loop.time()))
        if not self._turning:
            self._turn_next(loop)
        told = await future
        if told is not None:
            raise told

    def is_crowded(self, tenant_id: str) -> bool:
        """Whether calls of the tenant wait, so that those which were answered should `go_on` in turn."""
        return tenant_id in self._lines

    async def go_on(self, tenant_id: str) -> None:
        """Return when a call that was answered may be worked on; before calls that have not begun."""
        line = self._lines.get(tenant_id)
        if line is not None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            line.answered.append(future)
            await future

    @property
    def waiting(self) -> int:
        """Calls that wait now, for their turn or to be refused."""
        return sum(len(line.waiting) for line in self._lines.values()) + len(self._refused)

    def look(self) -> float:
        """Called ten times a second. How long the median of the tenants that wait has waited for its turn, in seconds; 0 if there are not
        several."""
        self._look_for_others()
        if len(self._lines) < 2:
            return 0.0
        now = asyncio.get_running_loop().time()
        waited = sorted(now - line.waiting[0][1] for line in self._lines.values() if line.waiting)
        return waited[(len(waited) - 1) // 2] if len(waited) > 1 else 0.0

    def _look_for_others(self) -> None:
        if self._load.level != "normal" or len(self._seen) > 1:
            self._only, self._lonely_looks = _NOBODY, 0
            self._seen.clear()
        elif self._only == _NOBODY:
            self._lonely_looks += 1
            if self._lonely_looks >= _ALONE_AFTER:
                self._only, self._lonely_looks = "", 0
                self._seen.clear()

    def _refusal(self, tier: str | None, line: _Line | None, now: float) -> Told:
        """Why a call is not even let into its line."""
        level = self._load.level
        if level != "normal" and (tier in self._first or (level == "degraded" and line is not None and tier not in self._last)):
            return self._counted(level, "Bourse is very busy and takes other calls first.", _RETRY_SECONDS[level])
        if line is not None and len(line.waiting) >= self._longest:
            waited = now - line.waiting[0][1]
            return self._counted("queue", f"Too many calls of yours wait for their turn already ({self._longest}).", max(1.0, waited))
        return None

    def _counted(self, reason: str, message: str, retry_after: float) -> Overloaded:
        self._metrics.shed_calls.labels(reason).inc()
        return Overloaded(message, retry_after=retry_after)

    def _turn_next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turning = True
        loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop has turned: everybody may begin a call again, first of all those who wait, and one more of the refused is told so."""
        self._had_theirs.clear()
        self._turning = False
        if self._refused:
            future, refusal = self._refused.popleft()
            if not future.done():
                future.set_result(refusal)
        if self._lines:
            now = loop.time()
            for tenant_id, line in list(self._lines.items()):
                for _ in range(line.steps):
                    self._step(line, now)
                self._had_theirs.add(tenant_id)
                if not line.waiting and not line.answered:
                    del self._lines[tenant_id]
        if self._had_theirs or self._refused:
            self._turn_next(loop)

    def _step(self, line: _Line, now: float) -> None:
        """One call that was answered goes on, or else one begins; callers who have left take nobody's turn."""
        while line.answered:
            answered = line.answered.popleft()
            if not answered.done():
                answered.set_result(None)
                return
        while line.waiting:
            future, since = line.waiting.popleft()
            if not future.done():
                late = now - since > self._patience
                future.set_result(self._counted("wait", _TOO_LATE, 1.0) if late else None)
                return
