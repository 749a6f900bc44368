"""`/v1/responses`: OpenAI's Responses API in front of the chat pipeline, and the responses that are kept.

The pipeline knows nothing of it: it reads a chat body, and what it sends is translated on its way out. Limits, budgets, routes, recovery,
the ledger and Idempotency-Key are therefore those of chat.
"""

from typing import Any
from urllib.parse import parse_qsl

from backend.gateway.pipeline import SPOKEN, Pipeline
from backend.gateway.responses import send_json
from backend.gateway.responses_api.body import SIGNED_THOUGHTS, asked, chat_body, check_includable
from backend.gateway.responses_api.kept import Kept
from backend.gateway.responses_api.listing import page_of
from backend.gateway.responses_api.params import callers_param
from backend.gateway.responses_api.response import Identity, Item
from backend.gateway.responses_api.service import Earlier, ResponseStore
from backend.gateway.responses_api.telling import Telling
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import read_body
from backend.kernel.clock import Clock
from backend.kernel.errors import BadRequest, MethodNotAllowed, NotFound, UnsupportedParameter
from backend.kernel.ids import new_id
from backend.kernel.json import dump_json, parse_json
from backend.kernel.request import Message, Receive, Scope, Send

PATH = "/v1/responses"
_NOT_HERE = ("compact", "input_tokens")
"""What OpenAI has where responses have their ids."""
_BELOW = {"": ("GET", "HEAD", "DELETE"), "input_items": ("GET", "HEAD"), "cancel": ("POST",)}


class ResponsesApi:
    def __init__(self, pipeline: Pipeline, store: ResponseStore, clock: Clock) -> None:
        self._pipeline = pipeline
        self._store = store
        self._clock = clock

    async def create(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/responses`."""
        call = _Call(self._store, self._clock, send)
        await self._pipeline.chat_completion({**scope, SPOKEN: call}, receive, call.send)

    async def kept(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer `GET` and `DELETE /v1/responses/{id}`, `GET …/input_items`, and `POST …/cancel`, which is refused.

        Raises:
            NotFound, MethodNotAllowed, BadRequest, StorageUnavailable
        """
        response_id, _, rest = scope["path"][len(PATH) + 1 :].partition("/")
        methods = _BELOW.get(rest)
        if methods is None or not response_id or response_id in _NOT_HERE:
            raise NotFound("There is no such endpoint.")
        if scope["method"] not in methods:
            raise MethodNotAllowed(f"Use {' or '.join(methods)} here.", headers={"allow": ", ".join(methods)})
        key = await self._pipeline.enter(scope)
        if rest == "cancel":
            await self._store.find(key, response_id)
            raise BadRequest("Only a response that runs in the background can be cancelled, and nothing does here: hang up instead.")
        if scope["method"] == "DELETE":
            await self._store.delete(key, response_id, scope["bourse"])
            answer: dict[str, Any] = {"id": response_id, "object": "response", "deleted": True}
        else:
            kept, query = await self._store.find(key, response_id), scope["query_string"]
            answer = page_of(kept, query) if rest else _shown(kept, query)
        await send_json(send, 200, dump_json(answer))


class _Call:
    """One request on its way through the pipeline: `Spoken` on its way in, `send` on its way out."""

    endpoint = "responses"

    def __init__(self, store: ResponseStore, clock: Clock, send: Send) -> None:
        self._store = store
        self._clock = clock
        self._send = send
        self._told: Telling | None = None

    async def read(self, key: KeyRecord, scope: Scope, receive: Receive) -> dict[str, Any]:
        request = asked(parse_json(await read_body(scope, receive)))
        is_kept = self._store.keeps(request.store)
        earlier = Earlier()
        if request.previous is not None:
            earlier = await self._store.earlier(key, request.previous)
            request.earlier = earlier.items
        if references := request.references:
            request.resolve(await self._store.referred(key, references))
        body = chat_body(request)
        identity = Identity(new_id("response"), request, int(self._clock.now().timestamp()), stored=is_kept)

        async def keep(response: dict[str, Any], output: list[Item]) -> bool:
            return await self._store.keep(key, Kept({**response, "output": output}, request.own), earlier)

        self._told = Telling(self._send, self._clock, identity, keep if is_kept else None)
        return body

    def own_name(self, field: str) -> str:
        """As `Spoken.own_name`."""
        return callers_param(field, ())

    async def send(self, message: Message) -> None:
        if self._told is None:
            await self._send(message)  # an error: the request was not understood
        else:
            await self._told.send(message)


def _shown(kept: Kept, query: bytes) -> dict[str, Any]:
    """The response as it was answered, with what `include[]` asks for beyond it."""
    given = parse_qsl(query.decode("latin-1"))
    if ("stream", "true") in given:
        raise UnsupportedParameter("A response that is over is not streamed again.", param="stream")
    included = [value for name, value in given if name in ("include", "include[]")]
    check_includable(included)
    if SIGNED_THOUGHTS in included:
        return kept.response
    output = [{name: value for name, value in item.items() if name != "encrypted_content"} for item in kept.output]
    return {**kept.response, "output": output}
