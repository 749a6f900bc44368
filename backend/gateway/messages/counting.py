"""`POST /v1/messages/count_tokens`: how long a prompt is for the model that would be asked first. Nobody is asked, and nothing is charged.

We count as for reservations: with the model's own tokenizer where it ships, and never too few (`token_count`).
"""

from collections.abc import Awaitable, Callable

from backend.gateway.chat_body import check_chat_body
from backend.gateway.messages.api_key import with_authorization
from backend.gateway.messages.request import chat_body
from backend.gateway.models_list import ModelList
from backend.gateway.responses import send_json
from backend.gateway.standing_headers import StandingHeaders
from backend.gateway.token_bound import token_bound
from backend.gateway.token_count import TokenCounter
from backend.gateway.token_families import family_of
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import read_body
from backend.kernel.json import dump_json, parse_json
from backend.kernel.request import Receive, Scope, Send
from backend.routing.table import RouteTable

HOW = b"x-bourse-token-count"
COUNTED, BOUND = b"counted", b"upper-bound"
MOST_AT_ONCE = 4
"""Counts of this endpoint under way: calls that are to be answered wait for the same thread."""


class TokenCounting:
    """Args:
    enter: whose request it is, once it is his turn.
    """

    def __init__(
        self,
        enter: Callable[[Scope], Awaitable[KeyRecord]],
        routes: RouteTable,
        models: ModelList,
        counter: TokenCounter,
        standing: StandingHeaders,
    ) -> None:
        self._enter = enter
        self._routes = routes
        self._models = models
        self._counter = counter
        self._standing = standing
        self._under_way = 0

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with `{"input_tokens": …}` and, in a header, how they were found."""
        key = await self._enter({**scope, "headers": with_authorization(scope)})
        body = chat_body(parse_json(await read_body(scope, receive)), counting=True).body
        candidate = self._routes.resolve(check_chat_body(body).model, key).candidates[0]
        family, context = family_of(candidate.model, candidate.provider), self._models.window(candidate)
        tokens = bound = token_bound(body, family, context)
        if self._under_way < MOST_AT_ONCE:
            self._under_way += 1
            try:
                tokens = await self._counter.count(body, family, context)
            finally:
                self._under_way -= 1
        how = COUNTED if tokens < bound and family.percent == 100 else BOUND
        headers = [(HOW, how), (b"request-id", scope["bourse"].request_id.encode("latin-1")), *self._standing.of_payer(key)]
        await send_json(send, 200, dump_json({"input_tokens": tokens}), headers)
