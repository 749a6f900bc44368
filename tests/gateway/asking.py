"""Calls that ask fake providers on the wire, without the rest of the gateway: no body, no key, no money."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

from backend.gateway.attempt import Asking
from backend.gateway.bounds import Bound
from backend.gateway.call import Call
from backend.gateway.token_families import family_of
from backend.gateway.upstreams import Upstreams
from backend.gateway.watch import Watch
from backend.identity.snapshot import KeyRecord
from backend.kernel.addresses import AddressPolicy
from backend.kernel.clock import SystemClock
from backend.kernel.errors import BourseError
from backend.kernel.events import EventBus
from backend.kernel.request import RequestContext
from backend.metering.record import CallRecord
from backend.providers.http import UpstreamHttp
from backend.providers.openai import OpenAIProvider
from backend.routing.bulkhead import Bulkhead
from backend.routing.health import Health
from backend.routing.route import Breaker, Candidate, Retries, Route, Timeouts
from backend.settings import ProviderSettings
from tests.fakes.openai_upstream import OpenAIUpstream

KEY = KeyRecord("key", "key", "key", "tenant", "tenant", None, None, None, (), True, None, None)
TIMEOUTS = Timeouts(connect=5, attempt=20, first_token=20, idle=20, total=30)


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    return {}


@dataclass
class Outcome:
    """What one call came to. `answer` is the text of a whole answer, or of what a stream brought first."""

    call: Call
    answer: str | None
    error: BourseError | None

    @property
    def asked(self) -> str:
        """Whom, in order: `aab`."""
        return "".join(attempt.provider for attempt in self.call.attempts)


@dataclass
class Stage:
    """Providers `a`, `b`… with a model each, and what the process knows of them."""

    upstreams: Upstreams
    servers: dict[str, OpenAIUpstream]
    pauses: float = 0.0
    """Of the longest that may be drawn; 1 = always that."""

    def __getattr__(self, name: str) -> OpenAIUpstream:
        return self.servers[name]

    def route(self, names: str = "", *, timeouts: Timeouts = TIMEOUTS, **settings: Any) -> Route:
        settings.setdefault("retries", Retries(backoff=0.001))
        settings.setdefault("breaker", Breaker(failures=1000))
        return Route("route", tuple(Candidate(name, "m", f"{name}/m") for name in names or self.servers), timeouts=timeouts, **settings)

    def call(self, route: Route, *, stream: bool = False) -> Call:
        context = RequestContext("req_0123456789", "", "0" * 32, None, "00", asyncio.get_running_loop().time())
        record = CallRecord("id", "req", "tenant", None, "key", "chat.completions", 0, stream=stream)
        body = {"model": "route", "messages": [{"role": "user", "content": "hi"}], **({"stream": True} if stream else {})}
        call = Call(context=context, key=KEY, payer=KEY, record=record, created_at=datetime.now(UTC), with_facts=False)
        call.body, call.route, call.candidates = body, route, route.candidates
        call.bounds = [Bound(candidate, family_of("m", candidate.provider), None, 10, 100, 1, True) for candidate in route.candidates]
        return call

    async def ask(self, route: Route, *, stream: bool = False, receive: Any = never) -> Outcome:
        call = self.call(route, stream=stream)
        watch = Watch(receive, total=route.timeouts.total)
        asking = Asking(call, watch, self.upstreams)
        try:
            if stream:
                opened = await asking.stream()
                opened.answer.close()
                return Outcome(call, opened.first.decode(), None)
            answer, _ = await asking.whole()
            return Outcome(call, answer.value["choices"][0]["message"]["content"], None)
        except BourseError as error:
            return Outcome(call, None, error)
        finally:
            asking.close()
            watch.stop()


@asynccontextmanager
async def stage(names: str = "ab", *, limits: dict[str, Bulkhead] | None = None, events: EventBus | None = None) -> AsyncIterator[Stage]:
    http = UpstreamHttp(AddressPolicy((IPv4Network("127.0.0.1/32"),)))
    async with AsyncExitStack() as stack:
        servers = {name: await stack.enter_async_context(OpenAIUpstream()) for name in names}
        providers = {
            name: OpenAIProvider(name, ProviderSettings(base_url=server.base_url), http, SystemClock()) for name, server in servers.items()
        }
        found = Stage(Upstreams(providers, lambda _: None, Health(limits, events=events)), servers)
        found.upstreams.random = lambda: found.pauses
        yield found
        await http.close()
