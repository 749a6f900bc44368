"""One prompt on its way to several models, as a page watches it: texts as they come, and at the end what the ledger knows."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backend.gateway.fan_out.in_process import Question
from backend.gateway.fan_out.schemas import Answered
from backend.kernel.request import App, RequestContext
from backend.metering.record import CallRecord

MOST_SECONDS = 300.0
"""How long one answer may take."""
MOST_CHARACTERS = 400_000
"""Of one answer; whoever writes more is hung up."""


@dataclass(slots=True)
class Answer:
    """What one model has said so far. `record` is its row of the ledger, once it has one; `ended` once nothing more comes."""

    model: str
    answered: Answered
    pieces: list[str] = field(default_factory=list)
    first_token_ms: int | None = None
    record: CallRecord | None = None
    ended: bool = False
    stopped: bool = False
    too_long: bool = False
    characters: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Comparison:
    """Begins at once. Whoever watches it waits for `news` and reads `answers`; `leave` when nobody watches any more.

    Args:
        on_over: called once, when the last call has ended.
    """

    def __init__(
        self,
        gateway: App,
        context: RequestContext,
        authorization: str,
        models: list[str],
        body: dict[str, Any],
        on_over: Callable[["Comparison"], None],
    ) -> None:
        self._on_over = on_over
        self.answers = [Answer(model, Answered(model_name=model, provider=None)) for model in models]
        self.request_ids = [f"{context.request_id}-{number + 1}" for number in range(len(models))]
        """Of the calls, as they stand in the ledger."""
        self._news = asyncio.Event()
        self._started = time.monotonic()
        self._questions = [
            Question(answer.answered, {**body, "model": answer.model}, self._listener(number)) for number, answer in enumerate(self.answers)
        ]
        self._asking = [
            asyncio.create_task(self._ask(number, gateway, context, authorization), name="playground") for number in range(len(models))
        ]

    @property
    def over(self) -> bool:
        return all(answer.ended for answer in self.answers)

    async def news(self, seconds: float) -> None:
        """Wait until something has changed since the last time, no longer than that."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    def stop(self, number: int | None = None) -> None:
        """Hang up on one model, or on all that still answer. What has been said stays, and is paid for."""
        for at, answer in enumerate(self.answers):
            if number in (None, at) and not answer.ended:
                answer.stopped = True
                self._questions[at].hang_up()
        self._news.set()

    def leave(self) -> None:
        """Nobody watches any more: what still runs is hung up. The gateway settles it as any hang-up."""
        for question in self._questions:
            question.hang_up()

    async def settled(self) -> None:
        """Wait until every call has ended."""
        await asyncio.gather(*self._asking)

    def _listener(self, number: int) -> Any:
        answer = self.answers[number]

        def said(text: str) -> None:
            if answer.first_token_ms is None:
                answer.first_token_ms = round((time.monotonic() - self._started) * 1000)
            if answer.stopped or answer.too_long:
                return
            answer.pieces.append(text)
            answer.characters += len(text)
            if answer.characters > MOST_CHARACTERS:
                answer.too_long = True
                self._questions[number].hang_up()
            self._news.set()

        return said

    async def _ask(self, number: int, gateway: App, context: RequestContext, authorization: str) -> None:
        try:
            await self._questions[number].ask(gateway, context, number + 1, authorization, MOST_SECONDS)
        finally:
            self.answers[number].ended = True
            self._news.set()
            if self.over:
                self._on_over(self)
