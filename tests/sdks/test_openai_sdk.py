"""The openai SDK as judge of every provider: what a caller writes for one works for all."""

import json
from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from pydantic import BaseModel

from tests.fakes.openai_upstream import TEXT, OpenAIUpstream
from tests.sdks.voices import VOICES

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.parametrize("name", VOICES)]
Servers = dict[str, OpenAIUpstream]
HI: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "The weather of a city.", "parameters": PARAMETERS}}
BERN, OSLO = ("weather", {"city": "Bern"}), ("weather", {"city": "Oslo"})


class City(BaseModel):
    city: str


async def test_words(openai: AsyncOpenAI, servers: Servers, name: str) -> None:
    servers[name].script(VOICES[name].says(TEXT))
    said = await openai.chat.completions.create(model=name, messages=HI)
    assert (said.object, said.choices[0].finish_reason, said.choices[0].message.role) == ("chat.completion", "stop", "assistant")
    assert said.choices[0].message.content == TEXT
    assert said.usage is not None
    assert said.usage.prompt_tokens > 0
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens


async def test_a_stream(openai: AsyncOpenAI, servers: Servers, name: str) -> None:
    servers[name].script(VOICES[name].says(TEXT))
    whole = await openai.chat.completions.create(model=name, messages=HI)
    stream = await openai.chat.completions.create(model=name, messages=HI, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    assert "".join([choice.delta.content or "" for chunk in chunks for choice in chunk.choices]) == TEXT
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks if chunk.id}) == 1
    counted = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(counted) == 1, "usage once, at the end"
    assert whole.usage is not None
    assert (counted[0].prompt_tokens, counted[0].completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)


@pytest.mark.parametrize("calls", [[BERN], [BERN, OSLO]], ids=["one", "two at once"])
async def test_tools_are_called_and_their_results_heard(openai: AsyncOpenAI, servers: Servers, name: str, calls: list[Any]) -> None:
    voice, server = VOICES[name], servers[name]
    server.script(voice.calls(calls))
    said = await openai.chat.completions.create(model=name, messages=HI, tools=[TOOL])
    together = ChatCompletionStreamState()
    async for chunk in await openai.chat.completions.create(model=name, messages=HI, tools=[TOOL], stream=True):
        together.handle_chunk(chunk)
    for one in (said, together.get_final_completion()):
        assert one.choices[0].finish_reason == "tool_calls"
        made = one.choices[0].message.tool_calls or []
        assert [(call.function.name, json.loads(call.function.arguments)) for call in made if call.type == "function"] == calls
        assert len({call.id for call in made}) == len(calls)
    answers: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": f"sun {at}"}
        for at, call in enumerate(said.choices[0].message.tool_calls or [])
    ]
    server.script(voice.says(TEXT))
    asked = [*HI, said.choices[0].message.model_dump(exclude_none=True), *answers]
    then = await openai.chat.completions.create(model=name, messages=asked, tools=[TOOL])
    assert then.choices[0].message.content == TEXT
    told = json.dumps(server.requests[-1].body, ensure_ascii=False)
    assert all(f"sun {at}" in told for at in range(len(calls))), "the provider was told what every tool said"


async def test_structured_outputs(openai: AsyncOpenAI, servers: Servers, name: str) -> None:
    servers[name].script(VOICES[name].says('{"city":"Bern"}'))
    parsed = await openai.chat.completions.parse(model=name, messages=HI, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Bern")
    assert "city" in json.dumps([seen.body for seen in servers[name].requests]), "the provider was told the schema"


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("invalid", sdk.BadRequestError, None),
        ("credentials", sdk.InternalServerError, "upstream_credentials"),
        ("unknown", sdk.NotFoundError, "model_not_found"),
        ("limited", sdk.RateLimitError, "upstream_rate_limited"),
        ("failing", sdk.InternalServerError, "upstream_error"),
    ],
)
@pytest.mark.parametrize("how", ["", "-streamed"])
async def test_errors_have_the_class_of_what_went_wrong(
    openai: AsyncOpenAI, servers: Servers, name: str, fault: str, kind: type[sdk.APIStatusError], code: str | None, how: str
) -> None:
    servers[name].script(VOICES[name].faults[fault])
    with pytest.raises(kind) as caught:
        await openai.chat.completions.create(model=f"{name}-{fault}{how}", messages=HI, stream=bool(how))
    assert caught.value.code == code
    assert caught.value.message
