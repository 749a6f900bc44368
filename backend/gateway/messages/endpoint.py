"""`POST /v1/messages`: Anthropic's Messages API in front of any provider.

A call is the same call as a chat completion, with the same keys, limits, budgets, recovery, cache and ledger: the body is read as the chat
body that it means, and what the pipeline sends is told in Anthropic's shapes. Source: platform.claude.com/docs/en/api/messages.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from backend.gateway.estimate import estimated_answer_tokens, estimated_prompt_tokens
from backend.gateway.messages.api_key import with_authorization
from backend.gateway.messages.asked import Heard, heard
from backend.gateway.messages.request import chat_body
from backend.gateway.messages.telling import Telling
from backend.gateway.pipeline import ENTERED, SPOKEN
from backend.identity.snapshot import KeyRecord
from backend.kernel.body import ClientDisconnected, read_body
from backend.kernel.errors import BourseError
from backend.kernel.json import parse_json
from backend.kernel.request import App, Message, Receive, Scope, Send, header
from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_openai

Replay = Callable[[App, str, Scope, Receive, Send], Awaitable[None]]


class Messages:
    """Args:
    complete: answers a chat completion.
    enter: whose request it is, once it is his turn.
    replay: answers a request that came with an Idempotency-Key, once; None where nothing is replayed.
    """

    def __init__(self, complete: App, enter: Callable[[Scope], Awaitable[KeyRecord]], replay: Replay | None) -> None:
        self._complete = complete
        self._enter = enter
        self._replay = replay

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `POST /v1/messages`."""
        said = _Said(send, scope["bourse"].request_id)
        asked = {**scope, "headers": with_authorization(scope), SPOKEN: said}
        if self._replay is not None:
            idempotency_key = header(scope, b"idempotency-key")
            if idempotency_key is not None:
                await self._once(self._replay, idempotency_key, said, asked, receive)
                return
        await self._complete(asked, receive, said.telling)

    async def _once(self, replay: Replay, idempotency_key: str, said: "_Said", asked: Scope, receive: Receive) -> None:
        """The answer may be one that was given before: what is said of it has to be known all the same."""
        asked[ENTERED] = await self._enter(asked)
        try:
            body = await read_body(asked, receive)
        except (BourseError, ClientDisconnected) as error:
            await self._complete(asked, _raising(error), said.telling)
            return
        headers = [one for one in asked["headers"] if one[0] not in (b"content-encoding", b"content-length")]
        with suppress(BourseError):  # the call itself is refused for it, and has its row
            said.understand(body, asked)
        await replay(self._complete, idempotency_key, {**asked, "headers": headers, "bourse.body": body}, receive, said.telling)


class _Said:
    """One request, as the pipeline reads it."""

    __slots__ = ("body", "heard", "telling")
    endpoint = "messages"

    def __init__(self, send: Send, request_id: str) -> None:
        self.body: dict[str, Any] | None = None
        self.heard = Heard()
        self.telling = Telling(send, request_id, self.usage)

    async def read(self, key: KeyRecord, scope: Scope, receive: Receive) -> dict[str, Any]:  # noqa: ARG002 - as the pipeline asks
        """As `Spoken.read`.

        Raises:
            BadRequest, UnsupportedParameter: what it says cannot be meant, or not be said to every provider.
        """
        heard.set(self.heard)
        return self.body if self.body is not None else self.understand(await read_body(scope, receive), scope)

    def understand(self, data: bytes, scope: Scope) -> dict[str, Any]:
        """As `read`, of the body's bytes."""
        meant = chat_body(parse_json(data), betas=header(scope, b"anthropic-beta"))
        self.telling.place = meant.place
        thinking = meant.body.get("thinking")
        self.telling.thoughts = thinking is None or thinking["type"] != "disabled"
        self.body = meant.body
        return meant.body

    def own_name(self, field: str) -> str:
        """As `Spoken.own_name`."""
        return self.telling.place(field)

    def usage(self, answer: Mapping[str, Any] | None) -> Usage:
        """Of a whole answer: the provider's count, else our estimate; of one that has only begun, what the provider has said so far, else
        the estimate of its prompt."""
        counted = usage_from_openai(answer.get("usage")) if answer is not None else self.heard.usage
        if counted is not None:
            return counted
        output = estimated_answer_tokens(answer) if answer is not None else 0
        return Usage(input=estimated_prompt_tokens(self.body) if self.body is not None else 0, output=output)


def _raising(error: Exception) -> Receive:
    async def receive() -> Message:
        raise error

    return receive
