"""`python -m backend provider add …`: what operators type, that a mistake is one sentence, and that no key is printed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from tests.fakes.openai_upstream import OpenAIUpstream, whole
from tests.rig.command_line import invoke
from tests.rig.own_loop import in_own_loop

KEY = "sk-canary-0123456789-abcd"


class Bourse:
    def invoke(self, *words: str, typed: str | None = None) -> Result:
        result = invoke(*words, input=typed)
        assert KEY not in result.output
        return result

    def run(self, *words: str, typed: str | None = None) -> Any:
        result = self.invoke("provider", *words, "--json", typed=typed)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def bourse(sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bourse:
    values = {"providers": {"acme": {"base_url": "http://127.0.0.1:9/v1"}}, "secrets_file": str(tmp_path / "none.yaml")}
    (tmp_path / "bourse.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
    return Bourse()


@pytest.fixture
def upstream() -> Iterator[OpenAIUpstream]:
    server = OpenAIUpstream()
    server.models = whole({"object": "list", "data": [{"id": "llama3.2:3b", "object": "model"}, {"id": "qwen3:8b", "object": "model"}]})
    with in_own_loop(server):
        yield server


def test_one_is_added_with_its_key_listed_changed_and_removed(bourse: Bourse, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    added = bourse.run(
        "add", "blue", "--protocol", "azure", "--base-url", "https://8.8.8.8", "--key-file", str(tmp_path / "key"),
        "api_version=2024-10-21", "max_parallel=20", "headers.x-team=a", "--models", "gpt-a, gpt-b",
    )  # fmt: skip
    assert (added["origin"], added["key"], added["usable"]) == ("database", "present", True)
    assert [model["id"] for model in added["models"]] == ["blue/gpt-a", "blue/gpt-b"]
    settings = added["settings"]
    assert (settings["metadata"], settings["max_parallel"], settings["headers"]) == ({"api_version": "2024-10-21"}, 20, ["x-team"])
    assert [(one["name"], one["origin"]) for one in bourse.run("list")] == [
        ("acme", "configuration"), ("blue", "database"), ("sandbox", None),
    ]  # fmt: skip
    assert [(key["source"], key["destination"]) for key in bourse.run("keys", "blue")] == [("stored", "https://8.8.8.8:443")]
    changed = bourse.run("change", "blue", "enabled=false", "api_version=preview", "models=null")
    assert (changed["usable"], changed["why"], changed["settings"]["models"]) == (False, "The provider blue is switched off.", None)
    assert changed["settings"]["metadata"] == {"api_version": "preview"}
    assert bourse.run("reset", "blue", "enabled")["usable"] is True
    assert bourse.run("remove", "blue") == {"name": "blue", "removed": True, "keys": 1}
    assert bourse.invoke("provider", "show", "blue").exit_code == 1
    added = bourse.run("add", "claude", "--protocol", "anthropic", "--key-stdin", typed=KEY)
    assert (added["key"], added["base_url"]) == ("present", None)


def test_people_read_what_is_next(bourse: Bourse) -> None:
    said = bourse.invoke("provider", "add", "claude", "--protocol", "anthropic").stdout
    assert said.startswith("Added. Running servers follow within a second.\n")
    assert "`python -m backend provider add-key claude` stores one" in said
    assert "its models need some (`route adopt`), or another name: the store calls it 'anthropic'." in said
    said = bourse.invoke("provider", "add", "mine", "--base-url", "http://127.0.0.1:9/v1").stdout
    assert "`provider test mine` asks it" in said
    assert "max_parallel: 1000\n" in said


def test_its_own_list_says_what_callers_may_ask_for(bourse: Bourse, upstream: OpenAIUpstream) -> None:
    added = bourse.run("add", "local", "--base-url", upstream.base_url, "--models", "discover")
    assert [model["id"] for model in added["models"]] == ["local/llama3.2:3b", "local/qwen3:8b"]
    found = bourse.invoke("route", "list", "--all", "--json")
    assert {"local/llama3.2:3b", "local/qwen3:8b"} <= {route["name"] for route in json.loads(found.stdout)}
    failed = bourse.invoke("provider", "add", "away", "--base-url", "http://127.0.0.1:9/v1", "--models", "discover")
    assert failed.exit_code == 1
    assert "It is there with all models, because its list could not be taken: away did not say which models it has" in failed.stderr
    assert "away" in [one["name"] for one in bourse.run("list")]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("add", "late"), 2, "base_url is needed for protocol openai"),
        (("add", "acme", "--base-url", "https://8.8.8.8"), 1, "There is already a provider 'acme': `provider change acme` changes it."),
        (("add", "late", "--base-url", "http://10.0.0.1"), 2, "network.allow_private"),
        (("add", "late", "--base-url", "https://8.8.8.8", "max_paralel=3"), 2, "'max_paralel' is neither a setting of a provider nor"),
        (("add", "late", "--base-url", "https://8.8.8.8", "api_key=env:HOME"), 2, "`provider add-key late`"),
        (("add", "late", "--base-url", "https://8.8.8.8", "enabled"), 2, "is no FIELD=VALUE"),
        (("add", "late", "--base-url", "https://8.8.8.8", "headers=a", "headers.b=c"), 2, "cannot both be set"),
        (("add", "late", "--base-url", "https://8.8.8.8", "--key-file", "/nowhere/key"), 2, "/nowhere/key cannot be read"),
        (("add", "late", "--key-file", "/nowhere/key", "--key-stdin"), 2, "not from both"),
        (("add", "late", "--protocol", "telegraph"), 2, "protocol: Input should be"),
        (("change", "nobody", "enabled=false"), 1, "There is no such provider: 'nobody'. `provider add nobody` makes one."),
        (("change", "acme"), 2, "Say which fields"),
        (("change", "acme", "base_url=https://8.8.8.8"), 2, "its key goes there alone"),
        (("remove", "acme"), 1, "`provider change acme enabled=false`"),
    ],
)
def test_a_mistake_is_one_sentence(bourse: Bourse, words: tuple[str, ...], code: int, says: str) -> None:
    result = bourse.invoke("provider", *words)
    assert (result.exit_code, says in result.stderr) == (code, True), result.output
    assert "Traceback" not in result.output
