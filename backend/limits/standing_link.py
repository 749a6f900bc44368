"""A link to Redis that is looked for again whenever it was lost, and a pause between two looks that grows: nobody ever waits for it."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from backend.kernel.tasks import end_tasks
from backend.limits.redis_link import LinkDown, RedisLink, Script

log = structlog.get_logger(__name__)

PROBE_SECONDS = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses between probes while Redis is away; the last one repeats. No call ever waits for a probe."""


class StandingLink:
    """`link` is there, or None while Redis is away.

    Args:
        name: whose link it is, in the log.
        consequence: what the log says follows from Redis being away.
        answer_seconds: how long Redis may be silent while an answer is due; then it is taken for away.
        on_change: called with True when Redis is there, with False when it is not, and again with False for each look in vain.
        on_beat: called when Redis is found, and every `beat_seconds` while it is there.
    """

    def __init__(
        self,
        url: str,
        name: str,
        consequence: str,
        *,
        answer_seconds: float,
        on_change: Callable[[bool], None],
        on_beat: Callable[[], None] | None = None,
        beat_seconds: float | None = None,
        scripts: Sequence[Script] = (),
    ) -> None:
        self._url = url
        self._name = name
        self._consequence = consequence
        self._answer_seconds = answer_seconds
        self._on_change = on_change
        self._on_beat = on_beat
        self._beat_seconds = beat_seconds
        self._scripts = scripts
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.link: RedisLink | None = None

    async def start(self) -> None:
        """Look for Redis once, and go on looking in the background."""
        if not await self._probe():
            log.warning(f"{self._name}.redis_not_found", consequence=self._consequence)
        self._task = asyncio.create_task(self._tend(), name=f"{self._name}-redis")

    async def stop(self) -> None:
        await end_tasks(self._task)
        if self.link is not None:
            # What was sent a moment ago is still on its way out.
            await asyncio.gather(self.link.call("PING"), return_exceptions=True)
        if self.link is not None:
            self.link.close()
            self.link = None

    async def _tend(self) -> None:
        """Beat while Redis is there, look for it while it is not."""
        while True:
            if self.link is not None:
                self._lost.clear()
                try:
                    async with asyncio.timeout(self._beat_seconds):
                        await self._lost.wait()
                except TimeoutError:
                    if self._on_beat is not None:
                        self._on_beat()
                continue
            for pause in (*PROBE_SECONDS, None):
                await asyncio.sleep(pause or PROBE_SECONDS[-1])
                if await self._probe():
                    break

    async def _probe(self) -> bool:
        try:
            link = await RedisLink.connect(self._url, timeout=self._answer_seconds, on_down=self._went_down, scripts=self._scripts)
            if link.down is not None:
                raise link.down  # lost again in the turn in which it was made: nobody would say so a second time
        except LinkDown as error:
            log.info(f"{self._name}.redis_away", reason=str(error))
            self._on_change(False)
            return False
        self.link = link
        self._on_change(True)
        if self._on_beat is not None:
            self._on_beat()
        log.info(f"{self._name}.redis_found")
        return True

    def _went_down(self, reason: LinkDown) -> None:
        self.link = None
        self._lost.set()
        self._on_change(False)
        log.warning(f"{self._name}.redis_lost", reason=str(reason), consequence=self._consequence)
