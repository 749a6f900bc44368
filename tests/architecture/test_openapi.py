"""The REST surface as a contract: a change of it shows as a change of `docs/openapi.json`.

After an intended change: UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest tests/architecture/test_openapi.py
"""

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from backend.rest import build_api
from tests.architecture.source import ROOT

if TYPE_CHECKING:
    from backend.runtime import Runtime

SNAPSHOT = ROOT / "docs" / "openapi.json"


@pytest.fixture
def document(runtime: "Runtime") -> dict[str, Any]:
    return build_api(runtime).openapi()


def test_the_rest_surface_is_the_one_in_the_snapshot(document: dict[str, Any]) -> None:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text(), "intended? then update the snapshot as this file's docstring says"


def test_every_address_of_the_rest_surface_is_described(document: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "addresses.md").read_text()
    missing = [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if f"`{method.upper()} {path}`" not in page
    ]
    assert missing == []


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    silent = [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not operation.get("description") and not operation.get("summary")
    ]
    assert silent == []
