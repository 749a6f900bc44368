"""The object graph of one process, built in the server's lifespan and never at import.

`open_runtime` constructs everything cheaply, then brings it up step by step: schema, bootstrap, keys, catalog, ledger. A step that
fails (the database is away) is tried again in the background while `/livez` answers and `/readyz` says what is missing.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from backend import __version__
from backend.audit.service import AuditService
from backend.budgets.keeper import BudgetKeeper
from backend.budgets.service import BudgetService
from backend.budgets.telling import tell_of_alerts
from backend.catalog.service import CatalogService
from backend.configuration import not_yet_alive
from backend.credentials.book import KeyBook
from backend.credentials.connections import Connections
from backend.credentials.master import MasterKeys, MasterKeyWrong
from backend.credentials.telling import tell_of_keys
from backend.credentials.vault import Vault
from backend.gateway.app import Gateway
from backend.gateway.load.level import Load
from backend.identity.bootstrap import BootstrapRefused
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.kernel import migrations
from backend.kernel.addresses import AddressPolicy
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import Clock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import StorageUnavailable
from backend.kernel.events import EventBus
from backend.kernel.tasks import end_tasks
from backend.limits.book import LimitBook
from backend.limits.limiter import Limiter
from backend.limits.service import LimitService
from backend.metering.service import MeteringService
from backend.observability.gauges import show_standing
from backend.observability.metrics import Metrics
from backend.pricing.book import PriceBook
from backend.providers.book import ProviderBook
from backend.rooms import Rooms
from backend.routing.health import Health
from backend.routing.health_service import HealthService
from backend.routing.probes import Probes
from backend.routing.table import RouteTable
from backend.routing.telling import tell_of_health
from backend.settings import Settings

log = structlog.get_logger(__name__)

RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 15.0
"""How long the lifespan waits for a normal start before it lets the server answer 503 instead."""


@dataclass(slots=True)
class Readiness:
    """`missing` is a sentence for the operator, or None once everything is loaded."""

    missing: str | None = "starting"
    draining: bool = False
    """The process was told to end. Calls are still taken, but nobody should send new ones."""


class Runtime(Rooms):
    """Everything that a process of Bourse is made of. Attributes are the services; nothing here has logic of its own."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.version = __version__
        self.readiness = Readiness()
        self.metrics = Metrics()
        self.events = EventBus()
        self.db = Database.open(settings.database, self.events)
        self.change_feed = ChangeFeed(self.db, clock, redis_url=settings.redis_url)
        self.upstream_addresses = AddressPolicy(settings.network.allow_private)
        self.audit = AuditService(clock)
        self.identity = IdentityService(self.db, clock, self.audit, settings)
        self.auth = AuthSnapshot(self.db, clock, demo_allowed=not settings.is_production)
        self.catalog = CatalogService(self.db, clock)
        self.prices = PriceBook(self.db, clock)
        self.load = Load(settings.overload)
        self.provider_book = ProviderBook(settings, self.db)
        self._loading_providers = asyncio.Lock()
        self.health = Health(events=self.events)
        tell_of_health(self.events, self.metrics)
        self.routes = RouteTable(settings, self.catalog, self.db, conditions=self.health, load=self.load, providers=self.provider_book)
        self.metering = MeteringService(self.db, clock, self.events, settings, self.metrics)
        self.budgets = BudgetService(self.db, clock, self.audit, settings)
        self.keeper = BudgetKeeper(self.db, clock, self.events, settings, lambda: self.metering.process_id, metrics=self.metrics)
        tell_of_alerts(self.events, self.metrics)
        self.limits = LimitService(self.db, clock, self.audit, settings.rate_limits.default)
        self.limit_book = LimitBook(self.db, settings.rate_limits.default)
        alone = self.db.dialect == "sqlite"
        self.limiter = Limiter(
            self.limit_book,
            self.db,
            clock,
            self.metrics,
            redis_url=settings.redis_url,
            # A SQLite file has one serving process, whatever the row of a killed one says for another while.
            known_replicas=lambda: 1 if alone else self.keeper.known_processes,
        )
        self.masters = MasterKeys(settings)
        self.vault = Vault(settings.vault, settings.network) if settings.vault.address is not None else None
        self.key_book = KeyBook(settings, self.db, self.masters, self.vault, self.provider_book)
        self.connections = Connections(settings, self.key_book, self.events, self.provider_book)
        tell_of_keys(self.events, self.metrics)
        self.gateway = Gateway(
            settings=settings,
            db=self.db,
            clock=clock,
            auth=self.auth,
            routes=self.routes,
            prices=self.prices,
            catalog=self.catalog,
            metering=self.metering,
            limiter=self.limiter,
            keeper=self.keeper,
            budgets=self.budgets,
            addresses=self.upstream_addresses,
            metrics=self.metrics,
            load=self.load,
            health=self.health,
            connections=self.connections,
            providers=self.provider_book,
            masters=self.masters,
        )
        self.probes = Probes(settings.health_check, self.connections.shared, self.health, self.events)
        self.connections.moved = self._forget_provider
        self.health_view = HealthService(clock, self.health, self.routes, self.probes)
        show_standing(self)

    @property
    def missing(self) -> str | None:
        """Why no new call can be taken just now, as a sentence for the operator; None while all is well."""
        if self.change_feed.lost:
            return "the database is out of reach for so long that nobody knows which keys are still good"
        return self.readiness.missing

    def _forget_provider(self, name: str) -> None:
        """It is another one than before, or there no more."""
        self.health.moved(name)
        self.probes.newest.pop(name, None)

    def drain(self) -> None:
        """Tell load balancers to look elsewhere."""
        self.readiness.draining = True
        log.info("runtime.draining")

    async def close(self) -> None:
        if "http" in self.__dict__:
            await self.http.close()
        self.identity.close()
        await self.db.close()

    async def start(self) -> None:
        """Every step in order; raises at the first that cannot be done now. May be called again."""
        await self._schema()
        await self.identity.bootstrap()
        await self.budgets.follow_default()
        seen = await self.db.change_version()
        with suppress(StorageUnavailable):
            # Without a journal it takes no calls, and is counted once it has one.
            await self.keeper.register()
        await self.keeper.load()
        await self.limit_book.load()
        await self.auth.load()
        await self._catalog()
        await self.prices.load()
        await self.load_providers()
        self.key_book.check_master()
        await self.gateway.cache.load()
        await self.change_feed.start(seen=seen)

    async def load_providers(self) -> None:
        """Providers, their keys and the routes to them anew, together: each goes by what is before it. One at a time, so that nobody takes
        up what he read before somebody else's change."""
        async with self._loading_providers:
            await self.provider_book.load()
            await self.connections.load()
            await self.routes.load()

    async def _schema(self) -> None:
        await asyncio.to_thread(migrations.prepare, self.db.url)

    async def _catalog(self) -> None:
        """Load the catalog; the first time, and when what ships with Bourse has changed, it is read in a process of its own to keep this
        one lean."""
        from backend.benchmarks import current as benchmarks
        from backend.catalog.ingest import is_current
        from backend.jobs.sources import sources_in_force
        from backend.pricing import change_log

        filled = await self.catalog.load()
        sources = await sources_in_force(self.db)
        current = filled and await is_current(self.db, self.clock, sources)
        if not current or not await benchmarks.is_current(self.db) or not await change_log.is_current(self.db):
            self.readiness.missing = "reading the model catalog anew" if filled else "reading the model catalog for the first time"
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "backend", "ingest", "--quiet")
            try:
                if await process.wait() != 0:
                    raise RuntimeError("reading the bundled catalog failed: run `make seed` to see why")
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
            await self.catalog.load()


_current: Runtime | None = None


def current() -> Runtime:
    """The runtime of this process.

    Raises:
        StorageUnavailable: while the process is still starting.
    """
    if _current is None:
        raise StorageUnavailable("Bourse is still starting.", retry_after=2)
    return _current


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, clock: Clock | None = None, when_ready: Callable[[Runtime], Awaitable[object]] | None = None
) -> AsyncIterator[Runtime]:
    """The runtime, started (or starting, if the database is away); everything it holds is closed on leaving.

    `when_ready` is called once, after the last step.
    """
    global _current
    runtime = Runtime(settings, clock or SystemClock())
    for notice in not_yet_alive(settings):
        log.warning("settings.not_yet_alive", setting=notice)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runtime.close)
        await runtime.metering.start()
        stack.push_async_callback(runtime.metering.stop)
        await runtime.keeper.start()
        stack.push_async_callback(runtime.keeper.stop)
        await runtime.limiter.start()
        stack.push_async_callback(runtime.limiter.stop)
        await runtime.gateway.start()
        stack.push_async_callback(runtime.gateway.stop)
        runtime.connections.watch_files()
        stack.push_async_callback(runtime.connections.stop)
        if runtime.vault is not None:
            runtime.vault.start(runtime.connections.refresh)
            stack.push_async_callback(runtime.vault.stop)
        runtime.probes.start()
        stack.push_async_callback(runtime.probes.stop)
        stack.push_async_callback(runtime.change_feed.stop)
        runtime.change_feed.subscribe(runtime.keeper.load)
        runtime.change_feed.subscribe(runtime.limit_book.load)
        runtime.change_feed.subscribe(runtime.gateway.cache.load)
        runtime.change_feed.subscribe(runtime.auth.load, vital=True)
        # Routes last: they remember what the catalog said about names.
        for reload in (_reload_catalog(runtime.catalog), runtime.prices.load, runtime.load_providers):
            runtime.change_feed.subscribe(reload)
        starter = asyncio.create_task(_keep_starting(runtime, when_ready), name="start")
        stack.push_async_callback(end_tasks, starter)
        await asyncio.wait({starter}, timeout=PATIENCE_SECONDS)
        if starter.done() and isinstance(refused := starter.exception(), BootstrapRefused | MasterKeyWrong):
            raise refused
        _current = runtime
        try:
            yield runtime
        finally:
            _current = None


def _reload_catalog(catalog: CatalogService) -> Callable[[], Awaitable[None]]:
    async def reload() -> None:
        await catalog.load()

    return reload


async def _keep_starting(runtime: Runtime, when_ready: Callable[[Runtime], Awaitable[object]] | None) -> None:
    while True:
        try:
            await runtime.start()
        except migrations.NotMigrated as error:
            runtime.readiness.missing = str(error)
        except BootstrapRefused as error:
            # Trying again would not help: the configuration has to change.
            runtime.readiness.missing = "the configuration's bootstrap section was refused; the log says why"
            log.error("runtime.bootstrap_refused", reason=str(error))
            raise
        except MasterKeyWrong as error:
            runtime.readiness.missing = "the master key is wrong; the log says why"
            log.error("runtime.master_key_wrong", reason=str(error))
            raise
        except Exception as error:
            runtime.readiness.missing = f"starting failed ({type(error).__name__}); trying again"
            log.exception("runtime.start_failed")
        else:
            runtime.readiness.missing = None
            log.info("runtime.ready", version=runtime.version, database=runtime.db.dialect)
            if when_ready is not None:
                await _tell(when_ready, runtime)
            return
        await asyncio.sleep(RETRY_SECONDS)


async def _tell(when_ready: Callable[[Runtime], Awaitable[object]], runtime: Runtime) -> None:
    """Once, but not lost to a hiccup of the database: what is told may be the only way to the first account."""
    while True:
        try:
            await when_ready(runtime)
        except Exception:
            log.exception("runtime.when_ready_failed")
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
