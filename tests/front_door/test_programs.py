"""The store as programs meet it: the requests that other projects' documents show, word for word, with answers in the shapes that stand
beside them; and some that schemathesis thinks of, as `test_schemathesis.py` makes them by the thousand."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
import yaml

from state import compare_address, match_address, prompt_address, store_address
from tests.architecture.source import ROOT
from tests.docs.test_examples import HERE, blocks
from tests.fakes.openai_upstream import TEXT, OpenAIUpstream
from tests.rig.own_loop import in_own_loop
from tests.rig.surface import served, settings_in

READS = ("/catalog", "/pricing", "/benchmarks", "/suggestions", "/taxonomy", "/carbon", "/api")
BEARER = {"authorization": "Bearer sk-demo.my-secret"}

# The store's contracts.
MODEL = """
{
    "id": "string",
    "name": "GPT-4.1",
    "provider": "ExampleAI",
    "releaseDate": "2024-11-01",
    "deprecated": false,
    "capabilities": ["nlp","reasoning"],
    "modalities": ["text","image"],
    "supportedFormats": ["text/plain","image/png"],
    "languages": ["en","es"],
    "pricingReference": "/pricing/models/gpt-4.1",
    "metrics": [{"benchmarkId":"mmlu-2024","score":86.4}]
}
"""
MATCH = """
{
    "taskDescription": "High-quality long-form summarization in English",
    "constraints": { "maxPricePerMillionTokens": 20 },
    "preferences": { "latency": "low", "costWeight": 0.6 }
}
"""
MATCHED = """
{
    "results": [
        {"modelId":"m-1","score":0.92,"costPer1M":15.2,"explanation":"good mix of summarization and low cost"},
        {"modelId":"m-2","score":0.84,"costPer1M":9.0,"explanation":"cheaper but lower accuracy on summarization"}
    ]
}
"""
# Price Runner's.
BEST_PRICE = '{"prompt": "Your prompt text here"}'
BEST_PRICED = """
{
  "success": true,
  "prompt": "Your prompt text here",
  "estimated_tokens": 25,
  "count": 34,
  "data": [
    {
      "model_name": "gpt-4o-mini",
      "provider": "OpenAI",
      "price_per_token": 0.00000015,
      "estimated_tokens": 25,
      "total_cost": 0.00000375,
      "mmlu_score": 79.0,
      "model_size": "Unknown"
    }
  ]
}
"""
SEND = """
{
  "prompt": "Your prompt text here",
  "model_names": ["gpt-4o", "claude-3-5-sonnet"],
  "providers": ["OpenAI", "Anthropic"]
}
"""
SENT = """
{
  "success": true,
  "count": 2,
  "data": [
    {
      "model_name": "gpt-4o",
      "provider": "OpenAI",
      "success": true,
      "response": "Model response text..."
    }
  ]
}
"""
SEND_TO_A_PROVIDER = '{"prompt": "Explain quantum computing", "providers": ["OpenAI"]}'


@pytest.fixture(scope="module")
def asked() -> Iterator[OpenAIUpstream]:
    """Whoever the providers' names stand for."""
    with in_own_loop(OpenAIUpstream()) as server:
        yield server


@pytest.fixture(scope="module")
def http(asked: OpenAIUpstream, catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("seeds")
    shutil.copy(catalog_file, folder / "bourse.db")
    provider = {"protocol": "openai", "base_url": asked.base_url, "api_key": "sk-provider-0123"}
    providers = {"openai": {**provider, "default_model": "gpt-4o"}, "anthropic": {**provider, "default_model": "claude-3-5-sonnet"}}
    with served(settings_in(folder, yaml.safe_dump({"providers": providers}))) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def answered(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def has_the_shape_of(answer: Any, shown: Any, where: str = "answer") -> None:
    """Every field that is shown is there, with a value of that type; there may be more."""
    if isinstance(shown, dict):
        assert isinstance(answer, dict), where
        for name, value in shown.items():
            assert name in answer, f"{where}.{name}"
            has_the_shape_of(answer[name], value, f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(answer, list), where
        assert answer, f"{where} is empty"
        for each in answer:
            has_the_shape_of(each, shown[0], f"{where}[]")
    elif isinstance(shown, float):
        assert isinstance(answer, int | float), where
    else:
        assert isinstance(answer, type(shown)), where


def test_a_model(http: httpx.Client) -> None:
    shown = json.loads(MODEL)
    model = answered(http.get("/catalog/models/gpt-4.1"))
    has_the_shape_of(model, shown)
    assert (model["id"], model["pricingReference"]) == ("gpt-4.1", shown["pricingReference"])
    listed = answered(http.get("/catalog/models?capability=reasoning&provider=openai&modality=image&min_score=40&priceRange=0-20"))
    assert listed["data"]
    prices = answered(http.get(model["pricingReference"]))
    assert prices["offers"]


def test_a_match(http: httpx.Client) -> None:
    found = answered(http.post("/match", content=MATCH, headers={"content-type": "application/json"}))
    has_the_shape_of(found, json.loads(MATCHED))
    scores = [one["score"] for one in found["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(one["costPer1M"] <= 20 for one in found["results"])


def test_a_comparison_and_suggestions(http: httpx.Client) -> None:
    compared = answered(http.get("/pricing/compare?modelA=gpt-4o&modelB=claude-sonnet-4"))
    assert [one["modelId"] for one in compared["models"]] == ["gpt-4o", "claude-sonnet-4"]
    suggested = answered(http.get("/suggestions/gpt-4o"))
    cheaper = suggested["cheaperButSimilar"]["items"]
    assert cheaper
    assert all(one["modelId"] != "gpt-4o" and one["explanation"] for one in cheaper)


def test_benchmarks(http: httpx.Client) -> None:
    assert answered(http.get("/benchmarks/models/gpt-4o"))["results"]
    answered(http.post("/benchmarks", json={"results": []}), 401)


def test_the_price_of_a_prompt(http: httpx.Client) -> None:
    priced = answered(http.post("/api/get_best_price_for_prompt", content=BEST_PRICE, headers={"content-type": "application/json"}))
    shown = json.loads(BEST_PRICED)
    known = [row for row in priced["data"] if row["mmlu_score"] is not None]
    has_the_shape_of({**priced, "data": known}, shown)
    assert (priced["prompt"], priced["count"]) == (shown["prompt"], len(priced["data"]))
    costs = [row["total_cost"] for row in priced["data"]]
    assert costs == sorted(costs)


def test_price_runners_lists(http: httpx.Client) -> None:
    for path in ("/api/models", "/api/models/provider/OpenAI", "/api/providers"):
        told = answered(http.get(path))
        assert told["success"] is True
        assert told["count"] == len(told["data"]) > 0


def test_one_prompt_for_many_models(http: httpx.Client, asked: OpenAIUpstream) -> None:
    headers = {"content-type": "application/json"}
    assert answered(http.post("/api/send_prompt", content=SEND, headers=headers), 401)["success"] is False
    assert asked.requests == []
    sent = answered(http.post("/api/send_prompt", content=SEND, headers=headers | BEARER))
    answer, unsold = sent["data"]
    has_the_shape_of({**sent, "data": [answer]}, json.loads(SENT))
    assert (sent["count"], answer["provider"], answer["response"]) == (2, "openai", TEXT)
    assert [request.body["messages"][-1]["content"] for request in asked.requests] == ["Your prompt text here"]
    # Anthropic has taken that one off its list; what it does sell is asked for by its own name.
    assert (unsold["model_name"], unsold["success"], unsold["error"]["code"]) == ("claude-3-5-sonnet", False, "model_not_found")
    later = {"prompt": "Hello", "model_names": ["claude-sonnet-4"], "providers": ["OpenAI", "Anthropic"]}
    (told,) = answered(http.post("/api/send_prompt", json=later, headers=BEARER))["data"]
    assert (told["model_name"], told["provider"], told["success"]) == ("claude-sonnet-4", "anthropic", True)
    assert asked.requests[-1].body["model"].startswith("claude-sonnet-4-")


def test_a_provider_without_a_model_is_asked_for_its_default_one(http: httpx.Client, asked: OpenAIUpstream) -> None:
    before = len(asked.requests)
    sent = answered(
        http.post("/api/send_prompt", content=SEND_TO_A_PROVIDER, headers={"content-type": "application/json", **BEARER}),
    )
    assert [(one["model_name"], one["provider"], one["success"]) for one in sent["data"]] == [("gpt-4o", "openai", True)]
    assert [request.body["model"] for request in asked.requests[before:]] == ["gpt-4o"]


STORE_CURLS = [text for text in blocks("README.md", "sh") if text.startswith("curl ") and f"{HERE}/v1/" not in text]
FINDS = {
    "/catalog/models": ("data", 5),
    "/pricing/compare": ("models", 2),
    "/match": ("results", 5),
    "/api/get_best_price_for_prompt": ("data", 5),
    "/suggestions/gpt-4o": ("cheaperButSimilar", 1),
}
"""What the README asks of the store → the field with what was found, and of how much at the least."""


def test_the_readme_finds_compares_matches_and_prices() -> None:
    assert [re.sub(r".*localhost:3000(/[^? \"]+).*", r"\1", text, flags=re.DOTALL) for text in STORE_CURLS] == list(FINDS)


@pytest.mark.parametrize(("path", "command"), list(zip(FINDS, STORE_CURLS, strict=True)), ids=list(FINDS))
def test_the_readme_chooses_a_model_as_printed(http: httpx.Client, path: str, command: str) -> None:
    here = str(http.base_url).rstrip("/")
    run = subprocess.run(
        ["bash", "-c", command.replace(HERE, here).replace("curl ", "curl -sS --fail-with-body -m 60 ", 1)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    field, least = FINDS[path]
    found = json.loads(run.stdout)[field]
    assert len(found["items"] if isinstance(found, dict) else found) >= least


def test_the_readmes_links_to_pages_say_what_they_seem_to() -> None:
    readers = {
        "/": lambda query: store_address.write_address(store_address.read_address(query)),
        "/compare": lambda query: compare_address.write_question(compare_address.read_question(query)),
        "/match": lambda query: match_address.write_wanted(match_address.read_wanted(query)),
        "/price": lambda query: prompt_address.write_asked(prompt_address.read_asked(query)),
    }
    links = [urlsplit(link) for link in re.findall(r"\]\((http://localhost:3000/[^)]*)\)", (ROOT / "README.md").read_text())]
    assert {link.path for link in links} == {*readers, "/playground"}
    for link in links:
        if link.query:
            assert parse_qs(readers[link.path](link.query).lstrip("?")) == parse_qs(link.query), link.geturl()


@pytest.mark.case("W12")
def test_what_nobody_would_ask_is_answered_as_described(http: httpx.Client) -> None:
    import schemathesis  # a fifth of a second, which collecting tests does without
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    rules = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks = CHECKS.get_by_names([*rules, "negative_data_rejection"])
    few = settings(
        max_examples=3, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    asked: set[str] = set()
    document = schemathesis.openapi.from_dict(json.loads((ROOT / "docs" / "openapi.json").read_text()))
    for found in document.get_all_operations():
        operation = found.ok()
        if operation.method != "get" or not operation.path.startswith(READS):
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @few
            @given(case=operation.as_strategy(mode))
            def ask(case: Any) -> None:
                asked.add(case.operation.path)
                case.call_and_validate(base_url=str(http.base_url), checks=checks)

            try:
                ask()
            except Unsatisfiable:
                # Nothing can be wrong with a request that takes nothing.
                assert (mode, len(operation.query)) == (GenerationMode.NEGATIVE, 0), operation.path
    assert len(asked) >= 12


TRUE_AND_FALSE = [("gpt' AND '1'='1", "gpt' AND '1'='2"), ("gpt') OR 1=1 --", "gpt') OR 1=2 --"), ('gpt" OR "1"="1', 'gpt" OR "1"="2')]
"""What a database would tell apart if it read them as a part of its statement."""
WORDS_OF_A_DATABASE = re.compile(r"sqlite3?\b|psycopg|syntax error|operationalerror|unterminated|no such (column|table)", re.IGNORECASE)


def texts_of_reads() -> Iterator[tuple[str, str]]:
    """Path and parameter of every read of the store that takes a text."""
    for path, methods in json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"].items():
        if path.startswith(READS) and "get" in methods:
            for parameter in methods["get"].get("parameters", ()):
                if "string" in str(parameter["schema"]):
                    yield path, parameter["name"]


@pytest.mark.case("W12")
def test_no_text_is_read_as_a_part_of_a_statement(http: httpx.Client) -> None:
    def told(path: str, name: str, text: str) -> tuple[int, Any, Any]:
        known = {"modelA": "gpt-4o", "modelB": "gpt-4o-mini"} if path == "/pricing/compare" else {}
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        else:
            path, known = re.sub(r"\{\w+\}", "gpt-4o", path), {**known, name: text}
        for _ in range(5):
            answer = http.get(path, params=known)
            if answer.status_code != 503:  # a database that is slow, as on a busy machine, is told so
                break
        assert answer.status_code < 500, (path, name, answer.text)
        body = answer.text.replace(text, "").replace(json.dumps(text)[1:-1], "")
        assert WORDS_OF_A_DATABASE.search(body) is None, (path, name, body[:500])
        found = answer.json() if answer.is_success and "json" in answer.headers["content-type"] else {}
        return answer.status_code, found.get("total"), len(found.get("data", found.get("changes", ())))

    asked = list(texts_of_reads())
    assert len(asked) > 30
    for path, name in asked:
        for true, false in TRUE_AND_FALSE:
            assert told(path, name, true) == told(path, name, false), (path, name, true)
