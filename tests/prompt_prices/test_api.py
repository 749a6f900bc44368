import json
import shlex
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.prompt_prices.service import PromptPrices
from tests.docs.test_examples import HERE, blocks

if TYPE_CHECKING:
    from backend.runtime import Runtime

ADDRESS = "/api/get_best_price_for_prompt"


@pytest.fixture
async def http(runtime: "Runtime", prompt_prices: PromptPrices) -> AsyncIterator[httpx.AsyncClient]:
    from backend.rest import build_rest

    runtime.__dict__["prompt_prices"] = prompt_prices
    transport = httpx.ASGITransport(app=build_rest(runtime))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://bourse") as client:
        yield client


async def test_the_seeds_request_has_the_seeds_answer(http: httpx.AsyncClient) -> None:
    answer = await http.post(ADDRESS, json={"prompt": "Hello, world"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body["success"] is True
    assert body["prompt"] == "Hello, world"
    assert body["estimated_tokens"] == 3
    assert body["count"] == len(body["data"]) == 100
    costs = [row["total_cost"] for row in body["data"]]
    assert costs == sorted(costs)
    wanted = {"model_name", "provider", "price_per_token", "estimated_tokens", "total_cost", "mmlu_score", "model_size"}
    assert all(wanted <= row.keys() for row in body["data"])
    for row in body["data"]:
        assert row["input_cost"] == pytest.approx(row["price_per_token"] * row["estimated_tokens"])
        assert row["total_cost"] == pytest.approx(row["input_cost"] + row["output_cost"], abs=2e-9)

    # The seed's arithmetic: the prompt alone, and as many decimals as a nano-dollar needs.
    asked = {"prompt": "Hello, world", "model_names": ["gpt-4o-mini"], "providers": ["OpenAI"], "output_tokens": 0}
    (row,) = (await http.post(ADDRESS, json=asked)).json()["data"]
    assert (row["model_name"], row["provider"], row["price_per_token"]) == ("gpt-4o-mini", "OpenAI", 1.5e-07)
    assert row["total_cost"] == 4.5e-07


async def test_the_curl_of_the_docs_works_as_printed(http: httpx.AsyncClient) -> None:
    (command,) = blocks("docs/prompt-prices.md", "sh")
    words = shlex.split(command.replace("\\\n", " "))
    body = json.loads(words[words.index("-d") + 1])
    answer = await http.post(words[1].removeprefix(HERE), json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == body["limit"]


WRONG: tuple[tuple[dict[str, Any], str, int], ...] = (
    ({}, "prompt", 400),
    ({"prompt": ""}, "prompt", 400),
    ({"prompt": 5}, "prompt", 400),
    ({"prompt": "x" * 1_000_001}, "prompt", 400),
    ({"prompt": "x", "limit": 0}, "limit", 400),
    ({"prompt": "x", "output_tokens": -1}, "output_tokens", 400),
    ({"prompt": "x", "task": "sing"}, "task", 400),
    ({"prompt": "x", "tiers": ["cheap"]}, "tiers.0", 400),
    ({"prompt": "x", "promt": "x"}, "promt", 400),
    ({"prompt": "x", "providers": ["Nobody"]}, "providers", 400),
    ({"prompt": "x", "model_names": ["no-such-model"]}, "model_names", 404),
)


async def test_what_is_wrong_is_named(http: httpx.AsyncClient) -> None:
    for body, field, status in WRONG:
        answer = await http.post(ADDRESS, json=body)
        assert answer.status_code == status, (str(body)[:60], answer.text)
        assert answer.json()["error"]["param"] == field, answer.text
