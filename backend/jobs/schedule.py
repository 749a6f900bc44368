"""What is done without being asked, in processes that serve pages: fetching what is due, telling what waits, and weighing prices anew on
the days that were announced.

Every process looks; the leases see to it that one does. A look costs two short questions to the database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from backend.identity.principal import system
from backend.ingestion_settings import IngestionSettings
from backend.jobs.service import IngestionService
from backend.jobs.webhook import tell_waiting
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import BourseError, Conflict
from backend.kernel.http import OutboundClient

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60
LOOK_JITTER_SECONDS = 20
TELL_SECONDS = 15
DAY_SECONDS = 600


class Schedule:
    def __init__(self, db: Database, clock: Clock, http: OutboundClient, service: IngestionService, settings: IngestionSettings) -> None:
        self._db = db
        self._clock = clock
        self._http = http
        self._service = service
        self._settings = settings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look now and then while the body lasts. Announced days come whatever the settings say; the rest only where it is switched on."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        scheduler = AsyncIOScheduler(timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})
        if self._settings.enabled:
            scheduler.add_job(self.look, "interval", seconds=LOOK_SECONDS, jitter=LOOK_JITTER_SECONDS, id="ingestion")
        if self._settings.webhook.url is not None:
            scheduler.add_job(self.tell, "interval", seconds=TELL_SECONDS, jitter=TELL_SECONDS // 2, id="webhook")
        scheduler.add_job(self.day, "interval", seconds=DAY_SECONDS, jitter=LOOK_JITTER_SECONDS, id="day")
        scheduler.start()
        try:
            yield
        finally:
            scheduler.shutdown(wait=False)
            # Its jobs are cancelled on the next turn of the loop, and end their child processes before the database is closed.
            await asyncio.sleep(0)

    async def look(self) -> None:
        """Fetch what is due. Never raises: the next look tries again."""
        try:
            await self._service.run_due(system("ingestion"))
        except BourseError as error:
            log.warning("ingestion.not_run", reason=error.message)
        except Exception:
            log.exception("ingestion.look_failed")

    async def day(self) -> None:
        """Take up what has come into force. Never raises: a later look tries again."""
        try:
            await self._service.run_day(system("ingestion"))
        except BourseError as error:
            log.warning("ingestion.not_run", reason=error.message)
        except Exception:
            log.exception("ingestion.day_failed")

    async def tell(self) -> None:
        """Tell the webhook what waits. Never raises: the next turn tries again."""
        try:
            await tell_waiting(self._db, self._clock, self._http, self._settings.webhook)
        except Conflict:
            pass
        except BourseError as error:
            log.warning("webhook.not_told", reason=error.message)
        except Exception:
            log.exception("webhook.turn_failed")
