"""What a field of `/v1` is described to take is all that it takes: the rest, null among it, is refused by whoever is asked."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.architecture.source import ROOT
from tests.rig.surface import served, settings_in

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
TAKES = {
    path: methods["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    for path, methods in DOCUMENT["paths"].items()
    if path.startswith("/v1/") and "application/json" in methods.get("post", {}).get("requestBody", {}).get("content", {})
}
"""Address → the schema of its body."""
VALUES: tuple[Any, ...] = (None, {}, [], [None], "", "1", True, -1, 0, 1.5)


@pytest.fixture(scope="module")
def http(sandbox_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("described")
    shutil.copy(sandbox_file, folder / "bourse.db")
    settings = settings_in(folder, "rate_limits: {default: {requests_per_minute: 0, tokens_per_minute: 0}}\n")
    bearer = {"authorization": "Bearer sk-demo.my-secret"}
    with served(settings) as url, httpx.Client(base_url=url, headers=bearer, timeout=60) as client:
        yield client


def test_the_chat_of_three_makers_and_every_other_operation_is_described() -> None:
    assert {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"} < TAKES.keys()


@pytest.mark.case("W12")
@pytest.mark.parametrize("path", TAKES)
def test_a_field_takes_what_it_is_described_to_take(http: httpx.Client, path: str) -> None:
    described = SCHEMAS[TAKES[path]]
    judge = Draft202012Validator({"$ref": f"#/components/schemas/{TAKES[path]}", "components": DOCUMENT["components"]})
    assert http.post(path, json=described["example"]).status_code == 200
    for field in described["required"]:
        less = {name: value for name, value in described["example"].items() if name != field}
        assert http.post(path, json=less).status_code == 400, field
    refused = 0
    for field in described["properties"]:
        for value in VALUES:
            body = {**described["example"], field: value}
            status = http.post(path, json=body).status_code
            assert status < 500, (field, value)
            if not judge.is_valid(body):
                refused += 1
                assert status == 400, (field, value)
    assert refused >= 5
