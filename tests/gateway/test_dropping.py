"""What a provider has no words for is refused by name, or left out and named where the route says `unsupported: drop`; on every wire."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from backend.audit.service import AuditService
from backend.identity.principal import system
from backend.kernel.clock import SystemClock
from backend.kernel.json import dump_json
from backend.kernel.request import Message, RequestContext, Scope
from backend.routing.edits import RouteEdits
from tests.fakes import anthropic_upstream, azure_upstream, bedrock_upstream, gemini_upstream, openrouter_upstream
from tests.fakes.bedrock_upstream import ACCESS_KEY, REGION, SECRET_KEY, BedrockUpstream
from tests.fakes.gemini_upstream import GeminiUpstream
from tests.fakes.openai_upstream import OpenAIUpstream, Seen, Step, answer, chunk, completion, events, status, whole
from tests.gateway.conftest import KEY, ONE_TRY, PROVIDER_KEY, UNLIMITED, Rig, gateway_in

HI: list[Any] = [{"role": "user", "content": "hi"}]
DROPPED = "x-bourse-dropped"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Wire:
    """`unknown` is what its adapter has no words for; None where the body goes as it is and the server says so."""

    server: str
    protocol: str
    model: str
    good: Step
    unknown: dict[str, Any] | None = None


UNKNOWN = {"logit_bias": {"1": 5}, "seed": 7}
WIRES = {
    "openai": Wire("plain", "openai", "gpt-4o", answer()),
    "azure": Wire("plain", "azure", "team-chat", azure_upstream.answer()),
    "openrouter": Wire("plain", "openrouter", "acme/large", openrouter_upstream.answer()),
    "huggingface": Wire("plain", "huggingface", "acme/large", answer()),
    "anthropic": Wire("plain", "anthropic", "claude-sonnet-4-5-20250929", anthropic_upstream.message(anthropic_upstream.text()), UNKNOWN),
    "gemini": Wire("google", "gemini", "gemini-2.5-flash", gemini_upstream.answer(), {"logit_bias": {"1": 5}, "verbosity": "low"}),
    "claude-on-bedrock": Wire(
        "aws", "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", bedrock_upstream.claude(anthropic_upstream.text()), UNKNOWN
    ),
    "bedrock": Wire("aws", "bedrock", "amazon.nova-pro-v1:0", bedrock_upstream.converse({"text": "hi"}), UNKNOWN),
}


def refusing(*names: str) -> list[Step]:
    """As OpenAI's servers refuse one parameter after the other."""
    bodies = [{"error": {"message": f"Unsupported parameter: '{name}'.", "param": name, "code": "unsupported_parameter"}} for name in names]
    return [status(400, body) for body in bodies]


@dataclass
class Servers:
    plain: OpenAIUpstream
    google: GeminiUpstream
    aws: BedrockUpstream

    def all(self) -> tuple[OpenAIUpstream, ...]:
        return self.plain, self.google, self.aws

    def script(self, name: str, *before: Step) -> list[Seen]:
        """The good answer of that wire, after these; returns its log, which is empty."""
        server: OpenAIUpstream = getattr(self, WIRES[name].server)
        server.requests.clear()
        server.script(*before, WIRES[name].good)
        return server.requests


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[Servers]:
    async with OpenAIUpstream() as plain, GeminiUpstream() as google, BedrockUpstream() as aws:
        yield Servers(plain, google, aws)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path, servers: Servers) -> AsyncIterator[Rig]:
    """An alias for each wire that drops, and `NAME-strict` that does not."""
    home = tmp_path_factory.mktemp("gateway")
    account = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region": REGION}
    providers: dict[str, Any] = {}
    routes: list[dict[str, Any]] = []
    for name, wire in WIRES.items():
        key = {"metadata": account} if wire.protocol == "bedrock" else {"api_key": PROVIDER_KEY}
        base = getattr(servers, wire.server).base_url
        base = base.removesuffix("/v1") if wire.protocol in ("anthropic", "azure") else base
        providers[name] = {"protocol": wire.protocol, "base_url": base, **key}
        candidate = {"provider": name, "model": wire.model, "price": {"input": 1, "output": 2}}
        routes += [
            {"alias": name, "candidates": [candidate], "unsupported": "drop"},
            {"alias": f"{name}-strict", "candidates": [candidate]},
        ]
    price = {"price": {"input": 1, "output": 2}}
    names = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-flash"}
    openai, anthropic, gemini = ({"provider": name, "model": model, **price} for name, model in names.items())
    again = {"retries": {"per_candidate": 1, "backoff": "1ms"}}
    routes += [
        {"alias": "two", "candidates": [gemini, anthropic], "unsupported": "drop"},
        {"alias": "kept", "candidates": [anthropic], "unsupported": "drop", "cache": {"ttl": "60s"}},
        {"alias": "twice", "candidates": [openai], "unsupported": "drop", **again},
    ]
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"]},
        "providers": providers,
        "models": [ONE_TRY | route for route in routes],
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", WIRES)
async def test_what_there_are_no_words_for_is_left_out_and_named(gateway: Rig, servers: Servers, name: str, stream: bool) -> None:
    wire = WIRES[name]
    unknown = wire.unknown or UNKNOWN
    asked = servers.script(name, *(refusing(*unknown) if wire.unknown is None else ()))
    response = await gateway.post({"model": name, "messages": HI, "stream": stream, "temperature": 0.5, **unknown})
    assert response.status_code == 200, response.text
    assert set(response.headers[DROPPED].split(", ")) == unknown.keys()
    assert response.headers["x-bourse-attempts"] == "1"
    # Who refuses on the wire does so before it answers; the others are asked once.
    assert len(asked) == (1 if wire.unknown is not None else 1 + len(unknown))
    sent = asked[-1].raw
    assert b"logit" not in sent
    assert b"0.5" in sent
    assert '"dropped"' in response.text


@pytest.mark.parametrize("name", WIRES)
async def test_without_the_policy_it_is_refused_by_name(gateway: Rig, servers: Servers, name: str) -> None:
    wire = WIRES[name]
    asked = servers.script(name, *(refusing("logit_bias") if wire.unknown is None else ()))
    response = await gateway.post({"model": f"{name}-strict", "messages": HI, "logit_bias": {"1": 5}})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", "logit_bias")
    assert DROPPED not in response.headers
    assert len(asked) == (0 if wire.unknown is not None else 1)


async def test_the_header_names_what_the_one_who_answered_was_not_given(gateway: Rig, servers: Servers) -> None:
    """The first candidate fails without `logit_bias` and `verbosity`, the second has no `seed` either."""
    servers.script("gemini", gemini_upstream.whole(gemini_upstream.error(503, "UNAVAILABLE", "busy"), 503))
    asked = servers.script("anthropic")
    body = {"model": "two", "messages": HI, "seed": 7, "logit_bias": {"1": 5}, "temperature": 0.5}
    for stream in (False, True):
        servers.google.script(gemini_upstream.whole(gemini_upstream.error(503, "UNAVAILABLE", "busy"), 503))
        response = await gateway.post({**body, "stream": stream})
        assert (response.status_code, response.headers["x-bourse-provider"]) == (200, "anthropic")
        assert response.headers[DROPPED] == "logit_bias, seed"
        assert asked[-1].body["temperature"] == 0.5
    servers.script("gemini")
    response = await gateway.post(body)
    assert (response.headers["x-bourse-provider"], response.headers[DROPPED]) == ("gemini", "logit_bias")
    assert response.json()["bourse"]["dropped"] == ["logit_bias"]


async def test_who_knows_all_of_it_leaves_nothing_out(gateway: Rig, servers: Servers) -> None:
    asked = servers.script("openai")
    response = await gateway.post({"model": "openai", "messages": HI, "logit_bias": {"1": 5}, "user": "u", "metadata": {"a": "b"}})
    assert response.status_code == 200
    assert DROPPED not in response.headers
    assert "dropped" not in response.json()["bourse"]
    assert asked[0].body["logit_bias"] == {"1": 5}


async def test_hints_are_left_out_on_every_route_and_said(gateway: Rig, servers: Servers) -> None:
    asked = servers.script("bedrock")
    named = [{"role": "user", "content": "hi", "name": "ann"}]
    response = await gateway.post({"model": "bedrock-strict", "messages": named, "user": "u", "metadata": {"a": "b"}, "seed": None})
    assert response.headers[DROPPED] == "messages[].name, metadata, user"
    assert (len(asked), b"ann" in asked[0].raw) == (1, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"service_tier": "flex"},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        {"some_field": 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_what_changes_the_meaning_is_refused_all_the_same(gateway: Rig, servers: Servers, fields: dict[str, Any]) -> None:
    asked = servers.script("anthropic")
    response = await gateway.post({"model": "anthropic", "messages": HI, **fields})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith(next(iter(fields)))
    assert asked == []


async def test_a_cap_that_a_server_refuses_is_not_left_out(gateway: Rig, servers: Servers) -> None:
    servers.script("openai", *refusing("max_tokens"))
    response = await gateway.post({"model": "openai", "messages": HI, "max_tokens": 5})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "max_tokens")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_choices_that_were_not_asked_for_are_not_charged(gateway: Rig, servers: Servers, stream: bool) -> None:
    """The server counts nothing, so what is charged is our estimate, which is bounded by one choice of 2 tokens and not by three."""
    steps = (
        [events(*[chunk({"content": word}) for word in ("one ", "two ", "three ", "four ")], chunk({}, "stop"))]
        if stream
        else [whole({**completion(), "usage": None})]
    )
    servers.script("openai", *refusing("n"), *steps)
    response = await gateway.post({"model": "openai", "messages": HI, "n": 3, "max_tokens": 2, "stream": stream})
    assert (response.status_code, response.headers[DROPPED]) == (200, "n")
    row = await gateway.last_row()
    assert (row["usage_source"], row["output_tokens"]) == ("estimated", 2)


async def test_an_answer_that_is_kept_is_given_with_its_header(gateway: Rig, servers: Servers) -> None:
    asked = servers.script("anthropic")
    body = {"model": "kept", "messages": [{"role": "user", "content": "once"}], "seed": 7, "user": "u", "metadata": {"a": "b"}}
    first = await gateway.post(body)
    assert (first.headers["x-bourse-cache"], first.headers[DROPPED]) == ("miss", "metadata, seed")
    for stream in (False, True):
        again = await gateway.post({**body, "stream": stream})
        assert (again.headers["x-bourse-cache"], again.headers[DROPPED]) == ("hit", "metadata, seed")
        assert '"dropped":["metadata","seed"]' in again.text
    # What an equal call did not send was not left out of it.
    other = await gateway.post({name: value for name, value in body.items() if name != "metadata"})
    assert (other.headers["x-bourse-cache"], other.headers[DROPPED]) == ("hit", "seed")
    assert len(asked) == 1


async def test_an_answer_that_is_replayed_has_its_header(gateway: Rig, servers: Servers) -> None:
    servers.script("anthropic")
    body = {"model": "anthropic", "messages": HI, "seed": 7}
    for stream in (False, True):
        key = {"idempotency-key": f"drop-{stream}"}
        answers = [await gateway.post({**body, "stream": stream}, headers=key) for _ in range(2)]
        assert [one.headers.get("idempotency-replayed") for one in answers] == [None, "true"]
        assert [one.headers[DROPPED] for one in answers] == ["seed", "seed"]


async def test_callers_of_other_protocols_are_told_in_their_words(gateway: Rig, servers: Servers) -> None:
    marked = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    body = {"model": "openai", "max_tokens": 50, "messages": [{"role": "user", "content": marked}], "top_k": 5}
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    headers = {"authorization": f"Bearer {KEY}", "anthropic-beta": "interleaved-thinking-2025-05-14"}
    for stream in (False, True):
        asked = servers.script("openai", *refusing("reasoning_effort", "top_k"))
        response = await gateway.http.post("/v1/messages", json={**body, **thinking, "stream": stream}, headers=headers)
        assert response.status_code == 200, response.text
        assert response.headers[DROPPED] == "anthropic-beta, messages[].cache_control, thinking, top_k"
        assert [sorted(one.body.keys() & {"reasoning_effort", "top_k"}) for one in asked] == [["reasoning_effort", "top_k"], ["top_k"], []]
        asked = servers.script("gemini")
        body_of_responses = {"model": "gemini", "input": "hi", "text": {"verbosity": "low"}, "seed": 7, "stream": stream}
        response = await gateway.http.post("/v1/responses", json=body_of_responses, headers=headers)
        assert response.status_code == 200, response.text
        assert response.headers[DROPPED] == "text.verbosity"
        assert asked[0].body["generationConfig"]["seed"] == 7


async def test_betas_that_are_not_passed_on_are_named(gateway: Rig, servers: Servers) -> None:
    headers = {"authorization": f"Bearer {KEY}", "anthropic-beta": "interleaved-thinking-2025-05-14,computer-use-2025-01-24"}
    body = {"model": "anthropic", "max_tokens": 50, "messages": HI}
    asked = servers.script("anthropic")
    response = await gateway.http.post("/v1/messages", json=body, headers=headers)
    assert response.headers[DROPPED] == "anthropic-beta"
    assert asked[0].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    asked = servers.script("claude-on-bedrock")
    response = await gateway.http.post("/v1/messages", json={**body, "model": "claude-on-bedrock"}, headers=headers)
    assert (response.status_code, response.headers[DROPPED]) == (200, "anthropic-beta")
    headers["anthropic-beta"] = "interleaved-thinking-2025-05-14"
    servers.script("anthropic")
    response = await gateway.http.post("/v1/messages", json=body, headers=headers)
    assert DROPPED not in response.headers


async def test_an_attempt_that_is_made_again_starts_without_it(gateway: Rig, servers: Servers) -> None:
    asked = servers.script("openai", *refusing("seed"), status(503))
    response = await gateway.post({"model": "twice", "messages": HI, "seed": 7})
    assert (response.status_code, response.headers[DROPPED], response.headers["x-bourse-attempts"]) == (200, "seed", "2")
    assert ["seed" in one.body for one in asked] == [True, False, False]


async def test_errors_are_not_about_what_was_left_out(gateway: Rig, servers: Servers) -> None:
    servers.script("openai", *refusing("seed"), status(400, {"error": {"message": "no"}}))
    response = await gateway.post({"model": "openai", "messages": HI, "seed": 7})
    assert response.status_code == 400
    assert DROPPED not in response.headers


def google(message: str) -> Step:
    return gemini_upstream.whole(gemini_upstream.error(400, "INVALID_ARGUMENT", message), 400)


@pytest.mark.parametrize(
    ("name", "refusal", "sent", "dropped"),
    [
        ("openai", status(400, {"error": "Argument not supported on this model: presencePenalty"}), {"presence_penalty": 1}, None),
        ("openai", status(400, {"error": {"message": "property 'store' is unsupported, did you mean 'stop'?"}}), {"store": True}, None),
        ("openai", status(422, {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}}), {"seed": 7}, None),
        ("anthropic", anthropic_upstream.failing(400, "invalid_request_error", "`temperature` is deprecated for this model."),
         {"temperature": 0.5}, None),
        ("claude-on-bedrock", bedrock_upstream.failing(400, "ValidationException", "The model returned the following errors: "
         "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
         {"temperature": 0.5, "top_p": 0.5}, "top_p"),
        ("gemini", google("Penalty is not enabled for models/gemini-2.5-pro"), {"presence_penalty": 1, "frequency_penalty": 1},
         "presence_penalty, frequency_penalty"),
    ],
    ids=["xai", "groq", "mistral", "anthropic", "bedrock", "google"],
)  # fmt: skip
async def test_servers_that_refuse_in_a_sentence(
    gateway: Rig, servers: Servers, name: str, refusal: Step, sent: dict[str, Any], dropped: str | None
) -> None:
    asked = servers.script(name, refusal)
    response = await gateway.post({"model": name, "messages": HI, **sent})
    assert (response.status_code, response.headers[DROPPED]) == (200, dropped or next(iter(sent)))
    assert len(asked) == 2
    asked = servers.script(name, refusal)
    response = await gateway.post({"model": f"{name}-strict", "messages": HI, **sent})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsupported_parameter")
    assert error["param"] in sent
    assert len(asked) == 1


async def test_an_operators_edit_of_the_policy_counts_at_once(gateway: Rig, servers: Servers) -> None:
    runtime = gateway.runtime
    edits = RouteEdits(runtime.db, SystemClock(), AuditService(SystemClock()), runtime.settings)
    body = {"model": "gemini-strict", "messages": HI, "logit_bias": {"1": 5}}
    servers.script("gemini")
    assert (await gateway.post(body)).status_code == 400
    await edits.change(system("test"), "gemini-strict", {"unsupported": "drop"})
    await runtime.routes.load()
    response = await gateway.post(body)
    assert (response.status_code, response.headers[DROPPED]) == (200, "logit_bias")
    await edits.reset(system("test"), "gemini-strict")
    await runtime.routes.load()
    assert (await gateway.post(body)).status_code == 400


async def test_a_stream_that_another_goes_on_with_tells_of_both(gateway: Rig, servers: Servers) -> None:
    """The header has gone out when the first one breaks; what the second was not given is in the last chunk."""
    begun = [gemini_upstream.response(gemini_upstream.text("One two three four "), finish=None, usage=None)]
    servers.script("gemini", gemini_upstream.streamed(*begun, end="reset"))
    servers.script("anthropic")
    servers.plain.script(anthropic_upstream.message(anthropic_upstream.text("One two three four five six.")))
    body = {"model": "two", "messages": HI, "verbosity": "low", "seed": 7, "stream": True}
    response = await gateway.post(body)
    assert response.headers[DROPPED] == "verbosity"
    assert '"recovered":' in response.text
    assert '"dropped":["seed","verbosity"]' in response.text


@pytest.mark.parametrize(("fields", "told"), [({"seed": 7}, ("seed",)), ({}, None)])
async def test_the_line_of_a_call_says_what_was_left_out(gateway: Rig, servers: Servers, fields: Any, told: tuple[str, ...] | None) -> None:
    context = RequestContext("req_1", "127.0.0.1", "0" * 32, None, "00", time.monotonic())
    body = dump_json({"model": "anthropic", "messages": HI, **fields})
    headers = [(b"authorization", f"Bearer {KEY}".encode())]
    scope: Scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": headers}
    answered: list[Message] = []

    async def send(message: Message) -> None:
        answered.append(message)

    servers.script("anthropic")
    await gateway.runtime.gateway({**scope, "bourse": context, "bourse.body": body}, asyncio.Event().wait, send)
    assert context.call is not None
    assert (answered[0]["status"], context.call.get("dropped")) == (200, told)
