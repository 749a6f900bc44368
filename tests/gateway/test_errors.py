"""The error table of the wire contract: one example for each row that exists today, as bytes and as the SDK's exception."""

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa
import yaml

from backend.kernel.body import read_body
from tests.fakes.openai_upstream import OpenAIUpstream, events, garbage, hang, reset, status, whole
from tests.gateway.conftest import KEY, LIMITED_KEY, PLAIN, PROVIDER_KEY, Rig, configuration, open_gateway
from tests.gateway.errors import assert_error

BEARER = {"authorization": f"Bearer {KEY}"}


# ── what the providers do ────────────────────────────────────────────────────────────────────────────────────────────


def refusal(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": code}}


TABLE = [
    pytest.param(status(400, refusal("Bad role.")), 400, "invalid_request_error", None, "messages", id="400"),
    pytest.param(status(422, refusal("Bad role.")), 400, "invalid_request_error", None, "messages", id="422"),
    pytest.param(
        status(400, refusal("Too long.", "context_length_exceeded")),
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
        id="context",
    ),
    pytest.param(
        status(400, refusal("Refused.", "content_policy_violation")),
        400,
        "invalid_request_error",
        "content_policy_violation",
        "messages",
        id="policy",
    ),
    pytest.param(
        status(400, refusal("No logprobs.", "unsupported_parameter")),
        400,
        "invalid_request_error",
        "unsupported_parameter",
        "messages",
        id="parameter",
    ),
    pytest.param(status(413), 413, "invalid_request_error", "request_too_large", None, id="413"),
    pytest.param(status(401), 502, "api_error", "upstream_credentials", None, id="401"),
    pytest.param(status(403), 502, "api_error", "upstream_credentials", None, id="403"),
    pytest.param(status(404), 404, "invalid_request_error", "model_not_found", None, id="404"),
    pytest.param(status(408), 504, "api_error", "upstream_timeout", None, id="408"),
    pytest.param(status(429, None, "retry-after: 7"), 429, "rate_limit_error", "upstream_rate_limited", None, id="429"),
    pytest.param(status(429), 429, "rate_limit_error", "upstream_rate_limited", None, id="429 without retry-after"),
    pytest.param(status(500), 502, "api_error", "upstream_error", None, id="500"),
    pytest.param(status(503), 502, "api_error", "upstream_error", None, id="503"),
    pytest.param(status(302, None, "location: http://127.0.0.1:1/"), 502, "api_error", "upstream_error", None, id="redirect"),
    pytest.param(reset(), 502, "api_error", "upstream_error", None, id="reset"),
    pytest.param(garbage(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), 502, "api_error", "upstream_error", None, id="not HTTP"),
    pytest.param(hang(), 504, "api_error", "upstream_timeout", None, id="silent"),
    pytest.param(whole(b"<html>hello</html>", content_type="text/html"), 502, "api_error", "upstream_error", None, id="HTML 200"),
    pytest.param(whole([1]), 502, "api_error", "upstream_error", None, id="a list"),
    pytest.param(whole({"id": "x"}), 502, "api_error", "upstream_error", None, id="no choices"),
    pytest.param(
        whole({"error": {"message": "x", "type": "rate_limit_error"}}),
        429,
        "rate_limit_error",
        "upstream_rate_limited",
        None,
        id="429 in 200",
    ),
    pytest.param(whole({"error": {"message": "Bad.", "code": 400}}), 400, "invalid_request_error", None, None, id="400 in 200"),
    pytest.param(whole({"error": "boom"}), 502, "api_error", "upstream_error", None, id="text error in 200"),
    pytest.param(status(500, b"\xff\xfe not json"), 502, "api_error", "upstream_error", None, id="500 with rubbish"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("step", "expected", "kind", "code", "param"), TABLE)
async def test_a_providers_failure_becomes_a_row_of_the_table(
    gateway: Rig, upstream: OpenAIUpstream, step: Any, expected: int, kind: str, code: str | None, param: str | None, stream: bool
) -> None:
    upstream.script(step)
    # Only a silent provider is met with limits of a fraction of a second: on a busy machine the others would be taken for silent too.
    response = await gateway.post({**PLAIN, "model": "hasty-alone" if code == "upstream_timeout" else "fast", "stream": stream})
    assert_error(response, expected, kind, code, param)
    row = await gateway.last_row()
    assert (row["outcome"], row["status"], row["error_code"], row["attempts"]) == ("failed", expected, code, 1)
    assert (row["charged_nano"], row["usage_source"]) == (0, "none")
    assert response.headers["x-bourse-provider"] == "acme"


async def test_retry_after_is_the_smallest_of_all_candidates(gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream) -> None:
    upstream.script(status(429, None, "retry-after: 9"))
    other.script(status(429, None, "retry-after: 4"))
    response = await gateway.post({**PLAIN, "model": "pair"})
    assert_error(response, 429, "rate_limit_error", "upstream_rate_limited")
    assert response.headers["retry-after"] == "4"


async def test_a_refusal_of_the_request_itself_is_not_asked_elsewhere(
    gateway: Rig, upstream: OpenAIUpstream, other: OpenAIUpstream
) -> None:
    upstream.script(status(400, refusal("Bad role.")))
    response = await gateway.post({**PLAIN, "model": "pair"})
    assert response.json()["error"]["message"] == "Bad role."
    assert not other.requests


async def test_nothing_listening_is_a_502_at_once(gateway: Rig, upstream: OpenAIUpstream) -> None:
    await upstream.__aexit__(None, None, None)
    assert_error(await gateway.post(PLAIN), 502, "api_error", "upstream_error")


@pytest.mark.case("U6")
async def test_a_providers_401_echoing_the_key_shows_neither_key_nor_address(gateway: Rig, upstream: OpenAIUpstream) -> None:
    echo = f"Incorrect API key provided: {PROVIDER_KEY}. See {upstream.base_url}/keys or 127.0.0.1:9999."
    for code in (400, 401, 500):
        upstream.script(status(code, refusal(echo)))
        response = await gateway.post(PLAIN)
        assert response.status_code != 401
        for secret in (PROVIDER_KEY, "127.0.0.1", upstream.base_url):
            assert secret not in response.text


async def test_the_sdk_raises_its_own_class_for_each_status(gateway: Rig, upstream: OpenAIUpstream) -> None:
    async def ask(**body: Any) -> None:
        await gateway.client.chat.completions.create(**{"model": "fast", "messages": [{"role": "user", "content": "hi"}], **body})

    with pytest.raises(openai.NotFoundError) as missing:
        await ask(model="nope")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError):
        await ask(max_tokens=0)
    with pytest.raises(openai.AuthenticationError):
        await gateway.client.with_options(api_key="sk-x.y").chat.completions.create(
            model="fast", messages=[{"role": "user", "content": "hi"}]
        )
    with pytest.raises(openai.PermissionDeniedError):
        await gateway.client.with_options(api_key=LIMITED_KEY).chat.completions.create(
            model="pair", messages=[{"role": "user", "content": "hi"}]
        )
    upstream.script(status(429, None, "retry-after: 1"))
    with pytest.raises(openai.RateLimitError):
        await ask()
    upstream.script(status(500))
    with pytest.raises(openai.InternalServerError):
        await ask()
    upstream.script(events({"error": {"message": "no", "code": 500}}))
    with pytest.raises(openai.InternalServerError):
        await ask(stream=True)


# ── the rows that are ours alone ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_suspended_tenant_and_a_foreign_address_are_told_so(gateway: Rig) -> None:
    database = gateway.runtime.db
    async with database.write() as unit:
        await unit.session.execute(sa.text("UPDATE api_key SET allowed_addresses = '[\"192.0.2.0/24\"]' WHERE public_id = 'limited'"))
    await gateway.runtime.auth.load()
    assert_error(await gateway.post(PLAIN, key=LIMITED_KEY), 403, "permission_error", "ip_not_allowed")
    async with database.write() as unit:
        await unit.session.execute(sa.text("UPDATE tenant SET status = 'suspended'"))
    await gateway.runtime.auth.load()
    assert_error(await gateway.post(PLAIN), 403, "permission_error", "tenant_suspended")


async def test_a_body_that_stops_coming_is_a_408_and_a_row(gateway: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = read_body.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "idle_seconds", 0.2)  # 15 s is what callers get; nobody should wait for it here
    reader, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 99\r\n\r\n{{".encode())
    assert b" 408 " in await reader.readline()
    writer.close()
    row = await gateway.last_row("refused")
    assert (row["status"], row["error_code"]) == (408, "request_timeout")


async def test_no_provider_that_can_answer_is_a_503(tmp_path: Path, sqlite_database_url: str) -> None:
    file = tmp_path / "bourse.yaml"
    file.write_text("providers: {claude: {protocol: anthropic}}\nmodels: [{alias: fast, candidates: [{provider: claude, model: m}]}]\n")
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        assert_error(await rig.post(PLAIN), 503, "api_error", "no_available_provider")


@pytest.mark.case("D5")
async def test_a_journal_that_cannot_be_written_is_a_503_and_nobody_is_called(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream
) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(configuration(upstream.base_url, upstream.base_url)))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        for stream in (False, True):
            assert_error(await rig.post({**PLAIN, "stream": stream}), 503, "api_error", "storage_unavailable")
        assert not upstream.requests
        (tmp_path / "journal").unlink()
        assert (await rig.post(PLAIN)).status_code == 200


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_mistake_of_ours_is_a_500_with_the_request_id_and_a_row(
    gateway: Rig, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """The fault is put where the cost is worked out, after the whole answer and at the end of the stream."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the implementation")

    monkeypatch.setattr("backend.gateway.bill.cost_of_call", broken)
    response = await gateway.post({**PLAIN, "stream": stream})
    assert "secret of" not in response.text
    assert response.headers["x-request-id"] in response.text
    if stream:
        assert response.text.endswith("}}\n\n")
        assert json.loads(response.text.rstrip().rpartition("data: ")[2])["error"]["code"] == "internal_error"
    else:
        assert_error(response, 500, "api_error", "internal_error")
    row = await gateway.last_row()
    assert (row["outcome"], row["error_code"]) == ("failed", "internal_error")
