"""Vertex AI: the service account's token, the path, and what callers may name in Cloud Storage."""

import asyncio
from datetime import timedelta
from typing import Any

import openai
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import BaseModel

from backend.kernel.clock import Clock, SystemClock
from backend.kernel.secrets import SecretRef
from backend.providers.access_token import AccessTokens, form_exchange
from backend.providers.failures import UpstreamFailure
from backend.providers.google_token import ServiceAccount
from backend.providers.http import UpstreamHttp
from backend.providers.provider import ChatRequest
from backend.providers.vertex import VertexProvider, host_of
from backend.settings import ProviderSettings
from tests.fakes.byte_server import client
from tests.fakes.gemini_upstream import TEXT, GeminiUpstream, answer, call, error, text, whole
from tests.fakes.token_server import REFUSAL, TokenServer
from tests.gateway.conftest import Rig
from tests.providers.gemini.conftest import EMAIL, account_json, jwt_parts

HI: list[Any] = [{"role": "user", "content": "hi"}]


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "description": "Of a city", "parameters": PARAMETERS}}


class City(BaseModel):
    city: str


class MovedClock(SystemClock):
    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead


def tokens_of(key: RSAPrivateKey, server: TokenServer, http: UpstreamHttp, clock: Clock) -> AccessTokens:
    account = ServiceAccount.parse(account_json(key, server.url))
    return AccessTokens("vertex", form_exchange("vertex", account.token_uri, account.form, http, clock), clock)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.provides("vertex", "chat")
async def test_calls_carry_a_token_that_the_account_signed_for(
    gateway: Rig, google: GeminiUpstream, tokens: TokenServer, account_key: RSAPrivateKey
) -> None:
    for _ in range(3):
        said = await gateway.client.chat.completions.create(model="gemini-2.5-pro", messages=HI)
    assert said.choices[0].message.content == TEXT
    assert len(tokens.forms) == 1
    assert tokens.forms[0]["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signed, signature = jwt_parts(tokens.forms[0]["assertion"])
    account_key.public_key().verify(signature, signed, PKCS1v15(), SHA256())
    assert head == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == (EMAIL, tokens.url, 3600)
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    seen = google.requests[-1]
    assert seen.headers["authorization"] == "Bearer tok-1"
    assert "x-goog-api-key" not in seen.headers
    place = "/v1beta/projects/acme-project/locations/europe-west4/publishers/google/models/gemini-2.5-pro"
    assert seen.path == f"{place}:generateContent"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.provides("vertex", "stream")
async def test_a_stream_by_vertex(gateway: Rig, google: GeminiUpstream) -> None:
    stream = await gateway.client.chat.completions.create(model="gemini-2.5-pro", messages=HI, stream=True)
    assert "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices]) == TEXT
    assert google.requests[0].path.endswith(":streamGenerateContent?alt=sse")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("stream", [False, True])
async def test_what_vertex_has_no_words_for_is_left_out_where_the_route_says_so(gateway: Rig, google: GeminiUpstream, stream: bool) -> None:
    asked = {"messages": HI, "stream": stream, "logit_bias": {"1": 5}, "reasoning_effort": "none", "seed": 7, "user": "u-1"}
    response = await gateway.post({"model": "dropping", **asked})
    assert (response.status_code, response.headers["x-bourse-dropped"]) == (200, "logit_bias, user, reasoning_effort")
    assert google.requests[-1].body["generationConfig"].keys() == {"seed", "maxOutputTokens"}
    refused = await gateway.post({"model": "gemini-2.5-pro", **asked})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "logit_bias")


@pytest.mark.provides("vertex", "tools", "vision", "schema", "reasoning", "usage")
@pytest.mark.asyncio(loop_scope="module")
async def test_tools_pictures_schemas_thoughts_and_counts_by_vertex(gateway: Rig, google: GeminiUpstream) -> None:
    google.script(answer(call("weather", {"city": "Oslo"})), answer(), answer(text('{"city": "Oslo"}')))
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    asked: Any = {"model": "gemini-2.5-pro", "messages": [{"role": "user", "content": [picture]}]}
    called = await gateway.client.chat.completions.create(**asked, tools=[WEATHER], tool_choice="required")
    assert [one.function.arguments for one in called.choices[0].message.tool_calls or ()] == ['{"city":"Oslo"}']
    said: Any = await gateway.client.chat.completions.create(**asked, reasoning_effort="high")
    assert (said.choices[0].message.content, said.choices[0].message.reasoning_content) == (TEXT, "**Thinking**")
    row = await gateway.last_row()
    assert (row["input_tokens"], row["cache_read_tokens"], row["output_tokens"], row["reasoning_tokens"]) == (16, 4, 10, 12)
    assert row["usage_source"] == "provider"
    parsed = await gateway.client.chat.completions.parse(**asked, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Oslo")
    first, second, third = (seen.body for seen in google.requests)
    assert first["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]
    assert first["tools"][0]["functionDeclarations"][0]["name"] == "weather"
    assert second["generationConfig"]["thinkingConfig"]["includeThoughts"] is True
    assert third["generationConfig"]["responseMimeType"] == "application/json"


async def test_a_token_that_is_refused_is_not_used_again(account_key: RSAPrivateKey) -> None:
    unauthenticated = whole(error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), 401)
    async with GeminiUpstream() as upstream, TokenServer() as server, client() as http:
        upstream.script(answer(), unauthenticated, answer())
        account = SecretRef(account_json(account_key, server.url))
        settings = ProviderSettings(protocol="vertex", base_url=upstream.base_url, api_key=account)
        asked = VertexProvider("vertex", settings, http, SystemClock())
        request = ChatRequest({"messages": HI}, "gemini-2.5-pro", 30, "00-0-0-01", 64)
        await asked.complete(request)
        with pytest.raises(UpstreamFailure) as caught:
            await asked.complete(request)
        assert caught.value.kind == "credentials"
        await asked.complete(request)
        assert [seen.headers["authorization"] for seen in upstream.requests] == ["Bearer tok-1", "Bearer tok-1", "Bearer tok-2"]
        assert upstream.requests[0].path.startswith("/v1beta/projects/acme-project/locations/global/publishers/google/models/")
        upstream.models = whole({"name": "publishers/google/models/gemini-2.5-flash"})
        assert await asked.look(2) == 200
        assert upstream.looks[0].headers["authorization"] == "Bearer tok-2"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_where_a_location_is(location: str, host: str) -> None:
    assert host_of(location) == host


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("gs://acme-public/a.pdf", {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://acme-public/a.pdf"}}),
        ("gs://acme-private/a.pdf", None),
        ("gs://acme-public.evil/a.pdf", None),
        ("gs://acme-public/a", None),
    ],
)
async def test_only_allowed_places_in_cloud_storage(gateway: Rig, google: GeminiUpstream, url: str, sent: Any) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "file", "file": {"file_data": url}}]}]
    asking = gateway.client.chat.completions.create(model="gemini-2.5-pro", messages=messages)
    if sent is not None:
        await asking
        assert google.requests[0].body["contents"][0]["parts"] == [sent]
        return
    with pytest.raises(openai.BadRequestError) as caught:
        await asking
    assert caught.value.param == "messages[0].content[0]"
    assert google.requests == []


async def test_many_calls_wait_for_one_exchange_which_is_repeated_before_the_token_ends(account_key: RSAPrivateKey) -> None:
    clock = MovedClock()
    async with TokenServer() as server, client() as http:
        access = tokens_of(account_key, server, http, clock)
        assert set(await asyncio.gather(*(access.token(2) for _ in range(50)))) == {"tok-1"}
        clock.ahead = timedelta(seconds=3599 - 301)
        assert await access.token(2) == "tok-1"
        clock.ahead = timedelta(seconds=3599 - 299)
        assert {await access.token(2) for _ in range(50)} == {"tok-1"}, "calls go on while it is exchanged"
        async with asyncio.timeout(30):
            while await access.token(2) != "tok-2":
                await asyncio.sleep(0.005)
        assert len(server.forms) == 2


async def test_a_token_that_cannot_be_renewed_serves_to_its_end(account_key: RSAPrivateKey) -> None:
    clock = MovedClock()
    async with TokenServer() as server, client() as http:
        access = tokens_of(account_key, server, http, clock)
        assert await access.token(2) == "tok-1"
        server.status, server.body = 503, {}
        for before_end, exchanges in ((299, 2), (295, 2), (31, 3)):
            clock.ahead = timedelta(seconds=3599 - before_end)
            assert await access.token(2) == "tok-1"
            async with asyncio.timeout(30):
                while len(server.forms) < exchanges:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            assert len(server.forms) == exchanges, "a server that is ill is not asked with every call"
        clock.ahead = timedelta(seconds=3599 - 29)
        with pytest.raises(UpstreamFailure):
            await access.token(2)
        server.status, server.body = 200, None
        assert await access.token(2) == "tok-5"


async def test_who_gives_up_does_not_take_the_exchange_from_the_others(account_key: RSAPrivateKey) -> None:
    async with TokenServer() as server, client() as http:
        access = tokens_of(account_key, server, http, SystemClock())
        first, second = (asyncio.create_task(access.token(2)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "tok-1"
        assert first.cancelled()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, REFUSAL, "credentials", id="a bad key is the operator's affair"),
        pytest.param(401, REFUSAL, "credentials", id="unauthorized"),
        pytest.param(503, {}, "server", id="ill"),
        pytest.param(200, {"expires_in": 3599}, "credentials", id="no token"),
        pytest.param(200, {"access_token": "a\r\nx: y", "expires_in": 3599}, "credentials", id="a token that is no header"),
        pytest.param(200, [], "credentials", id="no object"),
    ],
)
async def test_no_token(account_key: RSAPrivateKey, status: int, body: Any, kind: str) -> None:
    async with TokenServer() as server, client() as http:
        server.status, server.body = status, body
        access = tokens_of(account_key, server, http, SystemClock())
        with pytest.raises(UpstreamFailure) as caught:
            await access.token(2)
        assert caught.value.kind == kind
        server.status, server.body = 200, None
        assert (await access.token(2)).startswith("tok-")


@pytest.mark.parametrize("text", ["", "{}", "AIza-a-key", '{"type": "service_account", "client_email": "a@b", "private_key": "x"}'])
def test_what_is_no_service_account(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        ServiceAccount.parse(text)


def test_a_key_so_long_that_reading_it_would_hold_up_everybody_is_not_read() -> None:
    text = {"type": "service_account", "client_email": "a@b", "private_key": f"-----BEGIN PRIVATE KEY-----\n{'A' * 5000}"}
    with pytest.raises(ValueError, match="longer than"):
        ServiceAccount.parse(orjson.dumps(text).decode())
