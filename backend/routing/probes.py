"""Looking now and then whether providers are there, by asking each for its list of models, which costs nothing.

What is learnt is shown to operators. It closes the breakers of models that could only not be connected to: the way is open again. It
opens none, and closes none that failed answers have opened: whether a model answers is known only to who asks it something, and calls find
that out by themselves. Each process looks for itself, at moments of its own.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from backend.kernel.events import EventBus
from backend.kernel.tasks import end_tasks
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import Provider
from backend.routing.events import CredentialsRefused
from backend.routing.health import Health
from backend.settings import HealthCheckSettings

log = structlog.get_logger(__name__)

AT_ONCE = 8
"""Providers that are looked at together."""
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class Look:
    """`at` is monotonic seconds. `error` is None where the provider answered, whatever it answered: it is there."""

    at: float
    milliseconds: float
    status: int | None
    error: str | None

    @property
    def reached(self) -> bool:
        return self.error is None

    @property
    def refused_key(self) -> bool:
        return self.status == _UNAUTHORIZED


class Probes:
    """Of one process. `providers` may be filled later; those that are simulated are left out."""

    def __init__(self, settings: HealthCheckSettings, providers: Mapping[str, Provider], health: Health, events: EventBus) -> None:
        self._enabled = settings.enabled
        self._interval = settings.interval.total_seconds()
        self._patience = settings.timeout.total_seconds()
        self._providers = providers
        self._health = health
        self._events = events
        self._task: asyncio.Task[None] | None = None
        self.newest: dict[str, Look] = {}
        """By provider; nothing before the first look."""
        self.next_at: float | None = None
        """Monotonic seconds; None while nobody looks."""

    def start(self) -> None:
        if self._enabled:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="health probes")

    async def stop(self) -> None:
        await end_tasks(self._task)
        self._task = None

    @property
    def providers(self) -> list[str]:
        """Whom it looks at."""
        return [name for name, provider in self._providers.items() if provider.capabilities.looks and not provider.capabilities.simulated]

    async def look(self) -> None:
        """At every provider, once."""
        real = [self._providers[name] for name in self.providers]
        for first in range(0, len(real), AT_ONCE):
            await asyncio.gather(*(self._look_at(provider) for provider in real[first : first + AT_ONCE]))

    async def _run(self) -> None:
        while True:
            # Processes that were started together look at different times.
            pause = self._interval * random.uniform(0.75, 1.0)
            self.next_at = time.monotonic() + pause
            await asyncio.sleep(pause)
            try:
                await self.look()
            except Exception:
                log.exception("provider.look_failed")

    async def _look_at(self, provider: Provider) -> None:
        started = time.monotonic()
        status = error = None
        try:
            async with asyncio.timeout(self._patience):
                status = await provider.look(self._patience)
        except UpstreamFailure as failure:
            error = failure.kind
        except TimeoutError:
            error = "timeout"
        if self._providers.get(provider.name) is not provider:
            return  # it is another one by now, or there no more
        look = Look(time.monotonic(), (time.monotonic() - started) * 1000, status, error)
        before = self.newest.get(provider.name)
        self.newest[provider.name] = look
        self._tell(provider.name, look, before)
        if look.reached:
            self._health.reached(provider.name)

    def _tell(self, name: str, look: Look, before: Look | None) -> None:
        """What is new, once."""
        if look.reached != (before is None or before.reached):
            if look.reached:
                log.info("provider.reachable", provider=name)
            else:
                log.warning("provider.unreachable", provider=name, error=look.error)
        if look.refused_key and not (before is not None and before.refused_key):
            self._events.publish(CredentialsRefused(name, "", look.status, whole_provider=True))
