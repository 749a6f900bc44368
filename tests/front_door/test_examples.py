"""Every example of the document is sent, in an order that makes sense, and answered with a success in the shape that is described."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.architecture.source import ROOT
from tests.fakes.openai_upstream import OpenAIUpstream, whole
from tests.rig.own_loop import in_own_loop
from tests.rig.surface import ADMIN, PASSWORD, served, settings_in, signed_in_cookie

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


class Step(NamedTuple):
    """An operation whose example is sent. `filled` names what an earlier answer decides: a parameter, and where in which answer it is."""

    operation: str
    filled: dict[str, tuple[str, ...]] = {}
    status: int | None = None


READS = (
    "get_openapi_document", "list_models", "get_model", "prices_of_model", "history_of_model", "compare_models", "list_changes",
    "feed_of_changes", "list_benchmarks", "benchmarks_of_model", "match_models", "get_taxonomy", "suggest_models", "carbon_of_model",
    "list_carbon_zones", "list_offers", "list_offers_of", "list_sellers", "get_best_price_for_prompt", "send_prompt",
)  # fmt: skip
CALLS = (
    "list_callable_models", "get_callable_model", "create_chat_completion", "create_message", "count_message_tokens", "create_embeddings",
    "create_completion", "create_moderation", "rerank", "create_image", "create_speech", "get_own_budget", "list_own_calls",
)  # fmt: skip
STORY = (
    *map(Step, READS),
    *map(Step, CALLS),
    Step("create_response"),
    Step("get_response", {"response_id": ("create_response", "id")}),
    Step("list_response_input", {"response_id": ("create_response", "id")}),
    Step("delete_response", {"response_id": ("create_response", "id")}),
    Step("set_up", status=403),  # it is set up
    Step("sign_in"),
    Step("get_session"),
    Step("add_provider"),
    Step("list_providers"),
    Step("add_credential"),
    Step("list_credentials"),
    Step("show_provider"),
    Step("change_provider"),
    Step("test_provider"),
    Step("discover_models"),
    Step("adopt_model"),
    Step("replace_route"),
    Step("change_route"),
    Step("show_route"),
    Step("list_routes"),
    Step("list_candidate_health"),
    Step("list_provider_health"),
    Step("delete_route"),
    Step("state_prices"),
    Step("withdraw_price", {"price_id": ("state_prices", "prices", 0, "id")}),
    Step("list_quarantine"),
    Step("accept_price", {"price_id": ("list_quarantine", "prices", 0, "price", "id")}),
    Step("reject_price", {"price_id": ("list_quarantine", "prices", 1, "price", "id")}),
    Step("add_results"),
    Step("add_model"),
    Step("add_offer", {"model_id": ("add_model", "id")}),
    Step("end_offer", {"model_id": ("add_model", "id")}),
    Step("change_model"),
    Step("replace_model"),
    Step("list_changed_models"),
    Step("delete_model"),
    Step("list_sources"),
    Step("upload_source"),
    Step("list_runs"),
    Step("show_run", {"run_id": ("list_runs", "runs", 0, "id")}),
    Step("fetch_source", status=404),  # it was handed in: there is no address to fetch it from
    Step("forget_source"),
    Step("remove_credential"),
    Step("remove_provider"),
    Step("sign_out"),
)
WITH_FILES = {"edit_image", "vary_image", "create_transcription", "create_translation"}
"""Their examples would be files; docs/endpoints.md has them, and tests/docs runs those."""
HERE = "https://api.acme.example/v1"
LISTED = whole({"object": "list", "data": [{"id": "acme-large", "object": "model"}]})


def test_every_operation_is_in_the_story() -> None:
    told = [step.operation for step in STORY]
    assert len(told) == len(set(told))
    assert set(told) == OPERATIONS.keys() - WITH_FILES


@pytest.fixture(scope="module")
def acme() -> Iterator[OpenAIUpstream]:
    """The provider of the examples, who is somewhere else than they say."""
    server = OpenAIUpstream()
    server.models = LISTED
    with in_own_loop(server):
        yield server


@pytest.fixture(scope="module")
def http(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("examples")
    shutil.copy(catalog_file, folder / "bourse.db")
    configuration = {"bootstrap": {"admin_users": [{"email": ADMIN, "password": PASSWORD}]}}
    with served(settings_in(folder, yaml.safe_dump(configuration))) as url, httpx.Client(base_url=url, timeout=120) as client:
        client.headers["cookie"] = signed_in_cookie(url)
        yield client


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_example_works_as_written(http: httpx.Client, acme: OpenAIUpstream) -> None:
    answers: dict[str, Any] = {}
    problems = [problem for step in STORY for problem in wrong_with(step, http, acme, answers)]
    assert problems == [], "\n".join(problems)


def wrong_with(step: Step, http: httpx.Client, acme: OpenAIUpstream, answers: dict[str, Any]) -> Iterator[str]:
    method, path, operation = OPERATIONS[step.operation]
    try:
        sent = body(operation, acme)
        if any("key" in one for one in operation.get("security", ())):
            sent["headers"] = {**sent.get("headers", {}), "authorization": "Bearer sk-demo.my-secret"}
        response = http.request(method, address(path, operation, step, answers), **sent)
    except LookupError as missing:
        yield f"{step.operation} was not sent: {missing!r}"
        return
    if step.operation == "sign_in":
        # It ends the session that asks for it. The cookie is for https and localhost, which httpx takes at its word.
        http.headers["cookie"] = response.headers["set-cookie"].partition(";")[0]
    said = f"{method.upper()} {path} {response.status_code} {response.text[:300]}"
    if not (response.status_code == step.status if step.status else response.is_success):
        yield said
        return
    described = operation["responses"][str(response.status_code)].get("content", {})
    kind = response.headers.get("content-type", "").partition(";")[0] if response.content else ""
    if not any(kind == name or (name.endswith("/*") and kind.startswith(name[:-1])) for name in described or [""]):
        yield f"{said}: {kind} is not described"
    if kind == "application/json":
        answers[step.operation] = response.json()
        schema = {**described[kind]["schema"], "components": DOCUMENT["components"]}
        for one in Draft202012Validator(schema).iter_errors(response.json()):
            yield f"{step.operation}: {'.'.join(map(str, one.path))}: {one.message[:200]}"


def address(path: str, operation: dict[str, Any], step: Step, answers: dict[str, Any]) -> str:
    query = []
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in step.filled:
            value = answers[step.filled[parameter["name"]][0]]
            for part in step.filled[parameter["name"]][1:]:
                value = value[part]
        else:
            value = example_of(parameter)
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(str(value)))
        elif parameter["in"] == "query" and value is not None:
            query.append((parameter["name"], ",".join(value) if isinstance(value, list) else value))
    return f"{path}?{urlencode(query)}" if query else path


def example_of(part: dict[str, Any]) -> Any:
    shown = [*([part["example"]] if "example" in part else []), *(one["value"] for one in part.get("examples", {}).values())]
    found = shown or part["schema"].get("examples", [None])
    if part.get("required"):
        assert found[0] is not None, f"{part['name']} has no example"
    return found[0]


def body(operation: dict[str, Any], acme: OpenAIUpstream) -> dict[str, Any]:
    if "requestBody" not in operation:
        return {}
    for kind, media in operation["requestBody"]["content"].items():
        schema = media.get("schema", {})
        shown = [media.get("example"), *(one["value"] for one in media.get("examples", {}).values()), *schema.get("examples", ())]
        while "$ref" in schema:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        shown += [schema.get("example"), *schema.get("examples", ())]
        for example in shown:
            if example is not None:
                text = example if isinstance(example, str) else json.dumps(example)
                return {"content": text.replace(HERE, acme.base_url), "headers": {"content-type": kind}}
    raise AssertionError(f"{operation['operationId']} shows no body")
