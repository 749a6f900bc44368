"""The error table of the wire contract: one example for each row that exists today, as bytes and as the SDK's exception."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import sqlalchemy as sa
import yaml

from backend.kernel.body import read_body
from tests.fakes.openai_upstream import OpenAIUpstream, events, garbage, hang, reset, status, whole
from tests.gateway.conftest import KEY, LIMITED_KEY, PLAIN, PROVIDER_KEY, Rig, configuration, open_gateway

BEARER = {"authorization": f"Bearer {KEY}"}


def assert_error(response: httpx.Response, expected_status: int, kind: str, code: str | None, param: str | None = None) -> str:
    assert response.status_code == expected_status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["type"], body["error"]["code"], body["error"]["param"]) == (kind, code, param)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    if expected_status in (429, 503):
        assert int(response.headers["retry-after"]) >= 0
    message: str = body["error"]["message"]
    assert message
    return message


# ── 400: the body ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"model": "m" * 256}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": [1]}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1e18}, "max_tokens"),
        ({"max_tokens": 10**18}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"user": {"id": 1}}, "user"),
    ],
)
async def test_a_field_that_cannot_be_meant_is_named(gateway: Rig, upstream: OpenAIUpstream, change: dict[str, Any], param: str) -> None:
    assert_error(await gateway.post({**PLAIN, **change}), 400, "invalid_request_error", None, param)
    assert not upstream.requests


@pytest.mark.case("C5")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"a"}],"max_tokens":NaN}', id="NaN"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"a"}],"temperature":-Infinity}', id="Infinity"),
        pytest.param(b'{"model":"fast","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="100,000 levels"),
        pytest.param(b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}", id="1,000,000 keys"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"a"}],"seed":' + b"9" * 10_000 + b"}", id="10,000 digits"),
        pytest.param(b'{"model":"fast","model":"pair","messages":[{"role":"user","content":"a"}]}', id="one key twice"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"\\ud800"}]}', id="lone surrogate"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"\\u0000"}]}', id="NUL"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"\xff"}]}', id="not UTF-8"),
    ],
)
async def test_hostile_json_is_a_400_and_a_row(gateway: Rig, upstream: OpenAIUpstream, body: bytes) -> None:
    assert_error(await gateway.post(body), 400, "invalid_request_error", None)
    assert not upstream.requests
    row = await gateway.last_row()
    assert (row["outcome"], row["status"], row["attempts"]) == ("refused", 400, 0)


@pytest.mark.case("C4")
async def test_too_large_bodies_are_refused_before_they_are_read(gateway: Rig, upstream: OpenAIUpstream) -> None:
    limit = 20 * 1024 * 1024

    async def chunked() -> Any:
        for _ in range(21):
            yield b" " * (1024 * 1024)

    for body, headers in (
        (b" " * (limit + 1), {}),
        (chunked(), {}),
        (gzip.compress(b" " * (limit + 1)), {"content-encoding": "gzip"}),
    ):
        response = await gateway.http.post("/v1/chat/completions", headers={**BEARER, **headers}, content=body)
        assert_error(response, 413, "invalid_request_error", "request_too_large")
    assert not upstream.requests


async def test_other_encodings_are_a_415_and_gzip_is_understood(gateway: Rig) -> None:
    body = json.dumps(PLAIN).encode()
    response = await gateway.post(body, headers={"content-encoding": "br"})
    assert_error(response, 415, "invalid_request_error", "unsupported_encoding")
    assert (await gateway.post(gzip.compress(body), headers={"content-encoding": "gzip"})).status_code == 200


# ── 401, 403, 404, 405 ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer sk-demo.wrong", "Bearer sk-nobody.x", "Basic c2s=", f"Token {KEY}", "Bearer sk-demo"]
)
async def test_every_bad_key_is_the_same_401_without_a_row(gateway: Rig, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    message = assert_error(await gateway.post(PLAIN, key=None, headers=headers), 401, "invalid_request_error", "invalid_api_key")
    assert message == (await gateway.post(PLAIN, key="sk-x.y")).json()["error"]["message"]
    assert await gateway.rows() == []


async def test_nobody_without_a_key_makes_us_read_a_body(gateway: Rig) -> None:
    response = await gateway.post(b" " * (21 * 1024 * 1024), key="sk-x.y")
    assert_error(response, 401, "invalid_request_error", "invalid_api_key")


@pytest.mark.parametrize("name", ["nope", "off", "acme", "nobody/gpt-4o", "router:x", "auto", "x" * 255, "\u202etsaf", "acme/a\x1bb"])
async def test_unknown_and_disabled_models_are_the_same_404(gateway: Rig, upstream: OpenAIUpstream, name: str) -> None:
    message = assert_error(await gateway.post({**PLAIN, "model": name}), 404, "invalid_request_error", "model_not_found", "model")
    assert message.isprintable()
    assert not upstream.requests
    row = await gateway.last_row()
    assert (row["outcome"], row["error_code"]) == ("refused", "model_not_found")


async def test_a_tenants_list_hides_and_a_keys_list_forbids(gateway: Rig, upstream: OpenAIUpstream) -> None:
    assert (await gateway.post(PLAIN, key=LIMITED_KEY)).status_code == 200
    in_the_tenants = await gateway.post({**PLAIN, "model": "pair"}, key=LIMITED_KEY)
    assert_error(in_the_tenants, 403, "permission_error", "model_not_allowed", "model")
    for hidden in ("hasty", "acme/gpt-fake", "sandbox/chat"):
        response = await gateway.post({**PLAIN, "model": hidden}, key=LIMITED_KEY)
        unknown = await gateway.post({**PLAIN, "model": "n" * len(hidden)}, key=LIMITED_KEY)
        message = assert_error(response, 404, "invalid_request_error", "model_not_found", "model")
        assert message.replace(hidden, "n" * len(hidden)) == unknown.json()["error"]["message"]
    assert len(upstream.requests) == 1
    listed = await gateway.http.get("/v1/models", headers={"authorization": f"Bearer {LIMITED_KEY}"})
    assert [model["id"] for model in listed.json()["data"]] == ["fast"]


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nope", "/v1/chat", "/v1/chat/completions/", "/router/x", "/router", "/v1/models/nope", "/v1/%2e%2e"]
)
async def test_anything_else_is_a_json_404(gateway: Rig, path: str) -> None:
    code = "model_not_found" if "models" in path else "not_found"
    param = "model" if "models" in path else None
    assert_error(await gateway.http.get(path, headers=BEARER), 404, "invalid_request_error", code, param)


@pytest.mark.parametrize(("method", "path", "allow"), [("GET", "/v1/chat/completions", "POST"), ("DELETE", "/v1/models", "GET, HEAD")])
async def test_a_wrong_method_says_which_is_right(gateway: Rig, method: str, path: str, allow: str) -> None:
    response = await gateway.http.request(method, path, headers=BEARER)
    assert_error(response, 405, "invalid_request_error", "method_not_allowed")
    assert response.headers["allow"] == allow


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


# ── injection ────────────────────────────────────────────────────────────────────────────────────────────────────────

HOSTILE = ["a\r\nx-evil: 1", "a\nb", "\x1b[31mred", "a\u2028b", "\u202eevil", "é" * 10_000, "\x00"]


@pytest.mark.case("W6")
@pytest.mark.parametrize("name", HOSTILE)
async def test_an_upstreams_model_name_injects_no_header_no_log_line_and_no_row_that_fails(
    gateway: Rig, upstream: OpenAIUpstream, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    upstream.script(
        whole({"model": name, "choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    )
    response = await gateway.post(PLAIN)
    assert response.status_code == 200
    assert "x-evil" not in response.headers
    assert response.headers["x-bourse-model"].isascii()
    assert len(response.headers["x-bourse-model"]) <= 255
    row = await gateway.last_row()
    assert row["model"].isprintable()
    assert len(row["model"]) <= 255
    for line in capfd.readouterr().out.splitlines():
        json.loads(line)


@pytest.mark.case("W6")
@pytest.mark.parametrize("name", HOSTILE[:-1])
async def test_a_callers_names_inject_nothing_either(gateway: Rig, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    # The client's own library refuses to send line breaks and escapes in a header; the rest reaches us as it is.
    sendable = "".join(sign for sign in name[:200] if sign >= " ")
    response = await gateway.post({**PLAIN, "model": name[:200], "user": name[:200]}, headers={"x-request-id": f"{sendable}!".encode()})
    assert response.status_code == 404
    assert "x-evil" not in response.headers
    assert response.headers["x-request-id"].startswith("req_")
    row = await gateway.last_row()
    assert row["requested_model"].isprintable()
    assert row["end_user"].isprintable()
    for line in capfd.readouterr().out.splitlines():
        json.loads(line)
