"""Providers that fail as they are told, on OpenAI's wire, and know one answer by heart; their log is the witness.

async with Providers() as providers:
    acme = await providers.open("acme", cut(after=40), healthy())     # first question, second; the last step repeats
    …  acme.url  acme.asked[0].generated
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Seen, chunk, completion, sse

TEXT = (
    "act add age ago aid air all and ant any ape arc arm art ash ask bad bag bar bat bay bed bee bid big bit box boy bus buy "
    "cab can cap car cat cow cry cup cut day den dew did dig dim dog dry due ear eat egg elm end era eye fan far fat few fit "
)
WORDS = tuple(TEXT[place : place + 4] for place in range(0, len(TEXT), 4))
"""Four bytes each, so that everybody who has to estimate tokens arrives at the number that was really made."""
TOKENS = len(WORDS)
PROMPT_TOKENS = 20
OTHER_WORDS = tuple(word.upper() for word in WORDS)
"""Of a model that begins anew and says it otherwise."""


@dataclass
class Asked:
    """One question that a provider was asked.

    `generated` are the tokens that it has put on the wire, which it will bill: of a stream those of its events, of a whole answer all
    of them, or none where the answer did not get through.
    """

    at: float
    seen: Seen
    generated: int = 0
    finished: bool = False
    finish: str = "stop"

    @property
    def prefilled(self) -> str | None:
        """The beginning of the answer that it was given, if there was one."""
        last = self.seen.body["messages"][-1]
        return last["content"] if last["role"] == "assistant" else None


Step = Callable[[Exchange, Asked], Awaitable[None]]


class Provider:
    """One of them. `looked_at`: how often somebody asked for its models, which is free."""

    def __init__(self, name: str, steps: Sequence[Step], port: int = 0) -> None:
        self.name = name
        self.asked: list[Asked] = []
        self._steps = list(steps)
        self.server = OpenAIUpstream(port)
        self.server.script(self._serve)

    @property
    def url(self) -> str:
        """The `base_url` to configure."""
        return self.server.base_url

    @property
    def looked_at(self) -> int:
        return len(self.server.looks)

    @property
    def generated(self) -> int:
        return sum(asked.generated for asked in self.asked)

    def script(self, *steps: Step) -> None:
        """From the next question on."""
        self._steps = list(steps)

    async def _serve(self, exchange: Exchange) -> None:
        asked = Asked(time.monotonic(), exchange.seen)
        self.asked.append(asked)
        await (self._steps.pop(0) if len(self._steps) > 1 else self._steps[0])(exchange, asked)


class Providers(AsyncExitStack):
    """Any number of them, each on a port of its own; they end together."""

    async def open(self, name: str, *steps: Step, port: int = 0) -> Provider:
        provider = Provider(name, steps or [healthy()], port)
        await self.enter_async_context(provider.server)
        return provider


# ── what they can be told to do ──────────────────────────────────────────────────────────────────────────────────────


def healthy(
    *, words: Sequence[str] = WORDS, per_event: int = 1, prefill: str = "goes on", after: float = 0.0, honest: bool = False
) -> Step:
    """The good answer, whole or streamed as asked.

    Args:
        prefill: what a trailing assistant message makes it do: "goes on" from there, "refuses" it, begins "anew".
        after: seconds of thought.
        honest: keep to the cap that was sent.
    """

    async def step(exchange: Exchange, asked: Asked) -> None:
        given = asked.prefilled
        if given is not None and prefill == "refuses":
            await _error(exchange, 400, "invalid_request_error", None, "The last message must not be from the assistant.")
            return
        rest = list(words) if prefill == "anew" else _left(asked, words)
        asked.finish = "length" if honest and exchange.seen.body["max_tokens"] < len(rest) else "stop"
        rest = rest[: exchange.seen.body["max_tokens"]] if honest else rest
        await asyncio.sleep(after)
        await _unless_gone(exchange)
        if exchange.seen.body.get("stream"):
            await _begin(exchange, asked)
            await _say(exchange, asked, rest, per_event)
            await _close(exchange, asked)
        else:
            await whole(exchange, 200, _answer("".join(rest), asked, len(rest)))
            asked.generated, asked.finished = len(rest), True

    return step


def refusing(status: int, code: str | None = None, message: str | None = None, *headers: str, kind: str = "api_error") -> Step:
    """An error status with OpenAI's body."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        await _error(exchange, status, kind, code, message or f"upstream says {status}", *headers)

    return step


def resetting() -> Step:
    """The connection is reset before anything was said."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        exchange.reset()

    return step


def silent(seconds: float, then: Step | None = None) -> Step:
    """Accept, read, and say nothing; then answer, if anybody still waits."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        if await _hung_up_within(exchange, seconds):
            return
        await (then or healthy())(exchange, asked)

    return step


def late(seconds: float) -> Step:
    """The headers come at once, the first token much later."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        if exchange.seen.body.get("stream"):
            await _begin(exchange, asked)
            if not await _hung_up_within(exchange, seconds):
                await _say(exchange, asked, WORDS)
                await _close(exchange, asked)
            return
        await _half_a_body(exchange, asked, then=lambda: _hung_up_within(exchange, seconds), half=0)

    return step


def cut(after: int, how: str = "close", words: Sequence[str] = WORDS) -> Step:
    """`after` tokens of a stream, or half of a whole answer, and then the end.

    Args:
        how: "close" in the middle of the body, "reset", or a well-formed "end" of the body without any finish_reason.
    """

    async def step(exchange: Exchange, asked: Asked) -> None:
        if exchange.seen.body.get("stream"):
            await _begin(exchange, asked)
            left = _left(asked, words)
            await _say(exchange, asked, left[: max(0, after - len(words) + len(left))])
            if how == "end":
                await exchange.end()
                return
            await asyncio.sleep(0.05)  # a reset overtakes what lies in the buffers
        else:
            await _half_a_body(exchange, asked)
        if how == "reset":
            exchange.reset()
        else:
            exchange.writer.close()
            exchange.keep_alive = False

    return step


def stalled(after: int, seconds: float) -> Step:
    """`after` tokens, silence, and the rest if anybody still waits. A whole answer falls silent in its middle."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        if not exchange.seen.body.get("stream"):
            await _half_a_body(exchange, asked, then=lambda: _hung_up_within(exchange, seconds))
            return
        await _begin(exchange, asked)
        left = _left(asked)
        await _say(exchange, asked, left[:after])
        if not await _hung_up_within(exchange, seconds):
            await _say(exchange, asked, left[after:])
            await _close(exchange, asked)

    return step


def garbled(event: int, *, lost: bool) -> Step:
    """One event is no JSON: beside the others, or (`lost`) in the place of one whose token is gone. A whole answer is no JSON at all."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        if not exchange.seen.body.get("stream"):
            body = json.dumps(_answer(TEXT, asked, TOKENS)).encode()
            await whole(exchange, 200, body[: len(body) // 2] + b'"}{' + body[len(body) // 2 :])
            return
        await _begin(exchange, asked)
        left = _left(asked)
        await _say(exchange, asked, left[: event - 1])
        await exchange.chunk(b'data: {"id":"chatcmpl-fake","choices":[{"index":0,"delta":{"content":"wor\n\n')
        asked.generated += lost
        await _say(exchange, asked, left[event if lost else event - 1 :])
        await _close(exchange, asked)

    return step


def without_done() -> Step:
    """A stream that ends after its finish_reason and usage. A whole answer without a length, which the end of the connection ends."""

    async def step(exchange: Exchange, asked: Asked) -> None:
        if exchange.seen.body.get("stream"):
            await _begin(exchange, asked)
            await _say(exchange, asked, _left(asked))
            await _close(exchange, asked, done=False)
            return
        body = json.dumps(_answer(TEXT, asked, TOKENS)).encode()
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + body)
        asked.generated, asked.finished = TOKENS, True
        exchange.writer.close()
        exchange.keep_alive = False

    return step


def until(seconds: float, first: Step, then: Step) -> Step:
    """`first` for so long after the first question, `then` from then on."""
    begun: list[float] = []

    async def step(exchange: Exchange, asked: Asked) -> None:
        begun[:] = begun or [asked.at]
        await (first if asked.at < begun[0] + seconds else then)(exchange, asked)

    return step


# ── on the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def whole(exchange: Exchange, status: int, body: Any, *headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    await exchange.head(status, headers=headers, length=len(data))
    await exchange.send(data)


async def _error(exchange: Exchange, status: int, kind: str, code: str | None, message: str, *headers: str) -> None:
    await whole(exchange, status, {"error": {"message": message, "type": kind, "param": None, "code": code}}, *headers)


def _model(asked: Asked) -> str:
    """What the provider calls the model that it was asked for."""
    return f"{asked.seen.body['model']}-2026-01-01"


def _usage(asked: Asked, tokens: int) -> dict[str, int]:
    prompt = PROMPT_TOKENS + -(-len(asked.prefilled or "") // 4)
    return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}


def _answer(text: str, asked: Asked, tokens: int) -> dict[str, Any]:
    return completion(text, usage=_usage(asked, tokens), model=_model(asked))


def _left(asked: Asked, words: Sequence[str] = WORDS) -> list[str]:
    """What is missing to the beginning that was given; the end of a word that was given in part goes with the next."""
    given = asked.prefilled or ""
    text = "".join(words)
    assert text.startswith(given), f"asked to go on from {given!r}"
    begun = -(-len(given) // 4)
    left = text[len(given) : 4 * begun]
    rest = list(words[begun:])
    return [left + rest[0], *rest[1:]] if rest else [left] if left else []


async def _begin(exchange: Exchange, asked: Asked) -> None:
    await exchange.head(content_type="text/event-stream")
    await exchange.chunk(sse(chunk({"role": "assistant", "content": ""}, model=_model(asked))))


async def _say(exchange: Exchange, asked: Asked, words: Sequence[str], per_event: int = 1) -> None:
    for place in range(0, len(words), per_event):
        said = words[place : place + per_event]
        await _unless_gone(exchange)
        asked.generated += len(said)
        await exchange.chunk(sse(chunk({"content": "".join(said)}, model=_model(asked))))


async def _close(exchange: Exchange, asked: Asked, *, done: bool = True) -> None:
    await exchange.chunk(sse(chunk({}, asked.finish, model=_model(asked))))
    await exchange.chunk(sse(chunk(None, usage=_usage(asked, asked.generated), model=_model(asked))))
    if done:
        await exchange.chunk(sse("[DONE]"))
    await exchange.end()
    asked.finished = True


async def _half_a_body(
    exchange: Exchange, asked: Asked, *, then: Callable[[], Awaitable[bool]] | None = None, half: int | None = None
) -> None:
    """The beginning of a whole answer, and its end if `then` comes to an end with nobody having hung up."""
    body = json.dumps(_answer(TEXT, asked, TOKENS)).encode()
    place = len(body) // 2 if half is None else half
    await exchange.head(length=len(body))
    await exchange.send(body[:place])
    if then is not None and not await then():
        await exchange.send(body[place:])
        asked.generated, asked.finished = TOKENS, True


async def _unless_gone(exchange: Exchange) -> None:
    """Nobody generates for who has hung up."""
    await asyncio.sleep(0)
    if exchange.reader.at_eof() or exchange.writer.transport.is_closing():
        raise ConnectionResetError


async def _hung_up_within(exchange: Exchange, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await exchange.until_hang_up()
    except TimeoutError:
        return False
    return True
