"""The chat pipeline's `send` for one response: what it says, in the words of the Responses API.

Errors before the first byte have the shape that both APIs share, and name the caller's own field. What is kept is kept before the caller
hears the end of the answer, so that he can go on from it at once.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from backend.gateway.responses import KEEP_ALIVE, in_callers_words
from backend.gateway.responses_api.answer import output_of
from backend.gateway.responses_api.params import callers_param
from backend.gateway.responses_api.response import Identity, Item, shown
from backend.gateway.responses_api.stream import ResponseStream
from backend.kernel.clock import Clock
from backend.kernel.json import dump_json
from backend.kernel.request import Message, Send

Keep = Callable[[dict[str, Any], list[Item]], Awaitable[bool]]
"""Keeps a response with the output as it is to be remembered; whether it did."""
_LENGTH = b"content-length"


class Telling:
    """Args:
    keep: None = it is not to be kept.
    """

    def __init__(self, send: Send, clock: Clock, identity: Identity, keep: Keep | None) -> None:
        self._send = send
        self._clock = clock
        self._identity = identity
        self._keep = keep
        self._stream = ResponseStream(identity) if identity.request.stream else None
        self._start: Message | None = None
        self._is_error = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_error = message["status"] != 200
            if self._stream is not None and not self._is_error:
                await self._send(message)
            else:
                self._start = message
            return
        if self._is_error:
            await self._send_json(self._in_callers_words(message["body"]))
        elif self._stream is not None:
            await self._send_events(self._stream, message)
        else:
            await self._send_whole(message["body"])

    async def _send_whole(self, body: bytes) -> None:
        completion, identity = orjson.loads(body), self._identity
        model = completion.get("model")
        if isinstance(model, str) and model:
            identity.model = model
        output, finish = output_of(completion, identity)
        visible = [shown(item, identity) for item in output]
        usage, tier = completion.get("usage"), completion.get("service_tier")
        response = identity.ended(finish, visible, usage=usage, tier=tier, now=self._now)
        if "bourse" in completion:
            response["bourse"] = completion["bourse"]
        await self._kept(response, output)
        await self._send_json(dump_json(response))

    async def _send_json(self, data: bytes) -> None:
        start = self._start
        assert start is not None
        others = [header for header in start["headers"] if header[0] != _LENGTH]
        await self._send({**start, "headers": [*others, (_LENGTH, b"%d" % len(data))]})
        await self._send({"type": "http.response.body", "body": data})

    async def _send_events(self, stream: ResponseStream, message: Message) -> None:
        data = message["body"]
        if message.get("more_body", False):
            out = data if data == KEEP_ALIVE else stream.feed(data)
            if out:
                await self._send({**message, "body": out})
            return
        out = stream.feed(data)
        if stream.done and stream.error is None:
            last, response, output = stream.close(self._now)
            await self._kept(response, output)
            out += last + stream.ending(response)
        else:
            out += stream.failing()
        await self._send({**message, "body": out})

    def _in_callers_words(self, body: bytes) -> bytes:
        """An error that names a field names the caller's."""
        value, places = orjson.loads(body), self._identity.request.places
        value["error"] = in_callers_words(value["error"], lambda param: callers_param(param, places))
        return dump_json(value)

    async def _kept(self, response: dict[str, Any], output: list[Item]) -> None:
        if self._keep is not None:
            response["store"] = await self._keep(response, output)

    @property
    def _now(self) -> int:
        return int(self._clock.now().timestamp())
