"""Bodies with something else in a place or two than is meant there: every endpoint answers, or says in its one shape what is wrong."""

import copy
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.openai_upstream import OpenAIUpstream
from tests.gateway.conftest import KEY, UNLIMITED, Rig, configuration, open_gateway

BODIES = 600
SOAK_BODIES = 20_000
PIXEL = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"$ref": "#/$defs/q"}}, "$defs": {"q": {"type": "string"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
MEANT: list[tuple[str, dict[str, Any]]] = [
    (
        "chat/completions",
        {
            "messages": [
                {"role": "system", "content": "s"},
                {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": PIXEL}}]},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "r"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
            "max_tokens": 20, "n": 1, "stop": ["a"], "logprobs": True, "logit_bias": {"5": 1}, "metadata": {"a": "b"},
            "stream": True, "stream_options": {"include_usage": True}, "reasoning_effort": "low", "user": "u",
        },
    ),
    (
        "messages",
        {
            "max_tokens": 2000,
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                ]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "r", "is_error": True}]},
            ],
            "tools": [{"name": "f", "input_schema": SCHEMA}],
            "tool_choice": {"type": "auto"},
            "thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "low"}, "metadata": {"user_id": "u"},
            "context_management": {"edits": []}, "stop_sequences": ["x"], "stream": True,
        },
    ),
    (
        "responses",
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": PIXEL}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "o"},
                {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "s"}]},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}, "reasoning": {"effort": "low"},
            "thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "low"},
            "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}, "max_output_tokens": 20, "store": True, "stream": True,
        },
    ),
    ("embeddings", {"input": ["a", "b"], "dimensions": 8, "encoding_format": "base64"}),
    ("completions", {"prompt": [[1, 2], [3]], "max_tokens": 5, "n": 1, "best_of": 1, "stream": True, "stop": ["a"]}),
    ("moderations", {"input": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PIXEL}}]}),
]  # fmt: skip
MODELS = {"embeddings": "sandbox/embedding", "completions": "sandbox/completion", "moderations": "sandbox/moderation"}
STRANGE: list[Any] = [
    None, True, 0, -1, 2**63 - 1, 1e308, 0.5, "", " ", "x", "🦊", "a" * 5000, "data:", "data:;base64,", "data:image/png;base64,%%", "http://[",
    "{", "[1]", [], {}, [None], [[]], [{}], {"": ""}, {"type": None}, {"type": []}, {"type": {}}, {"type": "text"}, {"type": "function"},
    {"type": "function", "function": None}, {"type": "enabled"}, {"type": "json_schema", "json_schema": 7}, {"url": None}, {"$ref": "#"},
    {"type": ["string", "null"]}, {"anyOf": []}, "auto", "none", "user", "system", "assistant", "tool",
]  # fmt: skip
NAMES = ["type", "text", "content", "role", "name", "id", "function", "input", "tool_calls", "reasoning_content", "cache_control", "x"]


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything within it: the keys and numbers that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*above, key)
        yield from places(below, (*above, key))


def changed(body: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    needed = ("model", "messages", "input", "prompt", "max_tokens")
    body = copy.deepcopy({name: value for name, value in body.items() if name in needed or chance.random() < 0.5})
    for _ in range(chance.choice([1, 1, 2, 3])):
        *way, last = chance.choice(list(places(body)) or [("x",)])
        inside: Any = body
        for key in way:
            inside = inside[key]
        match chance.choice(["another", "another", "none", "more", "wrapped"]):
            case "none" if inside:
                del inside[last]
            case "more" if isinstance(inside, dict):
                inside[chance.choice(NAMES)] = copy.deepcopy(chance.choice(STRANGE))
            case "wrapped" if inside:
                inside[last] = [inside[last]]
            case _:
                if isinstance(inside, dict) or inside:
                    inside[last] = copy.deepcopy(chance.choice(STRANGE))
    return body


@pytest.fixture
async def unlimited(tmp_path: Path, sqlite_database_url: str, upstream: OpenAIUpstream) -> AsyncIterator[Rig]:
    settings = configuration(upstream.base_url, upstream.base_url)
    settings["rate_limits"] = UNLIMITED
    file = tmp_path / "bourse.yaml"
    file.write_text(yaml.safe_dump(settings))
    async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
        yield rig


@pytest.mark.case("C5")
@pytest.mark.parametrize("bodies", [BODIES, pytest.param(SOAK_BODIES, marks=pytest.mark.soak)])
async def test_whatever_a_body_holds_the_answer_is_one_or_says_what_is_wrong(unlimited: Rig, bodies: int) -> None:
    chance, told = random.Random(bodies), {200: 0, 400: 0}
    for _ in range(bodies):
        path, meant = chance.choice(MEANT)
        body = changed({"model": MODELS.get(path, "fast"), **meant}, chance)
        path += chance.choice(["", "/count_tokens"]) if path == "messages" else ""
        answer = await unlimited.http.post(f"/v1/{path}", json=body, headers={"authorization": f"Bearer {KEY}"})
        said = (path, body, answer.text)
        assert answer.status_code in (200, 400, 403, 404), said
        assert "internal_error" not in answer.text, said
        if answer.status_code != 200:
            error = answer.json()["error"]
            assert isinstance(error["message"], str), said
            assert error["message"], said
            assert error.keys() >= ({"type"} if path.startswith("messages") else {"type", "param", "code"}), said
        told[answer.status_code] = told.get(answer.status_code, 0) + 1
    assert min(told[200], told[400]) > bodies / 10, told
    assert unlimited.runtime.keeper.held_usd("reserved") == 0
