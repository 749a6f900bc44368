"""The anthropic SDK as judge of every provider."""

import json
from typing import Any

import anthropic as sdk
import pytest
from anthropic import AsyncAnthropic

from tests.fakes.openai_upstream import TEXT, OpenAIUpstream
from tests.sdks.voices import VOICES

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.parametrize("name", VOICES)]
Servers = dict[str, OpenAIUpstream]
ASKED: dict[str, Any] = {"max_tokens": 500, "system": "Be brief.", "messages": [{"role": "user", "content": "hi"}]}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"name": "weather", "description": "The weather of a city.", "input_schema": SCHEMA}
CALLS = [("weather", {"city": "Bern"}), ("weather", {"city": "Oslo"})]


async def both_ways(client: AsyncAnthropic, **asked: Any) -> list[Any]:
    """The message whole, and as the SDK puts it together from the stream."""
    first = await client.messages.create(**asked)
    async with client.messages.stream(**asked) as stream:
        return [first, await stream.get_final_message()]


async def test_messages(anthropic: AsyncAnthropic, servers: Servers, name: str) -> None:
    servers[name].script(VOICES[name].says(TEXT))
    whole, streamed = await both_ways(anthropic, model=name, **ASKED)
    for said in (whole, streamed):
        assert (said.role, said.type, said.stop_reason) == ("assistant", "message", "end_turn")
        assert "".join([block.text for block in said.content if block.type == "text"]) == TEXT
        assert said.usage.output_tokens > 0
    counts = [(said.usage.input_tokens, said.usage.cache_read_input_tokens or 0, said.usage.output_tokens) for said in (whole, streamed)]
    assert counts[0] == counts[1]


async def test_tools_are_called_and_their_results_heard(anthropic: AsyncAnthropic, servers: Servers, name: str) -> None:
    voice, server = VOICES[name], servers[name]
    server.script(voice.calls(CALLS))
    said = await both_ways(anthropic, model=name, tools=[TOOL], **ASKED)
    for one in said:
        assert one.stop_reason == "tool_use"
        made = [block for block in one.content if block.type == "tool_use"]
        assert [(block.name, block.input) for block in made] == CALLS
        assert len({block.id for block in made}) == len(CALLS)
    server.script(voice.says(TEXT))
    made = [block for block in said[0].content if block.type == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": f"sun {at}"} for at, block in enumerate(made)]
    turns = [*ASKED["messages"], {"role": "assistant", "content": said[0].content}, {"role": "user", "content": results}]
    then = await anthropic.messages.create(**{**ASKED, "messages": turns}, model=name, tools=[TOOL])
    assert "".join([block.text for block in then.content if block.type == "text"]) == TEXT
    told = json.dumps(server.requests[-1].body, ensure_ascii=False)
    assert all(f"sun {at}" in told for at in range(len(CALLS))), "the provider was told what every tool said"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("invalid", sdk.BadRequestError),
        ("credentials", sdk.InternalServerError),
        ("unknown", sdk.NotFoundError),
        ("limited", sdk.RateLimitError),
        ("failing", sdk.InternalServerError),
    ],
)
async def test_errors_have_the_class_of_what_went_wrong(
    anthropic: AsyncAnthropic, servers: Servers, name: str, fault: str, kind: type[sdk.APIStatusError]
) -> None:
    servers[name].script(VOICES[name].faults[fault])
    with pytest.raises(kind):
        await anthropic.messages.create(model=f"{name}-{fault}-message", **ASKED)
