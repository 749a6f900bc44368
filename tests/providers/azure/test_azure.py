"""Azure OpenAI as the openai SDK meets it through the gateway, and as its operator does: paths, keys, tokens, the content filter."""

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from backend.kernel.secrets import SecretRef
from backend.providers.azure import build
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest, OperationRequest, Upload
from backend.settings import ProviderSettings
from tests.fakes import azure_upstream as wire
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import TEXT, USAGE, WORDS, OpenAIUpstream, chunk, completion, status, whole
from tests.fakes.token_server import TokenServer
from tests.gateway.conftest import Rig
from tests.providers.azure.conftest import CLIENT, KEY, SECRET, TENANT

HI: list[Any] = [{"role": "user", "content": "hi"}]
DEPLOYMENT = "/openai/deployments/chat-default/chat/completions?api-version=2024-10-21"
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}}
pytestmark = pytest.mark.asyncio(loop_scope="module")


def settings(base_url: str, key: str, metadata: dict[str, Any] | None = None, **more: Any) -> ProviderSettings:
    return ProviderSettings(protocol="azure", base_url=base_url, api_key=SecretRef(key), metadata=metadata or {}, **more)


def asked(model: str = "chat-default", **more: Any) -> ChatRequest:
    return ChatRequest({"messages": HI, **more}, model, 30, "00-0-0-01", 64)


async def streamed(gateway: Rig, **more: Any) -> list[Any]:
    stream: Any = await gateway.client.chat.completions.create(**{"model": "chat", "messages": HI, "stream": True, **more})
    return [piece async for piece in stream]


def words(chunks: list[Any]) -> str:
    return "".join([choice.delta.content or "" for piece in chunks for choice in piece.choices])


@pytest.mark.provides("azure", "chat", "usage")
async def test_a_deployment_is_asked_with_the_key(gateway: Rig, azure: OpenAIUpstream) -> None:
    said = await gateway.client.chat.completions.create(model="chat", messages=HI, seed=7)
    assert said.choices[0].message.content == TEXT
    assert said.model == wire.MODEL
    seen = azure.requests[0]
    assert seen.path == DEPLOYMENT
    assert seen.headers["api-key"] == KEY
    assert "authorization" not in seen.headers
    assert seen.body["seed"] == 7
    assert seen.body["max_tokens"] > 0
    row = await gateway.last_row()
    # 4 of the 20 tokens of the prompt were cached, 2 of the 12 of the answer were thoughts.
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (16, 4, 10, 2)
    assert row["charged_nano"] == 16 * 1000 + 4 * 500 + 12 * 2000


@pytest.mark.provides("azure", "stream", "usage")
async def test_a_stream_whose_first_chunk_has_only_the_filters_verdict(gateway: Rig, azure: OpenAIUpstream) -> None:
    chunks = await streamed(gateway, stream_options={"include_usage": True})
    assert words(chunks) == TEXT
    assert azure.requests[0].body["stream_options"] == {"include_usage": True}
    assert chunks[0].object == "chat.completion.chunk"
    assert (chunks[0].choices, chunks[0].model_extra["prompt_filter_results"]) == ([], wire.PROMPT)
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 4
    row = await gateway.last_row()
    assert (row["input_tokens"], row["cache_read_tokens"], row["usage_source"]) == (16, 4, "provider")


@pytest.mark.parametrize("wants_usage", [True, False])
async def test_annotations_of_the_asynchronous_filter_have_a_delta(gateway: Rig, azure: OpenAIUpstream, wants_usage: bool) -> None:
    azure.script(wire.streams(*wire.annotated()))
    chunks = await streamed(gateway, **({"stream_options": {"include_usage": True}} if wants_usage else {}))
    assert words(chunks) == TEXT
    annotations = [piece for piece in chunks if piece.choices and (piece.choices[0].model_extra or {}).get("content_filter_offsets")]
    assert len(annotations) == 2
    assert all(piece.choices[0].delta is not None for piece in chunks if piece.choices)
    assert chunks[-1].model_extra["bourse"]["provider"] == "key"


async def test_the_v1_api_with_a_token_of_entra(gateway: Rig, azure: OpenAIUpstream, tokens: TokenServer) -> None:
    for _ in range(2):
        said = await gateway.client.chat.completions.create(model="by-token", messages=HI)
    assert words(await streamed(gateway, model="by-token")) == said.choices[0].message.content == TEXT
    assert len(tokens.forms) == 1
    assert tokens.paths == [f"/token/{TENANT}/oauth2/v2.0/token"]
    scope = "https://cognitiveservices.azure.com/.default"
    assert tokens.forms[0] == {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": SECRET, "scope": scope}
    assert {seen.path for seen in azure.requests} == {"/v1/chat/completions"}
    assert {seen.headers["authorization"] for seen in azure.requests} == {"Bearer tok-1"}
    assert {seen.body["model"] for seen in azure.requests} == {"chat-default"}
    assert not any("api-key" in seen.headers for seen in azure.requests)


async def test_a_token_that_azure_refuses_is_not_used_again(azure: OpenAIUpstream) -> None:
    azure.script(status(401, wire.BAD_KEY), wire.answer())
    async with TokenServer() as tokens, client() as http:
        metadata = {"tenant_id": TENANT, "client_id": CLIENT, "authority": tokens.url, "scope": "https://ai.azure.com/.default"}
        provider = build(
            "a", ProviderSettings(protocol="azure", base_url=azure.base_url, api_key=SecretRef(SECRET), metadata=metadata), http
        )
        request = asked()
        with pytest.raises(UpstreamFailure) as caught:
            await provider.complete(request)
        assert caught.value.kind == "credentials"
        await provider.complete(request)
        assert [seen.headers["authorization"] for seen in azure.requests] == ["Bearer tok-1", "Bearer tok-2"]
        assert tokens.forms[0]["scope"] == "https://ai.azure.com/.default"
        assert await provider.look(2) == 200
        assert azure.looks[-1].headers["authorization"] == "Bearer tok-2"


async def test_a_secret_that_entra_refuses_is_the_operators_affair(azure: OpenAIUpstream) -> None:
    async with TokenServer() as tokens, client() as http:
        described = "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value."
        tokens.status, tokens.body = 401, {"error": "invalid_client", "error_description": described, "error_codes": [7000215]}
        metadata = {"tenant_id": TENANT, "client_id": CLIENT, "authority": tokens.url}
        provider = build(
            "a", ProviderSettings(protocol="azure", base_url=azure.base_url, api_key=SecretRef(SECRET), metadata=metadata), http
        )
        with pytest.raises(UpstreamFailure) as caught:
            await provider.complete(asked())
    assert caught.value.kind == "credentials"
    assert azure.requests == []


@pytest.mark.parametrize(
    ("base", "metadata", "path", "models"),
    [
        pytest.param("/openai/", {}, DEPLOYMENT, "/openai/models?api-version=2024-10-21", id="with openai"),
        pytest.param(
            "", {"api_version": "2025-04-01-preview"}, DEPLOYMENT.replace("2024-10-21", "2025-04-01-preview"), None, id="a version"
        ),
        pytest.param("/openai/v1/", {}, "/openai/v1/chat/completions", "/openai/v1/models", id="v1"),
        pytest.param("/openai/v1", {"api_version": "preview"}, "/openai/v1/chat/completions?api-version=preview", None, id="v1 preview"),
    ],
)
async def test_where_it_is_asked(azure: OpenAIUpstream, base: str, metadata: dict[str, Any], path: str, models: str | None) -> None:
    async with client() as http:
        url = azure.base_url.removesuffix("/v1") + base
        provider = build("a", settings(url, KEY, metadata), http)
        await provider.complete(asked())
        assert await provider.look(2) == 200
    assert azure.requests[0].path == path
    assert models is None or azure.looks[0].path == models
    assert azure.looks[0].headers["api-key"] == KEY


@pytest.mark.provides("azure", "reasoning")
async def test_thoughts_are_counted_and_shown_where_the_model_shows_them(gateway: Rig, azure: OpenAIUpstream) -> None:
    """OpenAI's own models on Azure count their thoughts and keep them; DeepSeek's, on the same v1 API, tell them."""
    counted = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 0}}
    azure.script(whole(completion("Four.", usage=counted, model="o3-mini-2025-01-31", prompt_filter_results=wire.PROMPT)))
    said = await gateway.client.chat.completions.create(model="o3", messages=HI, reasoning_effort="high")
    assert said.usage.completion_tokens_details.reasoning_tokens == 9
    assert azure.requests[0].body["reasoning_effort"] == "high"
    row = await gateway.last_row()
    assert (row["reasoning_tokens"], row["output_tokens"], row["usage_source"]) == (9, 3, "provider")

    pieces = [chunk({"reasoning_content": part}) for part in ("Two ", "and two.")]
    azure.script(wire.streams(wire.FIRST, *pieces, chunk({"content": "Four."}), chunk({}, "stop"), chunk(None, usage=counted)))
    chunks = await streamed(gateway, model="by-token")
    deltas = [(choice.delta.model_extra or {}).get("reasoning_content") for piece in chunks for choice in piece.choices]
    assert [delta for delta in deltas if delta] == ["Two ", "and two."]
    assert (await gateway.last_row())["reasoning_tokens"] == 9


async def test_the_cap_has_the_name_that_models_know_that_think(gateway: Rig, azure: OpenAIUpstream) -> None:
    await gateway.client.chat.completions.create(model="o3", messages=HI, max_completion_tokens=50)
    assert azure.requests[0].body["max_completion_tokens"] == 50
    assert "max_tokens" not in azure.requests[0].body


async def test_a_deployment_whose_name_does_not_tell_is_learnt(azure: OpenAIUpstream) -> None:
    azure.script(status(400, wire.UNKNOWN_CAP), wire.answer())
    async with client() as http:
        provider = build("a", settings(azure.base_url, KEY), http)
        for _ in range(2):
            await provider.complete(asked("clever", max_tokens=9))
        assert [{name for name in seen.body if name.startswith("max")} for seen in azure.requests] == [
            {"max_tokens"},
            {"max_completion_tokens"},
            {"max_completion_tokens"},
        ]
        azure.requests.clear()
        azure.script(status(400, wire.UNKNOWN_CAP))
        fixed = build("a", settings(azure.base_url, KEY, cap_field="max_tokens"), http)
        with pytest.raises(UpstreamFailure):
            await fixed.complete(asked("clever"))
    assert len(azure.requests) == 1


async def test_a_prompt_that_the_filter_refuses_is_refused_with_its_reason(gateway: Rig, azure: OpenAIUpstream) -> None:
    found = {"hate": {"filtered": True, "severity": "high"}, "jailbreak": {"filtered": True, "detected": True}}
    azure.script(status(400, wire.refusal(**found)))
    for model in ("chat", "pair"):
        with pytest.raises(openai.BadRequestError) as caught:
            await gateway.client.chat.completions.create(model=model, messages=HI)
        assert (caught.value.code, caught.value.param) == ("content_policy_violation", "prompt")
        assert "Azure's content filter found hate (high), jailbreak. The response was filtered" in caught.value.message
        assert "fwlink" not in caught.value.message
    # Another deployment would say the same, unless the route wants to hear it.
    assert len(azure.requests) == 2


async def test_the_filters_refusal_inside_a_stream(gateway: Rig, azure: OpenAIUpstream) -> None:
    azure.script(wire.streams(wire.FIRST, wire.refusal(violence={"filtered": True, "severity": "medium"})))
    with pytest.raises(openai.BadRequestError) as caught:
        await streamed(gateway)
    assert caught.value.code == "content_policy_violation"
    assert "found violence (medium)" in caught.value.message


async def test_an_answer_that_the_filter_cuts_off_ends_so(gateway: Rig, azure: OpenAIUpstream) -> None:
    azure.script(wire.streams(*wire.chunks(filtered=True)))
    chunks = await streamed(gateway)
    assert words(chunks) == "".join(WORDS[:4])
    assert [choice.finish_reason for piece in chunks for choice in piece.choices if choice.finish_reason] == ["content_filter"]
    cut = completion("", finish="content_filter", model=wire.MODEL)
    del cut["choices"][0]["message"]["content"]
    azure.script(whole(cut))
    said = await gateway.client.chat.completions.create(model="chat", messages=HI)
    assert (said.choices[0].finish_reason, said.choices[0].message.content) == ("content_filter", None)


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        pytest.param(401, wire.BAD_KEY, "credentials", id="a bad key"),
        pytest.param(401, {"statusCode": 401, "message": "Unauthorized. Access token is missing."}, "credentials", id="no token"),
        pytest.param(403, {"error": {"code": "403", "message": "Access denied due to Firewall rules."}}, "credentials", id="firewall"),
        pytest.param(404, wire.NO_DEPLOYMENT, "not_found", id="no such deployment"),
        pytest.param(400, wire.NO_CHAT, "not_found", id="it does not chat"),
        pytest.param(400, {"error": {"code": ["x"], "message": "x"}}, "refused", id="no code that we know of"),
        pytest.param(429, wire.BUSY, "rate_limited", id="busy"),
        pytest.param(500, {"error": {"code": "InternalServerError", "message": "x"}}, "server", id="ill"),
        pytest.param(408, {"error": {"code": "Timeout", "message": "The operation was timeout."}}, "timeout", id="late"),
    ],
)
async def test_errors(azure: OpenAIUpstream, code: int, body: Any, kind: str) -> None:
    azure.script(status(code, body, "retry-after: 6"))
    async with client() as http:
        provider = build("a", settings(azure.base_url, KEY), http)
        for asking in (provider.complete, provider.open_stream):
            with pytest.raises(UpstreamFailure) as caught:
                await asking(asked())
            assert (caught.value.kind, caught.value.retry_after) == (kind, 6 if code in (429, 500) else None)


@pytest.mark.provides("azure", "tools", "vision", "schema")
async def test_tools_pictures_and_schemas_go_through(gateway: Rig, azure: OpenAIUpstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    answered = completion(model=wire.MODEL, finish="tool_calls")
    answered["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": [call]}
    azure.script(whole(answered))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    said = await gateway.client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": [{"type": "text", "text": "where?"}, picture]}], tools=[TOOL]
    )
    assert said.choices[0].message.tool_calls is not None
    assert said.choices[0].message.tool_calls[0].model_dump() == call
    assert azure.requests[0].body["messages"][0]["content"][1] == picture
    assert azure.requests[0].body["tools"] == [TOOL]

    class City(BaseModel):
        city: str

    azure.script(whole(completion('{"city":"Bern"}', model=wire.MODEL)))
    parsed = await gateway.client.chat.completions.parse(model="chat", messages=HI, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Bern")
    assert azure.requests[1].body["response_format"]["type"] == "json_schema"


@pytest.mark.provides("azure", "tools")
async def test_tools_in_a_stream(gateway: Rig, azure: OpenAIUpstream) -> None:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    pieces = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}) for part in ('{"city"', ':"Bern"}')]
    azure.script(wire.streams(wire.FIRST, chunk({"role": "assistant", "tool_calls": [first]}), *pieces, chunk({}, "tool_calls")))
    chunks = await streamed(gateway, tools=[TOOL])
    parts = [call.function.arguments for piece in chunks for choice in piece.choices for call in choice.delta.tool_calls or []]
    assert "".join(parts) == '{"city":"Bern"}'


async def test_without_its_key_it_is_not_asked(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_AZURE_KEY", raising=False)
    async with client() as http:
        provider = build("a", settings(azure.base_url, "env:NO_AZURE_KEY"), http)
        with pytest.raises(UpstreamFailure) as caught:
            await provider.complete(asked())
    assert caught.value.kind == "credentials"
    assert azure.requests == []


EMBEDDED = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.0]}],
    "model": "text-embedding-3-small",
    "usage": {"prompt_tokens": 5, "total_tokens": 5},
}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("embed", "/openai/deployments/embed%20small/embeddings?api-version=2024-10-21"),
        ("embed-by-token", "/v1/embeddings"),
    ],
)
@pytest.mark.provides("azure", "embeddings")
async def test_embeddings(gateway: Rig, azure: OpenAIUpstream, model: str, path: str) -> None:
    azure.script(whole(EMBEDDED))
    said = await gateway.client.embeddings.create(model=model, input="hi", encoding_format="float")
    assert (said.data[0].embedding, said.model) == ([0.25, -1.0], "text-embedding-3-small")
    seen = azure.requests[0]
    assert (seen.path, seen.body["input"]) == (path, "hi")
    assert seen.headers.get("api-key") == (KEY if model == "embed" else None)
    assert ("authorization" in seen.headers) is (model != "embed")
    row = await gateway.last_row()
    assert (row["endpoint"], row["input_tokens"], row["charged_nano"]) == ("embeddings", 5, 5000)


@pytest.mark.provides("azure", "images")
async def test_pictures_are_drawn_and_refused_with_the_filters_reason(gateway: Rig, azure: OpenAIUpstream) -> None:
    azure.script(whole({"created": 1, "data": [{"b64_json": "aWk=", "revised_prompt": "x", "content_filter_results": wire.SAFE}]}))
    drawn = await gateway.client.images.generate(model="draw", prompt="a fox", size="1024x1024")
    assert drawn.data is not None
    assert drawn.data[0].b64_json == "aWk="
    assert azure.requests[0].path == "/openai/deployments/painter/images/generations?api-version=2024-10-21"
    azure.script(status(400, wire.refusal(violence={"filtered": True, "severity": "high"})))
    with pytest.raises(openai.BadRequestError) as caught:
        await gateway.client.images.generate(model="draw", prompt="a fox", size="1024x1024")
    assert caught.value.code == "content_policy_violation"
    assert "found violence (high)" in caught.value.message


async def test_a_token_that_is_refused_for_an_embedding_is_not_used_again(azure: OpenAIUpstream) -> None:
    azure.script(status(401, wire.BAD_KEY), whole(EMBEDDED))
    async with TokenServer() as tokens, client() as http:
        metadata = {"tenant_id": TENANT, "client_id": CLIENT, "authority": tokens.url}
        provider: Any = build("a", settings(azure.base_url, SECRET, metadata), http)
        request = OperationRequest({"input": "hi"}, "embed", 30, "00-0-0-01", operation="embeddings")
        with pytest.raises(UpstreamFailure):
            await provider.perform(request)
        await provider.perform(request)
    assert [seen.headers["authorization"] for seen in azure.requests] == ["Bearer tok-1", "Bearer tok-2"]


@pytest.mark.provides("azure", "audio")
async def test_everything_else_that_it_does_is_asked_of_the_deployment(azure: OpenAIUpstream) -> None:
    completed = {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}
    async with client() as http:
        provider: Any = build("a", settings(azure.base_url.removesuffix("/v1"), KEY), http)
        for operation, body, step, path in (
            ("completions", {"prompt": "hi"}, whole(completed), "completions"),
            ("audio.speech", {"input": "hi", "voice": "alloy"}, whole(b"ID3", content_type="audio/mpeg"), "audio/speech"),
            ("audio.transcriptions", {}, whole({"text": "hi"}), "audio/transcriptions"),
            ("audio.translations", {}, whole({"text": "hi"}), "audio/translations"),
            ("images.edits", {"prompt": "hi"}, whole({"data": [{"b64_json": "hi"}]}), "images/edits"),
        ):
            uploads = (Upload("a.mp3", "audio/mpeg", b"ID3"),) if path.endswith(("transcriptions", "translations", "edits")) else ()
            azure.script(step)
            answered = await provider.perform(OperationRequest(body, "d", 30, "00-0-0-01", operation=operation, uploads=uploads))
            assert azure.requests[-1].path == f"/openai/deployments/d/{path}?api-version=2024-10-21"
            assert azure.requests[-1].headers["api-key"] == KEY
            if answered.stream is None:
                assert b"hi" in answered.body
            else:
                assert await answered.stream.read() == b"ID3"
                answered.stream.close()
