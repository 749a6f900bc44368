"""Kept responses as OpenAI's SDK sees them: conversations, retrieving, deleting, restarts, tenants apart."""

from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from openai import AsyncOpenAI

from tests.fakes.anthropic_upstream import message, text, thinking
from tests.fakes.openai_upstream import TEXT, answer, completion, whole
from tests.gateway.conftest import Rig, open_gateway
from tests.gateway.responses_api.conftest import KEY_OF_ANOTHER_TENANT, SECOND_KEY_OF_THE_DEMO, Providers, responses_configuration
from tests.gateway.responses_api.test_sdk import PIXEL, streamed

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("how", ["whole", "streamed"])
async def test_a_conversation_goes_on_turn_by_turn(client: AsyncOpenAI, providers: Providers, how: str) -> None:
    previous: str | None = None
    for word in ("one", "two", "three"):
        request: dict[str, Any] = {"model": "fast", "input": word, "instructions": f"Say {word}.", "previous_response_id": previous}
        response = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
        assert response.previous_response_id == previous
        previous = response.id
    said = [(entry["role"], entry["content"]) for entry in providers.openai.requests[-1].body["messages"]]
    assert said == [("system", "Say three."), ("user", "one"), ("assistant", TEXT), ("user", "two"), ("assistant", TEXT), ("user", "three")]


async def test_a_response_is_retrieved_as_it_was_answered(client: AsyncOpenAI, providers: Providers) -> None:
    made = await client.responses.create(model="fast", input="hi", metadata={"a": "b"})
    found = await client.responses.retrieve(made.id)
    assert found.model_dump() == made.model_dump()
    _, made = await streamed(client, model="fast", input="hi")
    assert (await client.responses.retrieve(made.id)).model_dump() == made.model_dump()
    assert made.store is True


async def test_what_was_asked_is_listed_in_pages(client: AsyncOpenAI, providers: Providers) -> None:
    items: Any = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "second"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "third"},
        {"role": "user", "content": [{"type": "input_image", "image_url": PIXEL, "detail": "auto"}]},
    ]
    made = await client.responses.create(model="fast", input=items)
    page = await client.responses.input_items.list(made.id, limit=2, order="asc")
    assert (page.has_more, page.data[0].content[0].text) == (True, "first")
    listed = [item async for item in page]
    assert [item.type for item in listed] == ["message", "message", "function_call", "function_call_output", "message"]
    assert len({item.id for item in listed}) == 5
    assert [item.id async for item in await client.responses.input_items.list(made.id)] == [item.id for item in reversed(listed)]
    plain = await client.responses.create(model="fast", input="hi")
    [item] = (await client.responses.input_items.list(plain.id)).data
    assert (item.content[0].type, item.content[0].text) == ("input_text", "hi")
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": "item_of_another"}, {"order": "up"}):
        with pytest.raises(openai.BadRequestError):
            await client.responses.input_items.list(made.id, **wrong)


async def test_what_is_deleted_is_gone(client: AsyncOpenAI, providers: Providers) -> None:
    made = await client.responses.create(model="fast", input="hi")
    await client.responses.delete(made.id)
    for again in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            await again(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="fast", input="more", previous_response_id=made.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_what_shall_not_be_kept_is_not(client: AsyncOpenAI, providers: Providers) -> None:
    for how in ("whole", "streamed"):
        request: dict[str, Any] = {"model": "fast", "input": "hi", "store": False}
        made = await client.responses.create(**request) if how == "whole" else (await streamed(client, **request))[1]
        assert made.store is False
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)


async def test_another_tenant_finds_nothing_and_another_key_of_the_tenant_does(client: AsyncOpenAI, providers: Providers) -> None:
    made = await client.responses.create(model="fast", input="a secret")
    others = client.with_options(api_key=KEY_OF_ANOTHER_TENANT)
    for refused in (others.responses.retrieve(made.id), others.responses.delete(made.id), others.responses.input_items.list(made.id)):
        with pytest.raises(openai.NotFoundError):
            await refused
    with pytest.raises(openai.BadRequestError):
        await others.responses.create(model="fast", input="hi", previous_response_id=made.id)
    with pytest.raises(openai.NotFoundError):
        await others.responses.create(model="fast", input=[{"type": "item_reference", "id": made.output[0].id or ""}])
    assert "a secret" not in str([seen.body for seen in providers.openai.requests[1:]])
    colleague = client.with_options(api_key=SECOND_KEY_OF_THE_DEMO)
    await colleague.responses.create(model="fast", input="hi", previous_response_id=made.id)
    assert "a secret" in str(providers.openai.requests[-1].body)


async def test_items_may_be_named_instead_of_sent(client: AsyncOpenAI, providers: Providers) -> None:
    providers.openai.script(whole(completion("The answer is 42.")))
    first = await client.responses.create(model="fast", input="What is it?")
    named, why = first.output[0].id, {"role": "user", "content": "Why?"}
    items: Any = [{"type": "item_reference", "id": named}, why, {"id": named}, why]
    second = await client.responses.create(model="fast", input=items)
    said = [(entry["role"], entry["content"]) for entry in providers.openai.requests[-1].body["messages"]]
    assert said == [("assistant", "The answer is 42."), ("user", "Why?")] * 2
    # What was named is kept with the response that named it.
    await client.responses.delete(first.id)
    await client.responses.create(model="fast", input="Go on.", previous_response_id=second.id)
    assert "The answer is 42." in str(providers.openai.requests[-1].body)
    for unknown in (first.output[0].id, "msg_of_another_server", "rs_" + "0" * 26 + "o0"):
        with pytest.raises(openai.NotFoundError) as refused:
            await client.responses.create(model="fast", input=[{"type": "item_reference", "id": unknown or ""}])
        assert refused.value.param == "input[0]"


async def test_signed_thoughts_are_kept_and_shown_where_they_are_asked_for(client: AsyncOpenAI, providers: Providers) -> None:
    providers.anthropic.script(message(thinking("Hm."), text("Yes.")))
    request: dict[str, Any] = {"model": "claude", "reasoning": {"effort": "low"}, "max_output_tokens": 5000}
    first = await client.responses.create(input="Really?", **request)
    assert "encrypted_content" not in first.output[0].to_dict()
    assert "encrypted_content" not in (await client.responses.retrieve(first.id)).output[0].to_dict()
    signed = await client.responses.retrieve(first.id, include=["reasoning.encrypted_content"])
    assert signed.output[0].to_dict()["encrypted_content"]
    await client.responses.create(input="Why?", previous_response_id=first.id, **request)
    [_, said, _] = providers.anthropic.requests[-1].body["messages"]
    assert [block["type"] for block in said["content"]] == ["thinking", "text"]


async def test_a_response_that_is_over_is_not_streamed_again(client: AsyncOpenAI, providers: Providers) -> None:
    made = await client.responses.create(model="fast", input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.retrieve(made.id, stream=True)
    assert refused.value.code == "unsupported_parameter"


async def test_nothing_is_there_to_be_cancelled(client: AsyncOpenAI, providers: Providers) -> None:
    made = await client.responses.create(model="fast", input="hi")
    with pytest.raises(openai.BadRequestError, match="background"):
        await client.responses.cancel(made.id)
    others = client.with_options(api_key=KEY_OF_ANOTHER_TENANT)
    for unknown in (others.responses.cancel(made.id), client.responses.cancel("resp_" + "0" * 26)):
        with pytest.raises(openai.NotFoundError):
            await unknown
    assert (await client.responses.retrieve(made.id)).status == "completed"


async def test_what_openai_has_below_responses_and_we_have_not_is_not_there(client: AsyncOpenAI, providers: Providers) -> None:
    for missing in (client.responses.input_tokens.count(model="fast", input="hi"), client.responses.compact(model="fast", input="hi")):
        with pytest.raises(openai.NotFoundError, match="no such endpoint"):
            await missing


async def test_there_is_only_so_much_to_include(client: AsyncOpenAI, providers: Providers) -> None:
    made = await client.responses.create(model="fast", input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.retrieve(made.id, include=["everything"])  # type: ignore[list-item]
    assert refused.value.param == "include[0]"


async def test_a_conversation_outlives_the_process(tmp_path: Path, sqlite_database_url: str, providers: Providers) -> None:
    providers.openai.script(answer())
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(responses_configuration(providers, secret_key="a key of at least 32 characters.")))
    ids: list[str] = []

    async def asked(rig: Rig, word: str, previous: str | None) -> None:
        response = await rig.client.responses.create(model="fast", input=word, previous_response_id=previous)
        ids.append(response.id)

    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, sqlite_database_url) as rig:
        await asked(rig, "what was said first", None)
    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, sqlite_database_url) as rig:
        await asked(rig, "after", ids[0])
        assert (await rig.client.responses.retrieve(ids[0])).output_text == TEXT
    said = [entry["content"] for entry in providers.openai.requests[-1].body["messages"]]
    assert said == ["what was said first", TEXT, "after"]
    files = sorted(Path(sqlite_database_url.partition("///")[2]).parent.glob("*.db*"))
    assert files
    assert not any(b"what was said first" in file.read_bytes() for file in files), "what is kept is sealed"


async def test_an_operator_may_keep_nothing(tmp_path: Path, sqlite_database_url: str, providers: Providers) -> None:
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(responses_configuration(providers, responses={"store": "never"})))
    async with open_gateway(tmp_path / "bourse.yaml", tmp_path, sqlite_database_url) as rig:
        made = await rig.client.responses.create(model="fast", input="hi")
        assert made.store is False
        with pytest.raises(openai.BadRequestError):
            await rig.client.responses.create(model="fast", input="hi", store=True)


async def test_the_next_turn_may_come_to_another_process(tmp_path: Path, postgres_url: str, providers: Providers) -> None:
    """What is told is kept: an agent's next request is there within a millisecond."""
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(responses_configuration(providers)))
    async with (
        open_gateway(tmp_path / "bourse.yaml", tmp_path / "one", postgres_url) as one,
        open_gateway(tmp_path / "bourse.yaml", tmp_path / "other", postgres_url) as other,
    ):
        previous: str | None = None
        for number in range(4):
            rig = (one, other)[number % 2]
            request: dict[str, Any] = {"model": "fast", "input": f"turn {number}", "previous_response_id": previous}
            made = (await streamed(rig.client, **request))[1] if number == 1 else await rig.client.responses.create(**request)
            previous = made.id
        assert len(providers.openai.requests[-1].body["messages"]) == 7
        await one.client.responses.delete(previous or "")
        with pytest.raises(openai.NotFoundError):
            await other.client.responses.retrieve(previous or "")
