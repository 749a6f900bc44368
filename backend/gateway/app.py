"""The gateway's ASGI app: `/v1` and `/router`, dispatched by hand. Anything else under them is a JSON 404, never a page."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from backend import __version__
from backend.budgets.keeper import BudgetKeeper
from backend.budgets.service import BudgetService
from backend.credentials.connections import Connections
from backend.credentials.master import MasterKeys
from backend.gateway.bounds import Bounder
from backend.gateway.cache.prompt_cache import PromptCache
from backend.gateway.load.gate import Gate
from backend.gateway.load.level import Load
from backend.gateway.messages.asked import AskedForMessages
from backend.gateway.messages.counting import TokenCounting
from backend.gateway.messages.endpoint import Messages
from backend.gateway.messages.errors import MESSAGES
from backend.gateway.models_list import Catalog, ModelList
from backend.gateway.operations.bounds import UnitBounder
from backend.gateway.operations.pipeline import OperationPipeline
from backend.gateway.operations.settling import OperationSettler
from backend.gateway.operations.table import OPERATIONS
from backend.gateway.pipeline import Pipeline
from backend.gateway.replay.service import Replays
from backend.gateway.reserve import Reserver
from backend.gateway.responses import send_json
from backend.gateway.responses_api.api import PATH as RESPONSES
from backend.gateway.responses_api.api import ResponsesApi
from backend.gateway.responses_api.service import ResponseStore
from backend.gateway.retry_budget import RetryBudget
from backend.gateway.selecting import Selector
from backend.gateway.self_service import SelfService
from backend.gateway.settle import Settler
from backend.gateway.standing_headers import StandingHeaders
from backend.gateway.token_count import TokenCounter
from backend.gateway.upstreams import Upstreams
from backend.identity.snapshot import AuthSnapshot, KeyRecord
from backend.kernel.addresses import AddressPolicy
from backend.kernel.body import MAX_BODY_BYTES
from backend.kernel.clock import Clock
from backend.kernel.db import Database
from backend.kernel.errors import MethodNotAllowed, NotFound
from backend.kernel.json import dump_json
from backend.kernel.request import App, Receive, Scope, Send, header
from backend.limits.limiter import Limiter
from backend.metering.service import MeteringService
from backend.observability.metrics import Metrics
from backend.pricing.book import PriceBook
from backend.providers.book import ProviderBook
from backend.providers.http import UpstreamHttp
from backend.routing.health import Health
from backend.routing.table import RouteTable
from backend.settings import Settings

_MODELS = "/v1/models"


class Endpoint(NamedTuple):
    path: str
    methods: tuple[str, ...] | None
    """None: it depends on what follows the path, and the endpoint says it."""
    answer: App
    replays: bool = True
    """A request with an Idempotency-Key is answered once, and by whoever stands before the endpoint."""
    max_bytes: int = MAX_BODY_BYTES


class Gateway:
    """Expects `scope["bourse"]` (the request's context, set by the front door), which also answers what is raised here as an error.
    `start` before the first call, `stop` after the last.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        db: Database,
        clock: Clock,
        auth: AuthSnapshot,
        routes: RouteTable,
        prices: PriceBook,
        catalog: Catalog,
        metering: MeteringService,
        limiter: Limiter,
        keeper: BudgetKeeper,
        budgets: BudgetService,
        addresses: AddressPolicy,
        metrics: Metrics,
        load: Load,
        health: Health,
        connections: Connections,
        providers: ProviderBook,
        masters: MasterKeys,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._routes = routes
        self._model_list = ModelList(prices, catalog, clock.now())
        network = settings.network
        callers = AddressPolicy(network.allow_private_fetch)
        self._http = UpstreamHttp(addresses, proxy=network.proxy, ca_file=network.ca_file, callers=callers)
        self._connections = connections
        retries = RetryBudget(settings.retry_budget.share, settings.retry_budget.floor, withheld=metrics.retries_withheld.inc)
        upstreams = Upstreams(connections.shared, self._model_list.window, health, retries, missing=connections.missing)

        def changed() -> None:
            for name, provider in providers.open.items():
                health.limit(name, provider.max_parallel, provider.max_queue)
            upstreams.set_own(connections.own)

        connections.changed, connections.exchanged = changed, health.exchanged
        allowed = providers.allowed
        counter = TokenCounter()
        self._bounder = Bounder(catalog, prices, upstreams, counter, settings.budgets.default, allowed)
        self._standing = StandingHeaders(keeper)
        settler = Settler(metering, metrics)
        self._measure = settler.measure
        self.cache = PromptCache(settings, clock, metrics, settler, self._standing, db, providers.servers)
        self._load = load
        self.gate = Gate(settings.overload, load, metrics)
        pipeline = partial(
            Pipeline,
            clock=clock,
            auth=auth,
            selector=Selector(routes, self._bounder, metrics, classifies=settings.reporting.classify_tasks),
            metering=metering,
            bounder=self._bounder,
            limiter=limiter,
            cache=self.cache,
            reserver=Reserver(self._bounder, keeper),
            standing=self._standing,
            settler=settler,
            gate=self.gate,
        )
        self._pipeline = pipeline(upstreams=upstreams)
        self._replays = Replays(db, clock, settings, metrics, self._pipeline.enter) if settings.replay.enabled else None
        said = pipeline(upstreams=upstreams.seen_by(AskedForMessages))
        counting = TokenCounting(said.enter, routes, self._model_list, upstreams, counter, self._standing, limiter)
        messages = Messages(said.chat_completion, said.enter, self._replays.answer if self._replays is not None else None)
        unit_bounder = UnitBounder(catalog, self._bounder, upstreams, counter, allowed)
        operations = OperationPipeline(
            entrance=self._pipeline,
            routes=routes,
            metering=metering,
            bounder=unit_bounder,
            limiter=limiter,
            reserver=Reserver(unit_bounder, keeper),
            standing=self._standing,
            settler=OperationSettler(metering, metrics, settler.measure),
            upstreams=upstreams,
        )
        own = SelfService(budgets, keeper, metering)
        self.responses = ResponseStore(db, clock, settings.responses, masters, metrics)
        responses = ResponsesApi(said, self.responses, clock)
        models = Endpoint(_MODELS, ("GET", "HEAD"), self._models)
        endpoints = (
            Endpoint("/v1/chat/completions", ("POST",), self._pipeline.chat_completion),
            Endpoint(RESPONSES, ("POST",), responses.create),
            Endpoint(MESSAGES, ("POST",), messages.answer, replays=False),
            Endpoint(MESSAGES + "/count_tokens", ("POST",), counting.answer, replays=False),
            models,
            *[
                Endpoint(path, ("POST",), partial(operations.answer, operation), max_bytes=operation.max_bytes)
                for path, operation in OPERATIONS.items()
            ],
            Endpoint("/v1/budget", ("GET", "HEAD"), self._about_itself(own.budget)),
            Endpoint("/v1/usage", ("GET", "HEAD"), self._about_itself(own.usage)),
        )
        self._endpoints = {endpoint.path: endpoint for endpoint in endpoints}
        kept = Endpoint(RESPONSES + "/{id}", None, responses.kept, replays=False)
        self._below = ((_MODELS + "/", models), (RESPONSES + "/", kept))
        self._nothing_here = f"There is no such endpoint. There are {', '.join(self._endpoints)}."

    async def start(self) -> None:
        self._load.start()
        tracing = self._settings.observability
        if tracing.enable_otlp:
            from backend.observability.spans import Spans  # the SDK, which nobody else needs in memory

            self._measure.spans = Spans(tracing.otlp_endpoint, __version__)
        if self._replays is not None:
            await self._replays.start()
        await self.cache.start()
        await self.responses.start()
        self._connections.start(self._http)

    async def stop(self) -> None:
        if self._replays is not None:
            await self._replays.stop()
        await self.cache.stop()
        await self.responses.stop()
        self._load.stop()
        if self._measure.spans is not None:
            await self._measure.spans.stop()
        self._bounder.close()
        await self._http.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            endpoint = next((endpoint for prefix, endpoint in self._below if path.startswith(prefix)), None)
            if endpoint is None:
                raise NotFound(self._nothing_here)
        scope["bourse"].route = endpoint.path
        if endpoint.methods is not None and scope["method"] not in endpoint.methods:
            raise MethodNotAllowed(f"Use {endpoint.methods[0]} here.", headers={"allow": ", ".join(endpoint.methods)})
        if self._replays is not None and scope["method"] == "POST":
            idempotency_key = header(scope, b"idempotency-key")
            if idempotency_key is not None and endpoint.replays:
                await self._replays.answer(endpoint.answer, idempotency_key, scope, receive, send, max_bytes=endpoint.max_bytes)
                return
        await endpoint.answer(scope, receive, send)

    async def _models(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """All models that the key may use, or the one that the path names."""
        key = await self._pipeline.enter(scope)
        name, now, models = scope["path"][len(_MODELS) + 1 :], self._clock.now(), self._model_list
        answer = models.one(self._routes.resolve(name, key), now) if name else models.all(self._routes.usable(key), now)
        await send_json(send, 200, dump_json(answer), self._standing.of_payer(key))

    def _about_itself(self, tell: Callable[[KeyRecord, bytes], Awaitable[dict[str, Any]]]) -> App:
        """The answer to a key that asks something about itself."""

        async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
            key = await self._pipeline.enter(scope)
            told = await tell(key, scope["query_string"])
            await send_json(send, 200, dump_json(told), self._standing.of_payer(key))

        return answer
