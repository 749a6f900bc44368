"""The playground: one prompt for up to four models, asked of the gateway as any program asks it, under the authority of who looks.

A member of a tenant calls with a key that is lent to him there. Everybody else reaches the sandbox's models only, in a tenant of their
own, with limits for each address.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from backend.catalog.service import CatalogService
from backend.identity.principal import Principal, Role
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.identity.throttle import Throttle
from backend.kernel.clock import Clock
from backend.kernel.errors import BadRequest, ModelNotAllowed
from backend.kernel.events import EventBus
from backend.kernel.ids import new_id, random_bytes
from backend.kernel.request import App, RequestContext
from backend.metering.events import CompletionFinished
from backend.playground.comparison import Answer, Comparison
from backend.playground.lent_keys import LentKeys
from backend.pricing.book import PriceBook
from backend.providers.book import ProviderBook
from backend.providers.registry import SANDBOX
from backend.providers.sandbox import MODELS as SANDBOX_MODELS
from backend.routing.route import Candidate, Route
from backend.routing.table import RouteTable

MOST_MODELS = 4
VISITORS_CHARACTERS = 4_000
"""The longest prompt, with its system text, of who is not signed in."""
VISITORS_TOKENS = 1_000
"""The longest answer of theirs."""
VISITORS_RUNS, ALL_VISITORS_RUNS = 20, 600
"""How often in a minute one address, and all together, may begin to ask."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What all models are asked. `temperature` and `max_tokens` None: as each provider does by itself."""

    text: str
    system: str = ""
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Choosable:
    """A model that may be asked, by the name that it is asked by. Prices in nano-dollars per 1M tokens of its first candidate."""

    id: str
    name: str
    provider: str
    simulated: bool
    input_nano: int | None
    output_nano: int | None


@dataclass(frozen=True, slots=True)
class _Permitted:
    models: frozenset[str] | None
    tenant_models: frozenset[str] | None
    default_model: str | None = None
    tier: str | None = None


class PlaygroundService:
    def __init__(
        self,
        *,
        providers: ProviderBook,
        gateway: App,
        identity: IdentityService,
        auth: AuthSnapshot,
        routes: RouteTable,
        catalog: CatalogService,
        prices: PriceBook,
        events: EventBus,
        clock: Clock,
    ) -> None:
        self._providers = providers
        self._gateway = gateway
        self._identity = identity
        self._routes = routes
        self._catalog = catalog
        self._prices = prices
        self._clock = clock
        self._keys = LentKeys(identity, auth, clock)
        # What the gateway refuses is a row of the ledger, too: strangers are turned away before they can fill it.
        self._runs = Throttle(clock, limit=VISITORS_RUNS, seconds=60)
        self._all_runs = Throttle(clock, limit=ALL_VISITORS_RUNS, seconds=60)
        self._open: dict[str, Answer] = {}
        """Answers that are on their way, by the request id of their call."""
        self._running: dict[str, Comparison] = {}
        """What each page asks just now."""
        events.subscribe(CompletionFinished, self._finished)

    @staticmethod
    def is_member(who: Principal) -> bool:
        """Whether his tenant pays for his calls. Everybody else, signed in or not, has the sandbox."""
        return who.tenant_id is not None and who.has_role(Role.MEMBER)

    async def choices(self, who: Principal, text: str, limit: int) -> list[Choosable]:
        """Chat models that he may ask whose name has all the words of `text`; without any, the first there are."""
        words = text.lower().split()
        found: list[Choosable] = []
        for route in self._usable(await self._permitted(who), None if self.is_member(who) else self.sandbox_models()):
            one = self._choosable(route)
            if one is not None and all(word in f"{one.id} {one.name} {one.provider}".lower() for word in words):
                found.append(one)
                if len(found) == limit:
                    break
        return found

    async def ask(self, who: Principal, page: str, models: list[str], prompt: Prompt) -> Comparison:
        """Begin to ask every model the same. What the same page still asked before is hung up.

        Args:
            page: whose `stop` and `leave` reach it.

        Raises:
            BadRequest: nothing to ask, nobody to ask, or more than a visitor may. ModelNotAllowed: a visitor asks beyond the sandbox.
            RateLimited: a visitor, or all of them, began too often in this minute.
        """
        if not prompt.text.strip():
            raise BadRequest("Write a prompt first.", param="prompt")
        if not 1 <= len(models) <= MOST_MODELS or len(set(models)) != len(models):
            raise BadRequest(f"Choose one to {MOST_MODELS} different models.", param="models")
        body: dict[str, Any] = {"messages": _messages(prompt)}
        body |= {} if prompt.temperature is None else {"temperature": prompt.temperature}
        body |= {} if prompt.max_tokens is None else {"max_tokens": prompt.max_tokens}
        if self.is_member(who):
            authorization = await self._keys.for_person(who)
        else:
            body |= self._visitors_bounds(who, models, prompt)
            self._runs.attempt(body["user"])
            self._all_runs.attempt("")
            authorization = await self._keys.for_visitors(self.sandbox_models())
        self.leave(page)
        context = RequestContext(
            request_id=new_id("request"),
            address=who.address,
            trace_id=random_bytes(16).hex(),
            parent_span_id=None,
            trace_flags="00",
            started=time.monotonic(),
        )
        comparison = Comparison(self._gateway, context, authorization, models, body, partial(self._forget, page))
        self._running[page] = comparison
        self._open.update(zip(comparison.request_ids, comparison.answers, strict=True))
        return comparison

    def stop(self, page: str, number: int | None = None) -> None:
        """Hang up on one of the page's models, or on all."""
        if (comparison := self._running.get(page)) is not None:
            comparison.stop(number)

    def leave(self, page: str) -> None:
        """Nobody looks at that page any more."""
        comparison = self._running.get(page)
        if comparison is not None:
            comparison.leave()
            self._forget(page, comparison)

    def _forget(self, page: str, comparison: Comparison) -> None:
        """A page that is closed says nothing, so nothing of what has ended may wait for it to be left."""
        for request_id in comparison.request_ids:
            self._open.pop(request_id, None)
        if self._running.get(page) is comparison:
            del self._running[page]

    def sandbox_models(self) -> list[str]:
        """The names that reach the sandbox and nothing else."""
        return [route.name for route in self._routes.listed() if self._is_sandbox(route)]

    def name_of(self, name: str) -> str:
        """The name under which the sandbox's model is open to everybody, for another name of the catalog's; any other name as it is."""
        route = self._routes.find(name)
        if route is None or not self._is_sandbox(route):
            return name
        first = route.candidates[0]
        return f"{first.provider}/{first.model}"

    def simulates(self, answer: Answer) -> bool:
        """Whether it comes from the sandbox."""
        provider = answer.record.provider if answer.record is not None else answer.answered.provider
        return self._is_sandbox_provider(provider or answer.model.partition("/")[0])

    def _is_sandbox(self, route: Route) -> bool:
        return not route.is_alias and all(self._simulates(candidate) for candidate in route.candidates)

    def _simulates(self, candidate: Candidate) -> bool:
        return candidate.model in SANDBOX_MODELS and self._is_sandbox_provider(candidate.provider)

    def _is_sandbox_provider(self, name: str) -> bool:
        provider = self._providers.open.get(name)
        return provider is not None and provider.protocol == SANDBOX

    def _visitors_bounds(self, who: Principal, models: list[str], prompt: Prompt) -> dict[str, Any]:
        for model in models:
            route = self._routes.find(model)
            if route is None or not self._is_sandbox(route) or self.name_of(model) != model:
                raise ModelNotAllowed("Without signing in as a member of a tenant only the sandbox's models answer.", param="models")
        if len(prompt.text) + len(prompt.system) > VISITORS_CHARACTERS:
            raise BadRequest(f"Without signing in a prompt has at most {VISITORS_CHARACTERS:,} characters.", param="prompt")
        most = VISITORS_TOKENS if prompt.max_tokens is None else min(prompt.max_tokens, VISITORS_TOKENS)
        return {"user": visitor_name(who.address), "max_tokens": most}

    async def _permitted(self, who: Principal) -> _Permitted:
        if not self.is_member(who):
            return _Permitted(None, None)
        tenant = await self._identity.tenants.get(who, who.tenant_id or "")
        return _Permitted(None, None if tenant.models is None else frozenset(tenant.models), tenant.default_model)

    def _usable(self, permitted: _Permitted, among: list[str] | None) -> Iterator[Route]:
        for route in self._routes.usable(permitted):
            if among is None or route.name in among:
                yield route

    def _choosable(self, route: Route) -> Choosable | None:
        """None for what is no chat model."""
        first = route.candidates[0]
        simulated = self._simulates(first)
        described = self._catalog.summary(first.offer_id) or self._catalog.summary(first.model)
        if not simulated and described is not None and described.mode != "chat":
            return None
        if self._is_sandbox_provider(first.provider) and not simulated:
            return None
        card, now = first.card or self._prices.card(first.offer_id), self._clock.now()
        paid, made = (None, None) if card is None else (card.line("input", at=now), card.line("output", at=now))
        return Choosable(
            id=route.name,
            name=described.name if described is not None else route.name,
            provider=first.provider,
            simulated=simulated,
            input_nano=None if paid is None else paid.nano_per_million,
            output_nano=None if made is None else made.nano_per_million,
        )

    def _finished(self, event: CompletionFinished) -> None:
        answer = self._open.pop(event.call.request_id, None)
        if answer is not None:
            answer.record = event.call


def visitor_name(address: str) -> str:
    """What the ledger and the limits know of an address: a digest. A whole IPv6 /64 is one, because one household has as much."""
    try:
        ip = ip_address(address)
        if ip.version == 6:
            address = str(ip_network(f"{ip}/64", strict=False))
    except ValueError:
        pass
    return "visitor-" + hashlib.sha256(f"playground\0{address}".encode()).hexdigest()[:24]


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    system = [{"role": "system", "content": prompt.system}] if prompt.system.strip() else []
    return [*system, {"role": "user", "content": prompt.text}]
