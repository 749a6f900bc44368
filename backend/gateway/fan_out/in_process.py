"""One chat completion, asked of our own gateway without a socket: the same call, with the same limits, budgets and row in the ledger."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import structlog

from backend.gateway.fan_out.schemas import Answered, Failure
from backend.gateway.responses_api.generated import words
from backend.kernel.errors import BourseError, InternalError, as_openai, status_of
from backend.kernel.json import dump_json
from backend.kernel.money import NANO_PER_USD
from backend.kernel.request import GONE, App, Message, RequestContext, Scope
from backend.kernel.sse import EventSplitter

log = structlog.get_logger(__name__)

PATH = "/v1/chat/completions"


class Question:
    """One call, and its caller: who hangs up when its time is over, or when `hang_up` is called.

    Args:
        answered: filled in.
        said: told each piece of the text as it comes; None asks for a whole answer.
    """

    def __init__(self, answered: Answered, body: dict[str, Any], said: Callable[[str], None] | None) -> None:
        self.answered = answered
        self._gone = asyncio.Event()
        self._said = said
        stream = {"stream": True, "stream_options": {"include_usage": True}} if said is not None else {}
        self._body = dump_json(body | stream)
        self._status = 0
        self._pieces: list[bytes] = []
        self._events = EventSplitter()
        self._text: list[str] = []
        self._ended = False

    def hang_up(self) -> None:
        """Nobody wants the answer any more. The gateway notices within a second, as it does with any caller, and settles the call."""
        self._gone.set()

    async def ask(self, gateway: App, parent: RequestContext, number: int, authorization: str, seconds: float) -> None:
        """Fill `answered` in. Never raises but for a cancellation."""
        started = time.monotonic()
        context = replace(parent, request_id=f"{parent.request_id[:120]}-{number}", started=started, call=None, route=None)
        self.answered.request_id = context.request_id
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": PATH,
            "query_string": b"",
            "headers": [(b"authorization", authorization.encode("latin-1")), (b"content-type", b"application/json")],
            "client": (parent.address, 0),
            "bourse": context,
            "bourse.body": self._body,
            GONE: self._gone.is_set,
        }
        timer = asyncio.get_running_loop().call_later(seconds, self._gone.set)
        try:
            await gateway(scope, self._receive, self._send)
            self._conclude()
        except BourseError as error:
            self._failed(as_openai(error), error.status)
        except Exception:
            # The others have their answers all the same.
            log.exception("fan_out.call_failed", request_id=context.request_id)
            ours = InternalError(f"Something went wrong on our side. Quote request {context.request_id}.")
            self._failed(as_openai(ours), ours.status)
        finally:
            timer.cancel()
            self.answered.latency_ms = round((time.monotonic() - started) * 1000)
            if not self.answered.success and self.answered.error is None:
                self.answered.error = Failure(message=f"No whole answer within {seconds:g} s.", code="timeout", status=504)

    async def _receive(self) -> Message:
        """As ASGI's, once the body is there."""
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        """As ASGI's."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif self._said is None or self._status != 200:
            self._pieces.append(message.get("body", b""))
        else:
            for event in self._events.feed(message.get("body", b"")):
                self._take(event)

    def _take(self, event: bytes) -> None:
        if event == b"[DONE]":
            self._ended = True
            return
        chunk = orjson.loads(event)
        if "error" in chunk:
            self._failed(chunk, status_of(chunk["error"].get("code")))
            return
        self._learn(chunk)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta")
            text = words(delta.get("content"))[0] if isinstance(delta, dict) else ""
            if text:
                self._text.append(text)
                assert self._said is not None
                self._said(text)
            self.answered.finish_reason = choice.get("finish_reason") or self.answered.finish_reason

    def _conclude(self) -> None:
        """The gateway has said all that it says."""
        if self._pieces:
            value = orjson.loads(b"".join(self._pieces))
            if self._status != 200:
                self._failed(value, self._status)
                return
            self._learn(value)
            choices = value.get("choices")
            choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
            message = choice.get("message")
            self._text, self._ended = [words(message.get("content"))[0] if isinstance(message, dict) else ""], True
            self.answered.finish_reason = choice.get("finish_reason")
        if self._text:
            self.answered.response = "".join(self._text)
        if self._ended:
            self.answered.success = True
            self.answered.response = self.answered.response or ""

    def _learn(self, value: dict[str, Any]) -> None:
        answered, facts = self.answered, value.get("bourse")
        answered.model = value.get("model") or answered.model
        answered.usage = value.get("usage") or answered.usage
        if facts is not None:
            answered.provider = facts["provider"]
            if facts["costUsd"] is not None:
                answered.cost_nano = round(facts["costUsd"] * NANO_PER_USD)

    def _failed(self, value: dict[str, Any], status: int) -> None:
        error = value["error"]
        self.answered.error = Failure(message=error["message"], code=error.get("code"), status=status)
