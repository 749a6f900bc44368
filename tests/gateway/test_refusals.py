"""What callers do wrong, and what hostile ones try: the rows of the error table that no provider has to do with.

One gateway answers all of them: nothing that is refused leaves more behind than its row.
"""

import gzip
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.fakes.openai_upstream import OpenAIUpstream, answer, whole
from tests.gateway.conftest import KEY, LIMITED_KEY, PLAIN, Rig, configuration, open_gateway
from tests.gateway.errors import assert_error
from tests.rig.schema import sqlite_url

pytestmark = pytest.mark.asyncio(loop_scope="module")
BEARER = {"authorization": f"Bearer {KEY}"}
Shared = tuple[Rig, OpenAIUpstream]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> AsyncIterator[Shared]:
    folder = tmp_path_factory.mktemp("refusals")
    file, database = folder / "bourse.yaml", Path(shutil.copy(_sqlite_template, folder / "bourse.db"))
    async with OpenAIUpstream() as upstream:
        file.write_text(yaml.safe_dump(configuration(upstream.base_url, upstream.base_url)))
        async with open_gateway(file, folder, sqlite_url(database)) as rig:
            yield rig, upstream


@pytest.fixture
def gateway(shared: Shared) -> Rig:
    return shared[0]


@pytest.fixture
def upstream(shared: Shared) -> OpenAIUpstream:
    """Healthy, and not asked yet."""
    shared[1].requests.clear()
    shared[1].script(answer())
    return shared[1]


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
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"user": {"id": 1}}, "user"),
    ],
)
async def test_a_field_that_cannot_be_meant_is_named(gateway: Rig, upstream: OpenAIUpstream, change: dict[str, Any], param: str) -> None:
    assert_error(await gateway.post({**PLAIN, **change}), 400, "invalid_request_error", None, param)
    assert not upstream.requests


def a_million_keys() -> bytes:
    return b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}"


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
        pytest.param(a_million_keys, id="1,000,000 keys"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"a"}],"seed":' + b"9" * 10_000 + b"}", id="10,000 digits"),
        pytest.param(b'{"model":"fast","model":"pair","messages":[{"role":"user","content":"a"}]}', id="one key twice"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"\\ud800"}]}', id="lone surrogate"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"\\u0000"}]}', id="NUL"),
        pytest.param(b'{"model":"fast","messages":[{"role":"user","content":"\xff"}]}', id="not UTF-8"),
    ],
)
async def test_hostile_json_is_a_400_and_a_row(gateway: Rig, upstream: OpenAIUpstream, body: bytes | Callable[[], bytes]) -> None:
    assert_error(await gateway.post(body() if callable(body) else body), 400, "invalid_request_error", None)
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
    rows = await gateway.rows()
    headers = {} if authorization is None else {"authorization": authorization}
    message = assert_error(await gateway.post(PLAIN, key=None, headers=headers), 401, "invalid_request_error", "invalid_api_key")
    assert message == (await gateway.post(PLAIN, key="sk-x.y")).json()["error"]["message"]
    assert await gateway.rows() == rows


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


WRONG_METHODS = [
    ("GET", "/v1/chat/completions", "POST"),
    ("DELETE", "/v1/models", "GET, HEAD"),
    ("OPTIONS", "/v1/responses/resp_0", "GET, HEAD, DELETE"),
    ("OPTIONS", "/v1/responses/resp_0/cancel", "POST"),
]


@pytest.mark.parametrize(("method", "path", "allow"), WRONG_METHODS)
async def test_a_wrong_method_says_which_is_right(gateway: Rig, method: str, path: str, allow: str) -> None:
    response = await gateway.http.request(method, path, headers=BEARER)
    assert_error(response, 405, "invalid_request_error", "method_not_allowed")
    assert response.headers["allow"] == allow


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
