"""The seams of a stream, through every adapter: huge events, signs cut in two, and what is billed of a stream that breaks anywhere."""

import asyncio
from typing import Any

import openai
import pytest

from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, whole
from tests.gateway.conftest import Rig
from tests.providers.seams.conftest import PROMPT, Voice

HI: list[Any] = [{"role": "user", "content": "hi"}]
SIGNS = ["Grüße ", "中文 ", "🦊👩‍👩‍👧 ", "\u2028", "\x7f\ufeff", '"\\"', "\r\n", "end"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


def pieces(voice: Voice, *data: bytes, end: str = "eof") -> Step:
    """These bytes, each in a chunk of its own, then `end`: eof, reset, hang."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=voice.content_type)
        for piece in data:
            if piece:
                await exchange.chunk(piece)
        if end == "eof":
            await exchange.end()
        elif end == "reset":
            # What was written must have left before the connection breaks.
            await exchange.writer.drain()
            exchange.reset()

    return step


async def heard_raising(gateway: Rig, name: str) -> None:
    async for _ in await gateway.client.chat.completions.create(model=name, messages=HI, stream=True):
        pass


async def heard(gateway: Rig, name: str, **more: Any) -> tuple[str, Any, openai.APIError | None]:
    """The text, the last usage, and the error that ended it."""
    said, usage = "", None
    try:
        async for chunk in await gateway.client.chat.completions.create(model=name, messages=HI, stream=True, **more):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                said += choice.delta.content or ""
    except openai.APIError as error:
        return said, usage, error
    return said, usage, None


def counted(row: dict[str, Any]) -> tuple[int, int, str]:
    return row["input_tokens"], row["output_tokens"], row["usage_source"]


async def test_signs_that_are_cut_anywhere_are_whole(gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice) -> None:
    wire = voice.told(SIGNS)
    for size in (1, 3):
        upstream.script(pieces(voice, *[wire[at : at + size] for at in range(0, len(wire), size)]))
        said, usage, error = await heard(gateway, name, stream_options={"include_usage": True})
        assert (said, error) == ("".join(SIGNS), None)
        assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT, len(SIGNS))
        assert counted(await gateway.last_row()) == (PROMPT, len(SIGNS), "provider")


async def test_a_megabyte_in_one_event(gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice) -> None:
    huge = "ü中🦊 " * 110_000
    assert len(huge.encode()) > 1024 * 1024
    wire = voice.told(["It is: ", huge, " that is all."])
    size = 65_521  # no multiple of any sign's length
    upstream.script(pieces(voice, *[wire[at : at + size] for at in range(0, len(wire), size)]))
    said, _, error = await heard(gateway, name, max_tokens=1_000_000)
    assert error is None
    assert said == f"It is: {huge} that is all."
    assert counted(await gateway.last_row()) == (PROMPT, 3, "provider")


async def test_a_megabyte_in_a_whole_answer(gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice) -> None:
    huge = "ü中🦊 " * 110_000
    upstream.script(whole(voice.whole(huge, 7)))
    answer = await gateway.client.chat.completions.create(model=name, messages=HI, max_tokens=1_000_000)
    assert answer.choices[0].message.content == huge
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (PROMPT, 7)
    assert counted(await gateway.last_row()) == (PROMPT, 7, "provider")


@pytest.mark.parametrize("how", ["error", "reset", "eof", "half an event"])
async def test_a_stream_that_breaks_after_some_words(gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice, how: str) -> None:
    """What came is passed on and billed: by the provider's own count where it has counted all of it, and else by ours."""
    last = {"error": voice.error, "half an event": voice.word("never", 4)[:-9]}.get(how, b"")
    upstream.script(pieces(voice, voice.said(["One ", "two ", "three "]), last, end="reset" if how == "reset" else "eof"))
    said, usage, error = await heard(gateway, name, stream_options={"include_usage": True})
    assert (said, usage) == ("One two three ", None)
    assert error is not None
    assert error.code == "upstream_error"
    row = await gateway.last_row("failed")
    assert row["output_tokens"] == 3
    assert row["usage_source"] == ("provider" if voice.counts_as_it_goes else "estimated")
    assert (row["input_tokens"] == PROMPT) is voice.counts_the_prompt
    assert row["input_tokens"] > 0
    assert row["charged_nano"] == row["provider_cost_nano"] == row["input_tokens"] * 1000 + row["output_tokens"] * 2000


async def test_an_error_before_the_first_word_is_one_of_the_call_and_costs_nothing(
    gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice
) -> None:
    upstream.script(pieces(voice, voice.start + voice.error))
    with pytest.raises(openai.APIStatusError) as caught:
        await heard_raising(gateway, name)
    assert caught.value.status_code in (502, 503)
    row = await gateway.last_row("failed")
    assert (row["output_tokens"], row["charged_nano"]) == (0, 0)


@pytest.mark.parametrize("how", ["error", "reset"])
async def test_a_stream_that_breaks_once_all_is_said_and_counted_is_whole(
    gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice, how: str
) -> None:
    words = ["One ", "two."]
    told = voice.said(words) + voice.finish + voice.count(len(words))
    upstream.script(pieces(voice, told, voice.error if how == "error" else b"", end="reset" if how == "reset" else "eof"))
    said, usage, error = await heard(gateway, name, stream_options={"include_usage": True})
    assert (said, error) == ("One two.", None)
    assert (usage.prompt_tokens, usage.completion_tokens) == (PROMPT, 2)
    assert counted(await gateway.last_row("completed")) == (PROMPT, 2, "provider")


async def test_a_caller_who_hangs_up_ends_the_call_there_and_pays_for_what_came(
    gateway: Rig, upstream: OpenAIUpstream, name: str, voice: Voice
) -> None:
    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=voice.content_type)
        await exchange.chunk(voice.said(["One ", "two "]))
        await exchange.until_hang_up()

    upstream.script(step)
    stream = await gateway.client.chat.completions.create(model=name, messages=HI, stream=True)
    async for chunk in stream:
        if chunk.choices and "two" in (chunk.choices[0].delta.content or ""):
            break
    await stream.close()
    await asyncio.wait_for(upstream.requests[-1].hung_up.wait(), 10)
    row = await gateway.last_row("client_closed")
    assert row["output_tokens"] == 2
    assert row["charged_nano"] == row["input_tokens"] * 1000 + 4000
