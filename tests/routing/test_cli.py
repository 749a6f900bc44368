"""`python -m backend route …`: what operators type, and that a mistake is one sentence."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from backend.configuration import load_settings
from backend.kernel.clock import SystemClock
from backend.runtime import Runtime
from tests.rig.command_line import invoke

Run = Callable[..., Result]
FILE = """
providers: {acme: {base_url: "https://acme.example/v1"}}
models:
  - {alias: fast, strategy: ordered, candidates: [{provider: acme, model: a}]}
"""


@pytest.fixture
def run(sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "bourse.yaml").write_text(FILE)
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
    return invoke


def test_a_route_is_made_edited_switched_and_ended(run: Run) -> None:
    def said(*words: str) -> dict[str, object]:
        result = run("route", *words, "--json")
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    made = said("create", "mini", "--candidate", "acme/m:1b", "--candidate", "sandbox/chat=0", "strategy=least_busy", "timeouts.total=60s")
    assert (made["origin"], made["strategy"], made["edited"]) == ("database", "least_busy", ["candidates", "strategy", "timeouts.total"])
    assert [(one["model"], one["weight"]) for one in made["candidates"]] == [("m:1b", 1), ("chat", 0)]  # type: ignore[attr-defined]
    edited = said(
        "set", "fast", "rules=[{task: code, tier: free, load: [high, degraded], use: [mini]}]", "smaller=mini", "timeouts.idle=5s"
    )
    assert (edited["origin"], edited["edited"]) == ("both", ["rules", "smaller", "timeouts.idle"])
    assert said("set", "fast", "unsupported=drop")["settings"]["unsupported"] == "drop"  # type: ignore[index]
    said("reset", "fast", "unsupported")
    assert said("disable", "fast")["enabled"] is False
    assert said("enable", "fast")["enabled"] is True
    assert said("reset", "fast", "timeouts.idle")["edited"] == ["enabled", "rules", "smaller"]
    assert said("reset", "fast")["origin"] == "configuration"
    assert said("delete", "mini") == {"name": "mini", "deleted": True}
    assert [one["name"] for one in json.loads(run("route", "list", "--json").stdout)] == ["fast"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("set", "fast"), 2, "Say what is to be set"),
        (("set", "fast", "strategy"), 2, "is no FIELD=VALUE"),
        (("set", "fast", "rules=[{"), 2, "not valid YAML"),
        (("set", "fast", "--candidate", "acme"), 2, "is no PROVIDER/MODEL"),
        (("set", "fast", "--candidate", "acme/x=many"), 2, "is no PROVIDER/MODEL"),
        (("set", "fast", "strategy=best"), 2, "strategy: Input should be"),
        (("set", "gone", "strategy=ordered"), 1, "no such route"),
        (("reset", "fast", "strategy"), 2, "'strategy' was not edited"),
        (("delete", "fast"), 1, "in the configuration file"),
        (("create", "fast", "--candidate", "acme/x"), 1, "already a route"),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(run: Run, words: tuple[str, ...], code: int, says: str) -> None:
    result = run("route", *words)
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_a_tenants_default_model_and_tiers_are_the_operators_to_say(run: Run) -> None:
    asyncio.run(_first_start())
    for words, field, value in (
        (("tenant", "default-model", "demo", "fast"), "default_model", "fast"),
        (("tenant", "default-model", "demo", "none"), "default_model", None),
        (("tenant", "tier", "demo", "Premium"), "tier", "premium"),
        (("key", "tier", "demo", "free"), "tier", "free"),
        (("key", "tier", "demo", "tenant"), "tier", None),
    ):
        assert json.loads(run(*words, "--json").stdout)[field] == value
    assert run("tenant", "default-model", "demo", "auto").exit_code == 2
    assert run("key", "tier", "demo", "two words").exit_code == 2


async def _first_start() -> None:
    runtime = Runtime(load_settings(), SystemClock())
    await runtime.identity.bootstrap()
    await runtime.close()
