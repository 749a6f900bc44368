"""The services that a process builds when somebody first asks for them: one that serves only `/v1` never imports most of these."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from backend.audit.service import AuditService
from backend.catalog.measured import Measured
from backend.catalog.service import CatalogService
from backend.credentials.book import KeyBook
from backend.credentials.connections import Connections
from backend.credentials.master import MasterKeys
from backend.credentials.service import CredentialService
from backend.gateway.app import Gateway
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.kernel.addresses import AddressPolicy
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.observability.metrics import Metrics
from backend.pricing.book import PriceBook
from backend.providers.book import ProviderBook
from backend.providers.edits import ProviderEdits
from backend.providers.service import ProviderService
from backend.routing.discovery import Discovery
from backend.routing.edits import RouteEdits
from backend.routing.health import Health
from backend.routing.service import RouteService
from backend.routing.table import RouteTable
from backend.settings import Settings

if TYPE_CHECKING:
    from backend.benchmarks.service import BenchmarkService
    from backend.carbon.service import CarbonService
    from backend.catalog.edits.service import CatalogEdits
    from backend.jobs.schedule import Schedule
    from backend.jobs.service import IngestionService
    from backend.kernel.http import OutboundClient
    from backend.matching.service import MatchingService
    from backend.playground.service import PlaygroundService
    from backend.pricing.edits import PriceEdits
    from backend.pricing.service import PricingService
    from backend.prompt_prices.service import PromptPrices


class Rooms(ABC):
    """Part of `backend.runtime.Runtime`, which makes what these stand on."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    events: EventBus
    db: Database
    change_feed: ChangeFeed
    upstream_addresses: AddressPolicy
    audit: AuditService
    identity: IdentityService
    auth: AuthSnapshot
    catalog: CatalogService
    prices: PriceBook
    provider_book: ProviderBook
    health: Health
    routes: RouteTable
    masters: MasterKeys
    key_book: KeyBook
    connections: Connections
    gateway: Gateway

    @abstractmethod
    async def load_providers(self) -> None:
        """Providers, their keys and the routes to them anew."""

    @cached_property
    def http(self) -> "OutboundClient":
        """Calls out that are not the hot path's; built when first needed, because many processes never make one."""
        from backend.jobs.fetching import client

        return client(self.settings.network)

    @cached_property
    def pricing(self) -> "PricingService":
        """What the store says of prices."""
        from backend.pricing.service import PricingService

        return PricingService(self.db, self.clock, self.prices, self.catalog)

    @cached_property
    def price_edits(self) -> "PriceEdits":
        """What operators do with prices."""
        from backend.pricing.edits import PriceEdits

        return PriceEdits(self.db, self.clock, self.audit)

    @cached_property
    def playground(self) -> "PlaygroundService":
        """What people try on a page."""
        from backend.playground.service import PlaygroundService

        return PlaygroundService(
            gateway=self.gateway,
            identity=self.identity,
            auth=self.auth,
            routes=self.routes,
            providers=self.provider_book,
            catalog=self.catalog,
            prices=self.prices,
            events=self.events,
            clock=self.clock,
        )

    @cached_property
    def benchmarks(self) -> "BenchmarkService":
        """What models scored, and their skills."""
        from backend.benchmarks.service import BenchmarkService

        service = BenchmarkService(self.db, self.clock, self.audit)
        self.change_feed.subscribe(service.changed)
        return service

    @cached_property
    def measured(self) -> Measured:
        """What benchmarks say of the catalog's models."""
        return Measured(self.catalog, self.benchmarks.scores, self.benchmarks.of_model, self.benchmarks.catalogue)

    @cached_property
    def carbon(self) -> "CarbonService":
        """What calls are estimated to emit."""
        from backend.carbon.service import CarbonService

        return CarbonService(self.catalog, self.settings.carbon.zone)

    @cached_property
    def prompt_prices(self) -> "PromptPrices":
        """What a prompt costs at every model."""
        from backend.prompt_prices.service import PromptPrices

        return PromptPrices(self.catalog, self.prices, self.clock, self.measured.mmlu)

    @cached_property
    def matching(self) -> "MatchingService":
        """Which models suit a task, and what could be taken instead of one."""
        from backend.matching.service import MatchingService

        return MatchingService(
            self.db,
            self.clock,
            self.catalog,
            self.prices,
            benchmarks=self.benchmarks,
            configured=self.providers.usable,
            latency=self.health.latencies,
            carbon=self.carbon,
        )

    @cached_property
    def catalog_edits(self) -> "CatalogEdits":
        """What operators do with the catalog."""
        from backend.catalog.edits.service import CatalogEdits

        return CatalogEdits(self.db, self.clock, self.audit, self.catalog)

    @cached_property
    def routing(self) -> RouteService:
        """What operators do with routes."""
        return RouteService(self.settings, self.clock, self.routes, self.prices, self.providers, self._route_edits)

    @cached_property
    def discovery(self) -> Discovery:
        """Which models providers have."""
        return Discovery(self.provider_book, self.catalog, self.prices, self.routes, self._route_edits, self.connections.shared)

    @cached_property
    def ingestion(self) -> "IngestionService":
        """What operators do with sources of models and prices."""
        from backend.jobs.service import IngestionService
        from backend.jobs.telling import tell_of_ingestions

        tell_of_ingestions(self.events, self.metrics)
        return IngestionService(self.db, self.clock, self.audit, self.settings)

    @cached_property
    def schedule(self) -> "Schedule":
        """What is done without being asked; one process among all does it."""
        from backend.jobs.schedule import Schedule

        return Schedule(self.db, self.clock, self.http, self.ingestion, self.settings.ingestion)

    @cached_property
    def _route_edits(self) -> RouteEdits:
        return RouteEdits(self.db, self.clock, self.audit, self.settings, self.provider_book)

    @cached_property
    def providers(self) -> ProviderService:
        """What operators see of providers."""
        return ProviderService(self.provider_book, self.catalog, self.key_book)

    @cached_property
    def provider_edits(self) -> ProviderEdits:
        """What operators do with providers."""
        reload = self.load_providers
        return ProviderEdits(self.db, self.clock, self.audit, self.settings, self.upstream_addresses, self.credentials, reload=reload)

    @cached_property
    def credentials(self) -> CredentialService:
        """What operators, and tenants' admins, do with keys of providers."""
        return CredentialService(
            self.db,
            self.clock,
            self.audit,
            self.provider_book,
            self.masters,
            self.key_book,
            reload=self.load_providers,
            standing=self.connections.standing,
        )
