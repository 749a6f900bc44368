"""Keys of providers on the command line: typed or read, never an argument, and never printed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from tests.rig.command_line import invoke

KEY = "sk-canary-0123456789-abcd"


class Bourse:
    def invoke(self, *words: str, typed: str | None = None) -> Result:
        return invoke(*words, input=typed)

    def run(self, *words: str, typed: str | None = None) -> Any:
        result = self.invoke("provider", *words, "--json", typed=typed)
        assert result.exit_code == 0, result.output
        assert KEY not in result.output
        return json.loads(result.stdout)


@pytest.fixture
def bourse(sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bourse:
    values = {
        "providers": {"acme": {"base_url": "http://127.0.0.1:9/v1", "api_key": "env:ACME_KEY"}},
        "secrets_file": str(tmp_path / "none.yaml"),
        "bootstrap": {"tenants": [{"slug": "small"}]},
    }
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
    monkeypatch.delenv("ACME_KEY", raising=False)
    return Bourse()


def test_a_key_is_added_shown_and_removed(bourse: Bourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(key["name"], key["state"]) for key in bourse.run("keys", "acme")] == [("default", "missing")]
    (listed,) = [one for one in bourse.run("list") if one["name"] == "acme"]
    assert (listed["key"], listed["usable"], "ACME_KEY" in listed["why"]) == ("missing", False, True)
    added = bourse.run("add-key", "acme", typed=f"{KEY}\n")
    assert (added["source"], added["hint"], added["destination"]) == ("stored", "abcd", "http://127.0.0.1:9")
    monkeypatch.setenv("SPARE", "sk-spare-0123456789-efgh")
    bourse.run("add-key", "acme", "--name", "spare", "--key", "env:SPARE")
    assert [(key["name"], key["source"]) for key in bourse.run("keys")] == [("default", "stored"), ("spare", "stored")]
    bourse.run("add-key", "acme", "--key", "env:SPARE", "--replace")
    assert bourse.run("remove-key", "acme", "--name", "spare")["removed"] is True
    bourse.run("remove-key", "acme")
    assert [key["source"] for key in bourse.run("keys")] == ["configuration"]
    assert bourse.run("reseal") == {"resealed": 0, "closed": 0}


def test_a_tenants_own(bourse: Bourse) -> None:
    assert bourse.invoke("tenant", "create", "small").exit_code == 0
    bourse.run("add-key", "acme", "--tenant", "small", typed=KEY)
    assert [key["hint"] for key in bourse.run("keys", "--tenant", "small")] == ["abcd"]
    assert [key["source"] for key in bourse.run("keys")] == ["configuration"]
    assert bourse.invoke("provider", "keys", "--tenant", "nobody").exit_code == 1


def test_a_key_is_never_an_argument(bourse: Bourse) -> None:
    refused = bourse.invoke("provider", "add-key", "acme", "--key", KEY)
    assert (refused.exit_code, KEY in refused.output) == (2, False)


def test_trying_says_what_came_of_it_and_fails_where_it_failed(bourse: Bourse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", KEY)
    result = bourse.invoke("provider", "test", "acme", "--json")
    assert result.exit_code == 1
    (trial,) = json.loads(result.stdout)
    assert (trial["reached"], trial["accepted"], trial["error"]) == (False, None, "connect")
    assert KEY not in result.output
    assert bourse.invoke("provider", "test", "acme", "--name", "none-of-them").exit_code == 1


def test_a_master_key_that_cannot_be_used_is_a_sentence(bourse: Bourse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOURSE_SECRET_KEY", "short")
    result = bourse.invoke("provider", "list")
    assert (result.exit_code, "at least 32 signs" in result.output) == (1, True)
