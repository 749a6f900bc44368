"""One gateway for all tests of a file, before three providers; and what the tests tell these to do."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.gateway.retry_budget import RetryBudget
from tests.fakes.openai_upstream import WORDS, Exchange, OpenAIUpstream, Step, answer, chunk, events, status
from tests.gateway.conftest import KEY, Rig, configuration, gateway_in

BEARER = {"authorization": f"Bearer {KEY}"}
HEAD = chunk({"role": "assistant", "content": ""})
PROMPT = 20
HALF = 5
"""Words that the caller has when the stream breaks."""


Providers = tuple[OpenAIUpstream, OpenAIUpstream, OpenAIUpstream]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _providers() -> AsyncIterator[Providers]:
    async with OpenAIUpstream() as one, OpenAIUpstream() as two, OpenAIUpstream() as three:
        yield one, two, three


@pytest.fixture
def providers(_providers: Providers, gateway: Rig) -> Providers:
    """Well again, and with empty logs."""
    for provider in _providers:
        provider.script(answer())
        provider.requests.clear()
    # More fails here within a few seconds than the retry budget of all calls allows.
    gateway.runtime.gateway._pipeline._upstreams.retries = RetryBudget()
    return _providers


@pytest.fixture
def upstream(providers: Providers) -> OpenAIUpstream:
    return providers[0]


@pytest.fixture
def other(providers: Providers) -> OpenAIUpstream:
    return providers[1]


@pytest.fixture
def third(providers: Providers) -> OpenAIUpstream:
    return providers[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, _providers: Providers) -> AsyncIterator[Rig]:
    """`two` and `three` ask so many providers in order and repeat; with `-declared` all but the first take a prefill; `alone` asks the
    first again where that may help."""
    home = tmp_path_factory.mktemp("gateway")
    settings = configuration(_providers[0].base_url, _providers[1].base_url)
    settings["providers"]["third"] = {"protocol": "openai", "base_url": _providers[2].base_url}
    prices = [(1, 2), (10, 20), (3, 6)]
    candidates = [
        {"provider": name, "model": f"gpt-{name}", "price": {"input": put_in, "output": put_out}}
        for name, (put_in, put_out) in zip(("acme", "backup", "third"), prices, strict=True)
    ]
    declared = [candidates[0], *({**candidate, "prefill": True} for candidate in candidates[1:])]
    quick = {"idle": "1s", "first_token": "5s", "total": "30s"}
    free = {"strategy": "ordered", "timeouts": quick, "breaker": {"failures": 1000}, "retries": {"per_candidate": 0}}
    settings["models"] = [
        {**free, "alias": "two", "candidates": candidates[:2]},
        {**free, "alias": "three", "candidates": candidates},
        {**free, "alias": "two-declared", "candidates": declared[:2]},
        {**free, "alias": "three-declared", "candidates": declared},
        {**free, "alias": "alone", "candidates": candidates[:1], "retries": {"per_candidate": 2, "backoff": "10ms"}},
        {**free, "alias": "off", "candidates": candidates[:2], "recover": "off"},
        {**free, "alias": "brief", "candidates": candidates[:2], "timeouts": {**quick, "total": "2s"}},
        {**free, "alias": "hasty", "candidates": candidates[:2], "timeouts": {**quick, "attempt": "1s"}},
        {**free, "alias": "patient", "candidates": candidates[:2], "timeouts": {**quick, "first_token": "20s", "idle": "20s"}},
    ]
    settings["bootstrap"] = {}
    async with gateway_in(home, _sqlite_template, settings) as rig:
        yield rig


def said(words: list[str], *, finish: str | None = "stop", prompt: int = PROMPT, identity: str = "chatcmpl-other") -> list[Any]:
    """Chunks that say these words, with an id of their own."""
    own = {"id": identity, "created": 7, "model": "gpt-of-others"}
    chunks: list[Any] = [{**HEAD, **own}, *({**chunk({"content": word}), **own} for word in words)]
    if finish is not None:
        usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
        chunks += [{**chunk({}, finish), **own}, {**chunk(None, usage=usage), **own}]
    return chunks


def cut(words: list[str] = WORDS[:HALF], *, end: str = "reset") -> Step:
    return events(HEAD, *(chunk({"content": word}) for word in words), end=end)


def repeats(*, prompt: int = PROMPT) -> Step:
    return events(*said(WORDS, prompt=prompt), end="done")


def goes_on(words: list[str] | None = None, *, finish: str | None = "stop", end: str = "done") -> Step:
    """Goes on from the beginning that it is given, which counts as a part of its prompt; without one it refuses."""

    async def step(exchange: Exchange) -> None:
        last = exchange.seen.body["messages"][-1]
        if last["role"] != "assistant":
            await status(400)(exchange)
            return
        begun = next(count for count in range(len(WORDS) + 1) if "".join(WORDS[:count]) == last["content"])
        rest = WORDS[begun:] if words is None else words
        await events(*said(rest, finish=finish, prompt=PROMPT + begun), end=end)(exchange)

    return step


async def attempts_of(rig: Rig, call_id: str) -> list[dict[str, Any]]:
    return [row for row in await rig.rows("call_attempt") if row["call_id"] == call_id]
