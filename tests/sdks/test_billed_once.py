"""Shapes of usage by which gateways have billed tokens twice, each charged once here, whole and streamed.

Sources: litellm's issues 9812, 11364, 40006 and 29265, LibreChat's 13795 and 12868, Aider's 5516: cached tokens added to a count that
holds them, or taken at the full price beside their own. And streams whose counts run, added up.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import anthropic_upstream as claude
from tests.fakes import bedrock_upstream as aws
from tests.fakes import gemini_upstream as google
from tests.fakes import openrouter_upstream as router
from tests.fakes.openai_upstream import OpenAIUpstream, Step, canonical_chunks, chunk, completion, events, sse, whole
from tests.gateway.conftest import Rig
from tests.sdks.conftest import PRICE

pytestmark = pytest.mark.asyncio(loop_scope="session")
HI: list[Any] = [{"role": "user", "content": "hi"}]
_CLAUDE = {"input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 900, "output_tokens": 550}
_COUNTED = {"prompt_tokens": 98805, "completion_tokens": 5120, "total_tokens": 103925}
_KEPT = {"cached_tokens": 66360, "cache_creation_tokens": 32435}


def shaped(usage: dict[str, Any]) -> Step:
    """OpenAI's shape, with this usage at the end."""

    async def step(exchange: Any) -> None:
        streams = exchange.seen.body.get("stream")
        await (events(*canonical_chunks(usage=usage), end="done") if streams else whole(completion(usage=usage)))(exchange)

    return step


def running(usage: dict[str, Any]) -> Step:
    """A server whose every chunk has the count so far, and whose last one comes twice."""
    so_far = [{**usage, "completion_tokens": at, "total_tokens": usage["prompt_tokens"] + at} for at in range(1, 6)]
    pieces = [chunk({"content": "word "}, usage=counted) for counted in so_far]
    ends = [chunk({}, "stop", usage=usage), chunk(None, usage=usage), chunk(None, usage=usage)]

    async def step(exchange: Any) -> None:
        if not exchange.seen.body.get("stream"):
            await whole(completion(usage=usage))(exchange)
            return
        await exchange.head(content_type="text/event-stream")
        for one in (*pieces, *ends, "[DONE]"):
            await exchange.chunk(sse(one))
        await exchange.end()

    return step


SHAPES: dict[str, tuple[str, Callable[[], Step], tuple[int, int, int, int]]] = {
    # Anthropic counts what it wrote and read beside `input_tokens`; its streams tell the count at the start and again, grown, at the end.
    "beside the input": ("anthropic", lambda: claude.message(usage=_CLAUDE), (3, 900, 12304, 550)),
    # The same from Bedrock's own API, whose total holds all of them.
    "beside the input, and in the total": (
        "bedrock-converse",
        lambda: aws.converse(
            usage={"inputTokens": 20, "outputTokens": 12, "totalTokens": 102, "cacheReadInputTokens": 40, "cacheWriteInputTokens": 30}
        ),
        (20, 40, 30, 12),
    ),
    "Claude's words on Bedrock, and what was invoked": (
        "bedrock-claude",
        lambda: aws.claude(usage={**_CLAUDE, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 40}),
        (3, 40, 30, 550),
    ),
    # OpenAI's shape holds them in `prompt_tokens`; OpenRouter names those that it wrote, too.
    "in the prompt": (
        "openrouter",
        lambda: router.answer(
            usage={
                **{"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
                "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100},
            }
        ),
        (300, 600, 100, 50),
    ),
    # A gateway before ours tells them in its own words, in OpenAI's and in Anthropic's at once.
    "in the prompt, by two names": (
        "openai",
        lambda: shaped(
            {**_COUNTED, "prompt_tokens_details": _KEPT, "cache_read_input_tokens": 66360, "cache_creation_input_tokens": 32435}
        ),
        (10, 66360, 32435, 5120),
    ),
    # Gemini's cached tokens are in its prompt, and its thoughts are not in its answer.
    "in the prompt, thoughts beside the answer": (
        "gemini",
        lambda: google.answer(
            google.text("Hi."),
            usage={
                **{"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 5, "thoughtsTokenCount": 7},
                "totalTokenCount": 112,
            },
        ),
        (40, 60, 0, 12),
    ),
    # vLLM with `continuous_usage_stats`: what is counted last is the count.
    "running": ("openai", lambda: running({"prompt_tokens": 20, "completion_tokens": 6, "total_tokens": 26}), (20, 0, 0, 6)),
}


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_tokens_are_billed_once(gateway: Rig, servers: dict[str, OpenAIUpstream], shape: str, streams: bool) -> None:
    name, answer, (plain, read, written, put_out) = SHAPES[shape]
    servers[name].script(answer())
    said: Any = await gateway.client.chat.completions.create(model=name, messages=HI, stream=streams)
    if streams:
        assert [piece async for piece in said]
    row = await gateway.last_row()
    assert (row["input_tokens"], row["cache_read_tokens"], row["cache_write_tokens"]) == (plain, read, written)
    assert row["output_tokens"] + row["reasoning_tokens"] == put_out
    dollars = plain * PRICE["input"] + read * PRICE["cache_read"] + written * PRICE["cache_write"] + put_out * PRICE["output"]
    assert row["charged_nano"] == row["provider_cost_nano"] == round(dollars * 1000)
    assert row["usage_source"] == "provider"
