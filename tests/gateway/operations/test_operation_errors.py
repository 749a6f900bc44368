"""The error table of the wire contract for what is not chat: a bad body for each field, and one example for each row."""

import asyncio
import gzip
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.openai_operations import embeddings, images, sound
from tests.fakes.openai_upstream import OpenAIUpstream, hang, status, whole
from tests.gateway.conftest import KEY, LIMITED_KEY, PROVIDER_KEY
from tests.gateway.errors import assert_error
from tests.gateway.operations.conftest import CAPPED_KEY, POOR_KEY
from tests.gateway.operations.conftest import OperationRig as Rig
from tests.providers.test_sound import wav

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEARER = {"authorization": f"Bearer {KEY}"}
GOOD: dict[str, dict[str, Any]] = {
    "embeddings": {"model": "embed", "input": "x"},
    "completions": {"model": "instruct", "prompt": "x"},
    "moderations": {"model": "harm", "input": "x"},
    "rerank": {"model": "rank", "query": "x", "documents": ["y"]},
    "images/generations": {"model": "draw", "prompt": "x"},
    "audio/speech": {"model": "speak", "input": "x"},
}
BAD: list[tuple[str, dict[str, Any], str]] = [
    *[(path, {"model": model}, "model") for path in GOOD for model in ("", 7, "m" * 256)],
    *[(path, {"model": None}, "model") for path in GOOD if path != "moderations"],
    *[(path, {"user": {"id": 1}}, "user") for path in GOOD],
    *[("embeddings", {"input": value}, "input") for value in (None, "", [], {}, 7, [[]], ["x"] * 10_001) if value != [[]]],
    ("embeddings", {"input": [[]]}, "input[0]"),
    ("embeddings", {"input": ["a", ""]}, "input[1]"),
    ("embeddings", {"input": ["a", 1]}, "input[1]"),
    ("embeddings", {"input": [[1], [-1]]}, "input[1]"),
    ("embeddings", {"input": [[1], [1.5]]}, "input[1]"),
    ("embeddings", {"dimensions": 0}, "dimensions"),
    ("embeddings", {"dimensions": "many"}, "dimensions"),
    ("embeddings", {"encoding_format": "hex"}, "encoding_format"),
    ("completions", {"prompt": None}, "prompt"),
    ("completions", {"max_tokens": 0}, "max_tokens"),
    ("completions", {"max_tokens": 10**18}, "max_tokens"),
    ("completions", {"n": 129}, "n"),
    ("completions", {"stream": "yes"}, "stream"),
    ("completions", {"stream_options": {"include_usage": True}}, "stream_options"),
    ("completions", {"stream": True, "stream_options": {"include_usage": 1}}, "stream_options"),
    ("completions", {"n": 3, "best_of": 2}, "best_of"),
    ("moderations", {"input": []}, "input"),
    ("moderations", {"input": [[1]]}, "input[0]"),
    ("moderations", {"input": [{"type": "film"}]}, "input[0].type"),
    ("rerank", {"query": ""}, "query"),
    ("rerank", {"documents": []}, "documents"),
    ("rerank", {"documents": "one"}, "documents"),
    ("rerank", {"documents": ["x"] * 10_001}, "documents"),
    ("rerank", {"documents": ["x", 7]}, "documents[1]"),
    ("rerank", {"top_n": 0}, "top_n"),
    ("images/generations", {"prompt": ""}, "prompt"),
    ("images/generations", {"prompt": "x" * 32_001}, "prompt"),
    ("images/generations", {"n": 11}, "n"),
    ("images/generations", {"size": "large"}, "size"),
    ("images/generations", {"size": "1024x9999"}, "size"),
    ("images/generations", {"size": "0x0"}, "size"),
    ("images/generations", {"quality": 7}, "quality"),
    ("images/generations", {"partial_images": 2}, "partial_images"),
    ("images/generations", {"partial_images": 4, "stream": True}, "partial_images"),
    ("images/generations", {"stream": "true"}, "stream"),
    ("images/generations", {"stream": True, "n": 2}, "n"),
    ("images/generations", {"response_format": "png"}, "response_format"),
    ("audio/speech", {"input": ""}, "input"),
    ("audio/speech", {"input": "x" * 100_001}, "input"),
    ("audio/speech", {"voice": ""}, "voice"),
    ("audio/speech", {"response_format": "midi"}, "response_format"),
    ("audio/speech", {"speed": 5}, "speed"),
    ("audio/speech", {"speed": True}, "speed"),
    ("audio/speech", {"stream_format": "websocket"}, "stream_format"),
]


@pytest.mark.parametrize(("path", "change", "param"), BAD)
async def test_a_field_that_cannot_be_meant_is_named(gateway: Rig, upstream: OpenAIUpstream, path: str, change: Any, param: str) -> None:
    assert_error(await gateway.ask(path, {**GOOD[path], **change}), 400, "invalid_request_error", None, param)
    assert not upstream.requests
    row = await gateway.last_row()
    assert (row["endpoint"], row["outcome"], row["status"], row["charged_nano"]) == (path.replace("/", "."), "refused", 400, 0)


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("completions", {"service_tier": "priority"}),
        ("embeddings", {"plugins": ["web"]}),
        ("completions", {"models": ["other"]}),
    ],
)
async def test_what_is_not_done_here_is_refused_by_name(gateway: Rig, upstream: OpenAIUpstream, path: str, change: Any) -> None:
    response = await gateway.ask(path, {**GOOD[path], **change})
    assert_error(response, 400, "invalid_request_error", "unsupported_parameter", next(iter(change)))
    assert not upstream.requests


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"model":"embed","input":NaN}', b'{"model":"a","model":"b","input":"y"}'])
async def test_hostile_json_is_a_400_and_a_row(gateway: Rig, body: bytes) -> None:
    assert_error(await gateway.ask("embeddings", body), 400, "invalid_request_error", None)
    assert (await gateway.last_row())["outcome"] == "refused"


async def test_large_bodies_and_other_encodings_and_methods(gateway: Rig) -> None:
    limit = 20 * 1024 * 1024
    for body, headers in ((b" " * (limit + 1), {}), (gzip.compress(b" " * (limit + 1)), {"content_encoding": "gzip"})):
        assert_error(await gateway.ask("embeddings", body, **headers), 413, "invalid_request_error", "request_too_large")
    assert_error(await gateway.ask("embeddings", b"{}", content_encoding="br"), 415, "invalid_request_error", "unsupported_encoding")
    for path in GOOD:
        assert_error(await gateway.http.get(f"/v1/{path}", headers=BEARER), 405, "invalid_request_error", "method_not_allowed")


async def test_who_asks_and_for_what(gateway: Rig, upstream: OpenAIUpstream) -> None:
    for path, body in GOOD.items():
        assert_error(await gateway.ask(path, body, key=None), 401, "invalid_request_error", "invalid_api_key")
        unknown = {**body, "model": "no-such"}
        assert_error(await gateway.ask(path, unknown), 404, "invalid_request_error", "model_not_found", "model")
        if body["model"] not in ("embed", "rank"):
            assert_error(await gateway.ask(path, body, key=LIMITED_KEY), 404, "invalid_request_error", "model_not_found", "model")
        silent = {**body, "model": "silent"}
        assert "does" in assert_error(await gateway.ask(path, silent), 400, "invalid_request_error", None, "model")
        unpriced = {**body, "model": "unpriced"}
        response = await gateway.ask(path, unpriced)
        assert_error(response, 403, "insufficient_quota", "price_unknown", "model")
        assert response.headers["x-should-retry"] == "false"
    assert_error(await gateway.ask("rerank", GOOD["rerank"], key=LIMITED_KEY), 403, "permission_error", "model_not_allowed", "model")
    assert not upstream.requests


async def test_a_budget_that_does_not_cover_it_and_a_limit_of_tokens(gateway: Rig, upstream: OpenAIUpstream) -> None:
    for path in ("rerank", "images/generations", "audio/speech"):
        response = await gateway.ask(path, GOOD[path], key=POOR_KEY)
        assert_error(response, 403, "insufficient_quota", "budget_exceeded")
    # Counted exactly, a text of many bytes may fit.
    upstream.script(embeddings())
    assert (await gateway.ask("embeddings", {"model": "embed", "input": "the " * 60}, key=CAPPED_KEY)).status_code == 200
    long = {"model": "embed", "input": "the " * 200}
    assert_error(await gateway.ask("embeddings", long, key=CAPPED_KEY), 429, "rate_limit_error", "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("model", "step", "expected", "kind", "code"),
    [
        ("embed", status(400), 400, "invalid_request_error", None),
        ("embed", status(404), 404, "invalid_request_error", "model_not_found"),
        ("embed", status(422), 400, "invalid_request_error", None),
        ("embed", status(500), 502, "api_error", "upstream_error"),
        ("embed-busy", status(429, None, "retry-after: 1"), 429, "rate_limit_error", "upstream_rate_limited"),
        ("embed-refused", status(401), 502, "api_error", "upstream_credentials"),
        ("embed-hasty", hang(), 504, "api_error", "upstream_timeout"),
    ],
)
async def test_what_a_provider_says(
    gateway: Rig, upstream: OpenAIUpstream, model: str, step: Any, expected: int, kind: str, code: str | None
) -> None:
    upstream.script(step)
    response = await gateway.ask("embeddings", {"model": model, "input": "x"})
    assert_error(response, expected, kind, code)
    assert PROVIDER_KEY not in response.text
    row = await gateway.last_row()
    assert (row["outcome"], row["status"], row["charged_nano"], row["attempts"]) == ("failed", expected, 0, 1)


async def test_the_sdks_exceptions_are_those_of_chat(gateway: Rig, upstream: OpenAIUpstream) -> None:
    with pytest.raises(openai.NotFoundError):
        await gateway.client.embeddings.create(model="no-such", input="x")
    with pytest.raises(openai.BadRequestError):
        await gateway.client.images.generate(model="draw", prompt="x", size="none")  # type: ignore[call-overload]
    upstream.script(status(503))
    with pytest.raises(openai.InternalServerError):
        await gateway.client.audio.speech.create(model="speak", input="x", voice="any")


# ── uploads ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def upload(gateway: Rig, data: dict[str, Any], file: Any, **headers: str) -> httpx.Response:
    files = {"file": file} if file is not None else None
    return await gateway.http.post("/v1/audio/transcriptions", data=data, files=files, headers={**BEARER, **headers})


async def test_a_form_that_cannot_be_meant(gateway: Rig, upstream: OpenAIUpstream) -> None:
    file = ("a.wav", wav(0.1))
    bad = "invalid_request_error"
    assert_error(await upload(gateway, {}, file), 400, bad, None, "model")
    assert_error(await upload(gateway, {"model": "hear", "response_format": "mp4"}, file), 400, bad, None, "response_format")
    streamed = {"model": "hear", "stream": "true", "response_format": "srt"}
    assert_error(await upload(gateway, streamed, file), 400, bad, None, "response_format")
    assert_error(await upload(gateway, {"model": "hear"}, ("a.wav", b"")), 400, bad, None, "file")
    assert_error(await gateway.ask("audio/transcriptions", {"model": "hear"}), 415, bad, "unsupported_encoding")
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--y--", b"--x\r\n", b"--x\r\n\r\n\r\n", b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nhear'):
        response = await gateway.http.post("/v1/audio/transcriptions", content=body, headers={**BEARER, **kind})
        assert_error(response, 400, bad, None)
    assert not upstream.requests
    assert {row["endpoint"] for row in await gateway.rows()} == {"audio.transcriptions"}


async def test_a_file_may_have_25_mib_and_no_more(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole({"text": "long", "usage": {"type": "duration", "seconds": 60}}))
    most = 25 * 1024 * 1024
    assert (await upload(gateway, {"model": "hear"}, ("a.wav", wav(1) + bytes(most - len(wav(1)))))).status_code == 200
    assert len(upstream.requests[0].raw) > most
    response = await upload(gateway, {"model": "hear"}, ("a.wav", bytes(most + 512 * 1024)))
    assert_error(response, 413, "invalid_request_error", "request_too_large")


# ── money under concurrency ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "path", "body", "nano", "step"),
    [
        ("embeddings", "embeddings", {"model": "embed", "input": "x" * 9840}, 1_000_000, embeddings(tokens_each=10_000)),
        ("images", "images/generations", {"model": "draw", "prompt": "x", "n": 2}, 80_000_000, whole(images(many=2))),
        ("speech", "audio/speech", {"model": "speak", "input": "x" * 1000}, 15_000_000, sound(b"hello")),
        ("searches", "rerank", {"model": "rank", "query": "x", "documents": ["y"]}, 2_000_000, whole({"results": []})),
    ],
)
async def test_a_budget_holds_however_many_ask_at_once(
    gateway: Rig, upstream: OpenAIUpstream, name: str, path: str, body: Any, nano: int, step: Any
) -> None:
    """Room for five calls, twenty at once: five are answered, and the ledger says exactly five."""
    upstream.script(step)
    answers = await asyncio.gather(*[gateway.ask(path, body, key=f"sk-five-{name}.local-only") for _ in range(20)])
    codes = [answer.status_code for answer in answers]
    rows = [row for row in await gateway.rows() if row["outcome"] == "completed"]
    assert codes.count(200) == len(rows) == len(upstream.requests) == 5
    assert codes.count(403) == 15
    assert [row["charged_nano"] for row in rows] == [nano] * 5
