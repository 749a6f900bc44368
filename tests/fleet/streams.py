"""Streams on which everybody keeps count: the upstream of what it sent, the caller of what it got."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, _whole, chunk, completion, sse
from tests.rig.fleet import Fleet, Key

PROMPT_TOKENS = 5
"""Of "hi", as the gateway estimates it; the upstream counts the same."""


@dataclass
class Told:
    """What the upstream knows of one call, by the name that the caller gave in `user`."""

    opened_before: bool = False
    """Its open line was on the disk when the upstream heard of it."""
    sent: int = 0
    finished: bool = False


@dataclass
class Got:
    """What the caller got."""

    tokens: int = 0
    at: list[float] = field(default_factory=list)
    status: int = 0
    done: bool = False
    error: Any = None
    first: asyncio.Event = field(default_factory=asyncio.Event)
    burst: asyncio.Event = field(default_factory=asyncio.Event)


class CountingUpstream:
    """Sends `burst` tokens at once and then one every `gap` seconds, `total` in all; a whole answer comes after `think` seconds.

    A caller chooses with `metadata`, which the gateway passes on: {"burst": 200, "gap": 0.1, "total": 10000, "think": 1}. Once `enough`
    is set, streams finish with what they have.
    """

    def __init__(self, server: OpenAIUpstream, journals: Callable[[], Iterable[Path]]) -> None:
        self.calls: dict[str, Told] = {}
        self.enough = asyncio.Event()
        self._journals = journals
        server.script(self._answer)

    async def _answer(self, exchange: Exchange) -> None:
        body = exchange.seen.body
        name, plan = body["user"], body["metadata"]
        told = self.calls[name] = Told(self._is_open(name))
        if not body.get("stream"):
            await asyncio.sleep(plan["think"])
            await _whole(exchange, 200, completion("x", usage=_usage(plan["total"])))
            told.sent, told.finished = plan["total"], True
            return
        await exchange.head(content_type="text/event-stream")
        word = sse(chunk({"content": " word"}))
        burst = plan.get("burst", 1)
        told.sent = burst
        await exchange.chunk(word * burst)
        while told.sent < plan["total"] and not self.enough.is_set():
            await asyncio.sleep(plan["gap"])
            told.sent += 1
            await exchange.chunk(word)
        told.finished = True
        for end in (chunk({}, "stop"), chunk(None, usage=_usage(told.sent)), "[DONE]"):
            await exchange.chunk(sse(end))
        await exchange.end()

    def _is_open(self, name: str) -> bool:
        mark = f'"{name}"'.encode()
        for journal in self._journals():
            for segment in sorted(journal.glob("*.jsonl"), reverse=True):
                data = segment.read_bytes()
                place = data.rfind(mark)
                if place >= 0 and data.startswith(b'["open"', data.rfind(b"\n", 0, place) + 1):
                    return True
        return False


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}


async def listen(session: aiohttp.ClientSession, fleet: Fleet, key: Key, name: str, number: int, got: Got, **plan: Any) -> None:
    """Call and count until the answer ends, however it ends."""
    stream = "think" not in plan
    body = {"model": "dear", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20_000, "stream": stream}
    loop = asyncio.get_running_loop()
    try:
        async with fleet.call(session, key, {**body, "user": name, "metadata": plan}, number) as answer:
            got.status = answer.status
            if not stream:
                got.error = (await answer.json()).get("error")
                got.done = answer.status == 200
                return
            async for line in answer.content:
                if b'"content":" word"' in line:
                    got.tokens += 1
                    got.at.append(loop.time())
                    got.first.set()
                    if got.tokens >= plan.get("burst", 1):
                        got.burst.set()
                elif line.startswith(b"data: [DONE]"):
                    got.done = True
                elif b'"error"' in line:
                    got.error = line
    except (aiohttp.ClientError, ConnectionError) as error:
        got.error = got.error or repr(error)
    finally:
        got.first.set()
        got.burst.set()
