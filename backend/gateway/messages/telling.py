"""What the pipeline sends, in OpenAI's shapes, as it goes out to who asked in Anthropic's: a `send` around the server's own."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from backend.gateway.messages.answer import message_of
from backend.gateway.messages.errors import as_anthropic
from backend.gateway.messages.stream import MessageEvents
from backend.gateway.responses import in_callers_words
from backend.kernel.header_lines import EXTENSION
from backend.kernel.json import dump_json
from backend.kernel.request import Message, Send
from backend.pricing.usage import Usage

REQUEST_ID = b"request-id: %b\r\n"
_STREAM = (b"content-type", b"text/event-stream")


class Telling:
    """One answer. Call it as ASGI's `send`.

    Args:
        usage: what is known, or estimated, of a prompt's and an answer's tokens where the provider has counted none.
    """

    __slots__ = ("_body", "_events", "_head", "_request_id", "_send", "_usage", "place", "thoughts")

    def __init__(self, send: Send, request_id: str, usage: Callable[[Mapping[str, Any] | None], Usage]) -> None:
        self._send = send
        self._request_id = request_id
        self._usage = usage
        self._head: Message | None = None
        self._body: list[bytes] = []
        self._events: MessageEvents | None = None
        self.thoughts = True
        """Whether thoughts are told."""
        self.place: Callable[[str], str] = lambda param: param
        """What the caller calls a field of the chat body."""

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            return self._starts(message)
        if self._events is None:
            return self._whole(message)
        out = self._events.feed(message["body"]) if message.get("body") else b""
        if not out and message.get("more_body"):
            return _nothing()
        message["body"] = out
        return self._send(message)

    async def _starts(self, message: Message) -> None:
        message[EXTENSION] = [*message.get(EXTENSION, ()), (REQUEST_ID % self._request_id.encode("latin-1"), 1)]
        if _STREAM not in message["headers"]:
            self._head = message
            return
        self._events = MessageEvents(self._request_id, lambda: self._usage(None), thoughts=self.thoughts)
        await self._send(message)

    async def _whole(self, message: Message) -> None:
        self._body.append(message.get("body", b""))
        if message.get("more_body"):
            return
        head = self._head
        assert head is not None
        value = orjson.loads(b"".join(self._body))
        body = self._error(value) if head["status"] >= 400 else self._message(value)
        head["headers"] = [(name, b"%d" % len(body) if name == b"content-length" else content) for name, content in head["headers"]]
        await self._send(head)
        await self._send({**message, "body": body})

    def _message(self, value: dict[str, Any]) -> bytes:
        return orjson.dumps(message_of(value, self._usage(value), thoughts=self.thoughts))

    def _error(self, value: dict[str, Any]) -> bytes:
        error = value.get("error")
        if isinstance(error, dict):
            value = {"error": in_callers_words(error, self.place)}
        return dump_json(as_anthropic(value, self._request_id))


async def _nothing() -> None:
    """Of what came, nothing is to be told yet."""
