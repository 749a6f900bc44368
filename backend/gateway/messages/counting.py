"""`POST /v1/messages/count_tokens`: how long a prompt is for the model that would be asked first. It costs nothing, and makes no row; it
counts as one request of the key's limits.

Providers that count for nothing are asked. For all others, and where one does not say, we count as for reservations: with the model's own
tokenizer where it ships, and never too few (`token_count`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from backend.gateway.chat_body import check_chat_body
from backend.gateway.messages.api_key import with_authorization
from backend.gateway.messages.request import chat_body
from backend.gateway.models_list import ModelList
from backend.gateway.responses import send_json
from backend.gateway.standing_headers import StandingHeaders
from backend.gateway.token_bound import token_bound
from backend.gateway.token_count import TokenCounter
from backend.gateway.token_families import family_of
from backend.gateway.upstreams import Upstreams
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import read_body
from backend.kernel.json import dump_json, parse_json
from backend.kernel.request import Receive, Scope, Send, header
from backend.limits.limiter import Limiter
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, PromptCounter
from backend.routing.route import Candidate
from backend.routing.table import RouteTable

HOW = b"x-bourse-token-count"
EXACT, COUNTED, BOUND = b"exact", b"counted", b"upper-bound"
MOST_AT_ONCE = 4
"""Counts of ours under way: calls that are to be answered wait for the same thread."""
MOST_ASKED_AT_ONCE = 16
ASKED_SECONDS = 5.0
"""How long a provider has to say."""


class TokenCounting:
    """Args:
    enter: whose request it is, once it is his turn.
    """

    def __init__(
        self,
        enter: Callable[[Scope], Awaitable[KeyRecord]],
        routes: RouteTable,
        models: ModelList,
        upstreams: Upstreams,
        counter: TokenCounter,
        standing: StandingHeaders,
        limiter: Limiter,
    ) -> None:
        self._enter = enter
        self._routes = routes
        self._models = models
        self._upstreams = upstreams
        self._counter = counter
        self._standing = standing
        self._limiter = limiter
        self._under_way = self._asked = 0

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with `{"input_tokens": …}` and, in a header, how they were found."""
        key = await self._enter({**scope, "headers": with_authorization(scope)})
        betas = header(scope, b"anthropic-beta")
        body = chat_body(parse_json(await read_body(scope, receive)), betas=betas, counting=True).body
        route = self._routes.resolve(check_chat_body(body).model, key)
        candidate = route.candidates[0]
        request = ChatRequest(body, candidate.model, route.timeouts.connect, scope["bourse"].outgoing_traceparent())
        admission = await self._limiter.admit(key, 0)
        try:
            tokens, how = await self._asked_of(candidate, key.tenant_id, request), EXACT
            if tokens is None:
                tokens, how = await self._counted(body, candidate)
        finally:
            admission.settle(0)
        request_id = (b"request-id", scope["bourse"].request_id.encode("latin-1"))
        headers = [(HOW, how), request_id, *admission.headers, *self._standing.of_payer(key)]
        await send_json(send, 200, dump_json({"input_tokens": tokens}), headers)

    async def _asked_of(self, candidate: Candidate, tenant_id: str, request: ChatRequest) -> int | None:
        """None where the provider does not say.

        Raises:
            BourseError: it does not take such a request.
        """
        provider = self._upstreams.of(tenant_id).providers.get(candidate.provider)
        if provider is None or not provider.capabilities.counts_prompts or self._asked >= MOST_ASKED_AT_ONCE:
            return None
        self._asked += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ASKED_SECONDS):
                    return await cast(PromptCounter, provider).count_prompt(request)
        except UpstreamFailure as failure:
            if failure.kind == "refused":
                raise failure.error from None
        finally:
            self._asked -= 1
        return None

    async def _counted(self, body: Mapping[str, Any], candidate: Candidate) -> tuple[int, bytes]:
        family, context = family_of(candidate.model, candidate.provider), self._models.window(candidate)
        tokens = bound = token_bound(body, family, context)
        if self._under_way < MOST_AT_ONCE:
            self._under_way += 1
            try:
                tokens = await self._counter.count(body, family, context)
            finally:
                self._under_way -= 1
        return tokens, COUNTED if tokens < bound and family.percent == 100 else BOUND
