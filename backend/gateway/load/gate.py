"""Whose call begins next: one tenant's flood costs the others little, and a process that is behind takes the most important calls.

What calls compete for is the loop's time. So the gate lets a few calls begin in each turn of the loop; whoever comes beyond that waits, in
a line of his tenant's, and the tenants take turns. A caller who waits cannot ask for more on his connection, which is what bounds the
cost of a flood: turning it away at once would only make it come back at once. A call that has begun is not held again; while it waits for
its provider it costs nobody anything.
"""

import asyncio
from collections import deque

from backend.gateway.load.level import Load
from backend.identity.snapshot import KeyRecord
from backend.kernel.errors import Overloaded
from backend.observability.metrics import Metrics
from backend.settings import OverloadSettings

PER_TURN = 2
"""Calls that begin in one turn of the loop. A call takes some 0.2 ms until it waits for its provider; a turn by itself takes 0.01 ms."""
REFUSED_PER_TURN = 1
_STRANGERS = ""
_WEIGHTS = {"first": 1, "between": 2, "last": 4}
"""By when a tier is shed: calls that a tenant may begin when its turn comes."""

Waiting = tuple["asyncio.Future[Overloaded | None]", float]


class _Line:
    __slots__ = ("tenant_id", "waiting", "weight")

    def __init__(self, tenant_id: str, weight: int) -> None:
        self.tenant_id = tenant_id
        self.weight = weight
        self.waiting: deque[Waiting] = deque()


class Gate:
    """`passes` first; where it says no, `wait`."""

    def __init__(self, settings: OverloadSettings, load: Load, metrics: Metrics) -> None:
        self._longest = settings.queue
        self._patience = settings.wait.total_seconds()
        self._shed = dict.fromkeys(settings.shed_last, "last") | dict.fromkeys(settings.shed_first, "first")
        self._load = load
        self._metrics = metrics
        self._left = PER_TURN
        """Calls that may still begin in this turn without waiting; 0 while others wait or calls are being shed."""
        self._turning = False
        self._lines: dict[str, _Line] = {}
        self._round: deque[_Line] = deque()
        """The lines in the order of their turns."""
        self._refused: deque[tuple[asyncio.Future[Overloaded | None], Overloaded]] = deque()
        load.waited = self.tenants_wait

    def passes(self) -> bool:
        """Whether a call may begin at once. It is counted as begun then."""
        left = self._left
        if left <= 0:
            return False
        self._left = left - 1
        if not self._turning:
            self._turn_next(asyncio.get_running_loop())
        return True

    async def wait(self, key: KeyRecord | None) -> None:
        """Return when a call of this key (None: somebody whom we do not know) may begin.

        Raises:
            Overloaded: it may not, and when to come back.
        """
        loop = asyncio.get_running_loop()
        shed = self._shed.get(key.tier or "", "between") if key is not None else "between"
        tenant_id, weight = (key.tenant_id, _WEIGHTS[shed]) if key is not None else (_STRANGERS, 1)
        line = self._lines.get(tenant_id)
        future: asyncio.Future[Overloaded | None] = loop.create_future()
        refusal = self._refusal(shed, line)
        if refusal is not None:
            self._refused.append((future, refusal))
        else:
            if line is None:
                line = self._lines[tenant_id] = _Line(tenant_id, weight)
                self._round.append(line)
            line.waiting.append((future, loop.time()))
        self._left = 0
        if not self._turning:
            self._turn_next(loop)
        told = await future
        if told is not None:
            raise told

    @property
    def waiting(self) -> int:
        """Calls that wait now, for their turn or to be refused."""
        return sum(len(line.waiting) for line in self._round) + len(self._refused)

    def tenants_wait(self) -> float:
        """How long the median of the tenants that wait has waited for its turn, in seconds; 0 if there are not several."""
        if len(self._round) < 2:
            return 0.0
        now = asyncio.get_running_loop().time()
        waited = sorted(now - line.waiting[0][1] for line in self._round)
        return waited[(len(waited) - 1) // 2]

    def _refusal(self, shed: str, line: _Line | None) -> Overloaded | None:
        """Why a call is not even let into its line."""
        level = self._load.level
        if level != "normal" and (shed == "first" or (level == "degraded" and shed == "between" and line is not None)):
            return self._count(level, "Bourse is very busy and serves other calls first.", 5 if level == "degraded" else 2)
        if line is not None and len(line.waiting) >= self._longest:
            waited = asyncio.get_running_loop().time() - line.waiting[0][1]
            return self._count("queue", f"Too many calls of yours are waiting already ({self._longest}).", max(1.0, waited))
        return None

    def _count(self, reason: str, message: str, retry_after: float) -> Overloaded:
        self._metrics.shed_calls.labels(reason).inc()
        return Overloaded(message, retry_after=retry_after)

    def _turn_next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turning = True
        loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        left = PER_TURN
        while left > 0 and self._round:
            line = self._round.popleft()
            left -= self._let_in(line, loop.time())
            if line.waiting:
                self._round.append(line)
            else:
                del self._lines[line.tenant_id]
        for _ in range(min(REFUSED_PER_TURN, len(self._refused))):
            future, refusal = self._refused.popleft()
            if not future.done():
                future.set_result(refusal)
        if self._round or self._refused:
            self._left = 0
            self._turn_next(loop)
            return
        self._left = left if self._load.level == "normal" else 0
        self._turning = False
        if left < PER_TURN:
            self._turn_next(loop)

    def _let_in(self, line: _Line, now: float) -> int:
        """As many as the line's weight allows; how many began. Whoever has hung up or waited too long is only taken out."""
        begun = 0
        while line.waiting and begun < line.weight:
            future, since = line.waiting.popleft()
            if future.done():
                continue
            if now - since <= self._patience:
                future.set_result(None)
            else:
                future.set_result(self._count("wait", "Too much was to be done before it was this call's turn.", 1))
            begun += 1
        return begun
