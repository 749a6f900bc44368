"""Whole answers, judged by the openai SDK and by bytes."""

from pathlib import Path

import pytest
import yaml

from tests.fakes.openai_upstream import MODEL, TEXT, USAGE, Exchange, OpenAIUpstream, completion, status, whole
from tests.gateway.conftest import KEY, PLAIN, PROVIDER_KEY, Rig, open_gateway


@pytest.mark.provides("openai", "chat")
async def test_the_sdk_gets_a_whole_answer_with_usage(gateway: Rig) -> None:
    answer = await gateway.client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == TEXT
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == USAGE["total_tokens"]


async def test_the_upstream_gets_its_own_model_id_its_own_key_and_every_unknown_field(gateway: Rig, upstream: OpenAIUpstream) -> None:
    await gateway.post({**PLAIN, "x_new_field": {"deep": [1, None]}, "temperature": 0.25})
    seen = upstream.requests[0]
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert seen.body == {**PLAIN, "model": "gpt-fake", "x_new_field": {"deep": [1, None]}, "temperature": 0.25, "max_tokens": 16384}


async def test_the_callers_trace_goes_on_to_the_upstream_with_a_span_of_ours(gateway: Rig, upstream: OpenAIUpstream) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    await gateway.post(PLAIN, headers={"traceparent": f"00-{trace}-{span}-01"})
    version, sent_trace, sent_span, flags = upstream.requests[0].headers["traceparent"].split("-")
    assert (version, sent_trace, flags) == ("00", trace, "01")
    assert sent_span != span


async def test_headers_and_body_say_who_answered_and_what_it_cost(gateway: Rig) -> None:
    response = await gateway.post(PLAIN)
    # 16 uncached + 4 cached input at $1, 10 output + 2 reasoning at $2 per million tokens.
    cost = 20 * 1000 + 12 * 2000
    assert response.headers["x-bourse-model"] == MODEL
    assert response.headers["x-bourse-provider"] == "acme"
    assert response.headers["x-bourse-cost-usd"] == f"0.{cost:09d}"
    assert response.headers["x-bourse-cache"] == "miss"
    assert response.headers["x-bourse-attempts"] == "1"
    assert response.headers["x-bourse-fallback"] == "false"
    assert float(response.headers["x-bourse-overhead-ms"]) >= 0
    assert int(response.headers["openai-processing-ms"]) >= 0
    assert response.headers["x-request-id"].startswith("req_")
    facts = response.json()["bourse"]
    assert facts["selectedModel"] == MODEL
    assert facts["provider"] == "acme"
    assert facts["costUsd"] == cost / 1e9
    assert [attempt["outcome"] for attempt in facts["attempts"]] == ["completed"]


async def test_a_well_formed_request_id_of_the_caller_is_kept(gateway: Rig) -> None:
    response = await gateway.post(PLAIN, headers={"x-request-id": "my-request-0001"})
    assert response.headers["x-request-id"] == "my-request-0001"
    assert (await gateway.last_row())["request_id"] == "my-request-0001"


async def test_bourse_0_leaves_the_body_byte_for_byte(gateway: Rig, upstream: OpenAIUpstream) -> None:
    body = b'{ "choices" : [ {"index":0,"message":{"role":"assistant","content":"\\u00e9"},"finish_reason":"stop"} ],\n "usage": null }'
    upstream.script(whole(body))
    assert (await gateway.post(PLAIN, query="?bourse=0")).content == body
    assert (await gateway.post(PLAIN)).content.startswith(body[:-2])


async def test_the_facts_of_an_upstream_that_is_a_bourse_itself_give_way_to_ours(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(whole(completion(bourse={"provider": "theirs"})))
    response = await gateway.post(PLAIN)
    assert response.text.count('"bourse"') == 1
    assert response.json()["bourse"]["provider"] == "acme"


@pytest.mark.provides("openai", "usage")
async def test_a_call_is_one_row_with_disjoint_tokens_cost_and_times(gateway: Rig) -> None:
    await gateway.post({**PLAIN, "user": "end-user-7"})
    row = await gateway.last_row()
    assert (row["outcome"], row["status"], row["error_code"], row["stream"]) == ("completed", 200, None, 0)
    assert (row["requested_model"], row["route"], row["provider"], row["model"]) == ("fast", "fast", "acme", MODEL)
    assert row["end_user"] == "end-user-7"
    tokens = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
    assert [row[name] for name in tokens] == [16, 4, 10, 2]
    assert row["usage_source"] == "provider"
    assert row["charged_nano"] == row["provider_cost_nano"] == 44_000
    assert row["price_state"] == "priced"
    assert row["price_ids"] == '["route:fast:acme/gpt-fake:input","route:fast:acme/gpt-fake:output"]'
    assert row["attempts"] == 1
    attempts = await gateway.rows("call_attempt")
    assert [(attempt["call_id"], attempt["outcome"], attempt["status"]) for attempt in attempts] == [(row["id"], "completed", 200)]


@pytest.mark.parametrize(
    ("usage", "source", "tokens"),
    [
        (None, "estimated", (5, 11)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "provider", (0, 0)),
        (
            {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": None, "completion_tokens_details": None},
            "provider",
            (7, 3),
        ),
        ({"prompt_tokens": "many"}, "estimated", (5, 11)),
    ],
)
async def test_usage_is_the_providers_even_if_zero_and_estimated_where_there_is_none(
    gateway: Rig, upstream: OpenAIUpstream, usage: object, source: str, tokens: tuple[int, int]
) -> None:
    upstream.script(whole(completion(usage=usage)))
    await gateway.post(PLAIN)
    row = await gateway.last_row()
    assert (row["usage_source"], row["input_tokens"], row["output_tokens"]) == (source, *tokens)


async def test_a_failing_candidate_gives_way_to_the_next_and_both_attempts_are_rows(gateway: Rig, upstream: OpenAIUpstream) -> None:
    upstream.script(status(503))
    response = await gateway.post({**PLAIN, "model": "pair"})
    assert response.status_code == 200
    assert response.headers["x-bourse-attempts"] == "2"
    assert response.headers["x-bourse-fallback"] == "true"
    assert response.headers["x-bourse-provider"] == "backup"
    row = await gateway.last_row()
    assert (row["attempts"], row["provider"], row["offer_id"]) == (2, "backup", "backup/gpt-other")
    assert row["charged_nano"] == 440_000
    tries = await gateway.rows("call_attempt")
    assert [(t["number"], t["provider"], t["outcome"], t["status"], t["provider_cost_nano"]) for t in tries] == [
        (1, "acme", "failed", 503, 0),
        (2, "backup", "completed", 200, 440_000),
    ]


async def test_the_connection_to_the_upstream_is_used_again(gateway: Rig, upstream: OpenAIUpstream) -> None:
    for _ in range(5):
        await gateway.post(PLAIN)
    assert {request.connection for request in upstream.requests} == {1}


async def test_the_sdk_lists_models_and_finds_one_with_slashes(gateway: Rig) -> None:
    names = [model.id async for model in gateway.client.models.list()]
    assert {"fast", "pair", "sandbox/chat", "sandbox/broken"} <= set(names)
    assert "off" not in names
    model = await gateway.client.models.retrieve("sandbox/chat")
    assert model.owned_by == "sandbox"
    entry = (await gateway.http.get("/v1/models/fast", headers={"authorization": f"Bearer {KEY}"})).json()
    assert entry["alias"] is True
    assert entry["deployment"] == "gpt-fake"
    assert entry["price"] == {"input": 1.0, "output": 2.0, "currency": "USD", "per": "1M tokens"}


@pytest.mark.provides("sandbox", "chat")
async def test_the_sandbox_answers_the_sdk_and_says_that_it_is_simulated(gateway: Rig) -> None:
    answer = await gateway.client.chat.completions.create(model="sandbox/chat", messages=[{"role": "user", "content": "Good morning"}], n=2)
    assert len(answer.choices) == 2
    assert "simulated" in (answer.choices[0].message.content or "")
    assert answer.model_extra is not None
    assert answer.model_extra["bourse"]["simulated"] is True


async def test_sandbox_flaky_fails_every_third_time_and_is_asked_again(gateway: Rig) -> None:
    attempts = []
    for _ in range(6):
        response = await gateway.post({**PLAIN, "model": "sandbox/flaky"})
        assert response.status_code == 200
        attempts.append(response.headers["x-bourse-attempts"])
        assert response.headers["x-bourse-fallback"] == "false"
    assert attempts == ["1", "1", "2", "1", "2", "1"]


@pytest.mark.case("S2")
async def test_neither_prompts_nor_answers_nor_secrets_stay_behind(
    gateway: Rig, upstream: OpenAIUpstream, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything that the call left on the disk and in the log, while it runs and after it was settled."""
    prompt, said = "canary-prompt-4711", "canary-answer-4712"
    left = b""

    async def look(exchange: Exchange) -> None:
        nonlocal left
        left += _files(tmp_path / "journal")
        await whole(completion(said))(exchange)

    upstream.script(look)
    for extra in ({}, {"stream": True}, {"max_tokens": 0}, {"model": "nope"}):
        await gateway.post({**PLAIN, "messages": [{"role": "user", "content": prompt}], **extra})
    left += _files(tmp_path / "journal")
    await gateway.rows()
    left += _files(tmp_path, "bourse.db*") + capfd.readouterr().out.encode()
    assert b"acme/gpt-fake" in left
    for canary in (prompt, said, PROVIDER_KEY, "my-secret", "local-only"):
        assert canary.encode() not in left


def _files(folder: Path, pattern: str = "**/*") -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob(pattern) if path.is_file())


async def test_a_provider_whose_key_is_not_there_is_the_operators_fault_and_said_so(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream
) -> None:
    acme = {"protocol": "openai", "base_url": upstream.base_url, "api_key": "env:A_KEY_THAT_IS_NOT_SET"}
    route = {"alias": "fast", "strategy": "ordered", "candidates": [{"provider": "acme", "model": "m", "price": {"input": 1, "output": 1}}]}
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump({"providers": {"acme": acme}, "models": [route]}))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        response = await rig.post(PLAIN)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (503, "no_available_provider")
    assert "The provider acme has no key" in error["message"]
    assert "A_KEY_THAT_IS_NOT_SET" not in response.text
    assert not upstream.requests


@pytest.mark.case("W4")
async def test_a_private_address_that_the_operator_has_not_allowed_is_not_called(
    tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream
) -> None:
    candidates = [{"provider": "acme", "model": "m", "price": {"input": 1, "output": 1}}]
    for url in (upstream.base_url, upstream.base_url.replace("127.0.0.1", "localhost")):
        file = tmp_path / "bourse.yaml"
        settings = {"network": {"allow_private": []}, "providers": {"acme": {"base_url": url}}}
        file.write_text(yaml.safe_dump({**settings, "models": [{"alias": "fast", "candidates": candidates}]}))
        async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
            for stream in (False, True):
                response = await rig.post({**PLAIN, "stream": stream})
                assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
                assert "allow_private" in response.json()["error"]["message"]
    assert upstream.connections == 0
