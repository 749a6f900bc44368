"""Every error in Anthropic's own shape, wherever it is raised; and the SDK's exceptions for them."""

import gzip
import json
from typing import Any

import anthropic
import httpx
import pytest
from anthropic import AsyncAnthropic

from backend.kernel.errors import BourseError, as_openai
from tests.fakes.anthropic_upstream import failing, framed, stream, text
from tests.fakes.openai_upstream import chunk, events, status
from tests.gateway.conftest import KEY, LIMITED_KEY, Rig
from tests.gateway.messages.conftest import ASKED, CAPPED_KEY, POOR_KEY, Upstreams, posted

pytestmark = pytest.mark.asyncio(loop_scope="module")


def assert_error(response: httpx.Response, code: int, kind: str, ours: str | None = None, param: str | None = None) -> dict[str, Any]:
    assert response.status_code == code, response.text
    body = response.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert body["error"]["message"]
    assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]
    assert response.headers["content-type"] == "application/json"
    assert body["error"].get("code") == ours
    if param is not None:
        assert body["error"]["param"] == param
    return body["error"]


async def test_who_asks_is_judged_first(gateway: Rig, upstreams: Upstreams) -> None:
    for path in ("", "/count_tokens"):
        for key in (None, "nonsense", "sk-demo.wrong"):
            assert_error(await posted(gateway, ASKED, key=key, path=path), 401, "authentication_error", "invalid_api_key")
        assert_error(await posted(gateway, {**ASKED, "model": "nobody"}, path=path), 404, "not_found_error", "model_not_found", "model")
        other = await posted(gateway, {**ASKED, "model": "claude"}, key=LIMITED_KEY, path=path)
        assert_error(other, 403, "permission_error", "model_not_allowed")
    both = await posted(gateway, ASKED, key="sk-demo.wrong", authorization=f"Bearer {KEY}")
    assert both.status_code == 200, "who sends both is known by authorization"
    assert upstreams.openai.requests[0].headers["authorization"] != f"Bearer {KEY}"
    assert "x-api-key" not in upstreams.openai.requests[0].headers


async def test_what_the_front_door_says(gateway: Rig) -> None:
    key = {"x-api-key": KEY}
    assert_error(await gateway.http.get("/v1/messages", headers=key), 405, "invalid_request_error", "method_not_allowed")
    assert_error(await gateway.http.post("/v1/messages/batches", headers=key, json={}), 404, "not_found_error", "not_found")
    bomb = gzip.compress(b" " * (21 * 1024 * 1024))
    assert_error(await posted(gateway, bomb, content_encoding="gzip"), 413, "request_too_large", "request_too_large")
    assert_error(await posted(gateway, b"{}", content_encoding="br"), 415, "invalid_request_error", "unsupported_encoding")
    assert_error(await posted(gateway, b"{}", content_encoding="gzip"), 400, "invalid_request_error")
    assert_error(await posted(gateway, b"{"), 400, "invalid_request_error")
    assert_error(await posted(gateway, b"[]"), 400, "invalid_request_error")
    packed = await posted(gateway, gzip.compress(json.dumps(ASKED).encode()), content_encoding="gzip")
    assert packed.json()["type"] == "message"
    elsewhere = await gateway.http.post("/v1/nothing", headers=key)
    assert elsewhere.json()["error"]["code"] == "not_found", "everybody else reads errors in OpenAI's shape"
    missing, gateway.runtime.readiness.missing = gateway.runtime.readiness.missing, "the journal"
    try:
        refused = await posted(gateway, ASKED)
    finally:
        gateway.runtime.readiness.missing = missing
    assert_error(refused, 503, "api_error", "storage_unavailable")
    assert refused.headers["retry-after"] == "2"


async def test_limits_and_budgets(gateway: Rig, upstreams: Upstreams) -> None:
    assert (await posted(gateway, ASKED, key=CAPPED_KEY)).headers["x-ratelimit-remaining-requests"] == "0"
    limited = await posted(gateway, {**ASKED, "stream": True}, key=CAPPED_KEY)
    assert_error(limited, 429, "rate_limit_error", "rate_limit_exceeded")
    assert int(limited.headers["retry-after"]) > 0
    poor = await posted(gateway, ASKED, key=POOR_KEY)
    assert_error(poor, 403, "billing_error", "budget_exceeded")
    assert poor.headers["x-should-retry"] == "false"
    assert poor.headers["x-budget-limit"]
    assert (await gateway.last_row())["outcome"] == "refused"


@pytest.mark.parametrize("model", ["gpt", "claude"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_a_provider_refuses_or_fails_at(client: AsyncAnthropic, upstreams: Upstreams, model: str, streamed: bool) -> None:
    rows: list[tuple[int, str, type[anthropic.APIStatusError], str]] = [
        (400, "invalid_request_error", anthropic.BadRequestError, "invalid_request_error"),
        (429, "rate_limit_error", anthropic.RateLimitError, "rate_limit_error"),
        (500, "api_error", anthropic.InternalServerError, "api_error"),
        (529, "overloaded_error", anthropic.InternalServerError, "api_error"),
    ]
    for code, kind, expected, told in rows:
        upstreams.openai.script(status(code))
        upstreams.claude.script(failing(code, kind, "no"))
        with pytest.raises(expected) as caught:
            await client.messages.create(**{**ASKED, "model": model}, stream=streamed)
        assert caught.value.body["error"]["type"] == told  # type: ignore[index,call-overload]
        assert caught.value.request_id == caught.value.body["request_id"]  # type: ignore[index,call-overload]


async def test_a_stream_that_breaks_ends_in_an_error_and_nothing_else(client: AsyncAnthropic, gateway: Rig, upstreams: Upstreams) -> None:
    upstreams.openai.script(events(chunk({"role": "assistant", "content": "Half an "}), chunk({"content": "answer"}), end="reset"))
    response = await posted(gateway, {**ASKED, "stream": True})
    assert response.status_code == 200
    told = [block.split("\n") for block in response.text.split("\n\n") if block]
    assert [lines[0] for lines in told][-2:] == ["event: content_block_delta", "event: error"]
    error = json.loads(told[-1][1].removeprefix("data: "))
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert error["request_id"] == response.headers["request-id"]
    assert (await gateway.last_row())["outcome"] == "failed"
    with pytest.raises(anthropic.APIStatusError, match="upstream_error"):
        async with client.messages.stream(**ASKED) as stream_of_it:
            await stream_of_it.get_final_message()


async def test_an_error_in_a_claude_stream_after_its_first_word(gateway: Rig, upstreams: Upstreams) -> None:
    begun = [framed(event) for event in stream(text("Once upon a time there was"))[:5]]
    error = framed({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    upstreams.claude.script(events(*begun, error))
    response = await posted(gateway, {**ASKED, "model": "claude", "stream": True})
    assert response.text.count("event: error") == 1
    assert "message_stop" not in response.text
    assert "[DONE]" not in response.text


async def test_every_row_of_the_table_has_a_type_of_anthropics() -> None:
    """No error of ours is without one, and none is called by a name that Anthropic does not use."""
    from backend.gateway.messages.errors import as_anthropic

    known = {
        "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error", "request_too_large",
        "rate_limit_error", "api_error", "overloaded_error", "timeout_error",
    }  # fmt: skip
    seen: dict[str, str] = {}
    waiting: list[type[BourseError]] = [BourseError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        told = as_anthropic(as_openai(kind("No.")), "req_1")
        assert told["error"]["type"] in known, kind
        seen[kind.__name__] = told["error"]["type"]
    expected = {
        "BadRequest": "invalid_request_error", "ContextLengthExceeded": "invalid_request_error", "InvalidApiKey": "authentication_error",
        "ModelNotAllowed": "permission_error", "TenantSuspended": "permission_error", "BudgetExceeded": "billing_error",
        "PriceUnknown": "billing_error", "ModelNotFound": "not_found_error", "MethodNotAllowed": "invalid_request_error",
        "RequestTimeout": "invalid_request_error", "RequestTooLarge": "request_too_large", "UnsupportedEncoding": "invalid_request_error",
        "IdempotencyInProgress": "invalid_request_error", "IdempotencyMismatch": "invalid_request_error",
        "SchemaValidationFailed": "api_error", "ParallelLimitExceeded": "rate_limit_error", "QuotaExceeded": "rate_limit_error",
        "UpstreamRateLimited": "rate_limit_error", "InternalError": "api_error", "UpstreamError": "api_error",
        "UpstreamCredentials": "api_error", "NoAvailableProvider": "api_error", "StorageUnavailable": "api_error",
        "Overloaded": "overloaded_error", "UpstreamTimeout": "timeout_error",
    }  # fmt: skip
    assert {name: seen[name] for name in expected} == expected


async def test_a_message_names_the_field_as_its_caller_does(gateway: Rig, upstreams: Upstreams) -> None:
    for fields, param in (({"max_tokens": 0}, "max_tokens"), ({"metadata": {"user_id": 5}}, "metadata.user_id")):
        error = assert_error(await posted(gateway, {**ASKED, **fields}), 400, "invalid_request_error", param=param)
        assert f"'{param}'" in error["message"]
