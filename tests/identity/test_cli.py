"""Tenants, people, keys and budgets on the command line: on both databases, audited, beside a running server."""

import asyncio
import json
import os
import pwd
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import Result

from backend.kernel.db import Database
from backend.kernel.events import EventBus
from tests.docs.commands import every_command
from tests.rig import forks
from tests.rig.command_line import invoke
from tests.rig.server import AppServer

Run = Callable[..., Any]
PASSWORD = "correct horse battery"


class Bourse:
    """The command line on one database. `run` gives what was printed, as JSON where that was asked for."""

    def __init__(self, url: str) -> None:
        self.url = url

    def invoke(self, *words: str, typed: str | None = None) -> Result:
        return invoke(*words, input=typed)

    def run(self, *words: str, typed: str | None = None) -> Any:
        result = self.invoke(*words, "--json", typed=typed)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def audited(self) -> list[tuple[str, str, dict[str, Any]]]:
        async def read() -> Sequence[Any]:
            db = Database.open(self.url, EventBus())
            try:
                async with db.read() as session:
                    return (await session.execute(sa.text("SELECT action, actor, facts FROM audit_entry ORDER BY at, id"))).all()
            finally:
                await db.close()

        return [(row[0], row[1], json.loads(row[2]) if isinstance(row[2], str) else row[2]) for row in asyncio.run(read())]


@pytest.fixture
def bourse(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bourse:
    (tmp_path / "bourse.yaml").write_text("{}\n")
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("BOURSE_DATABASE_URL", database_url)
    monkeypatch.setenv("SOME_PASSWORD", PASSWORD)
    return Bourse(database_url)


def test_a_super_admins_token_is_made_listed_and_revoked(bourse: Bourse) -> None:
    bourse.run("user", "create", "ann@example.org", "--no-password", "--super-admin")
    made = bourse.run("user", "token", "create", "ann@example.org", "nightly prices", "--expires", "30d")
    assert made["token"].startswith(f"bt-{made['public_id']}.")
    (listed,) = bourse.run("user", "token", "list", "ann@example.org")
    assert {**listed, "token": made["token"]} == made
    assert bourse.run("user", "token", "revoke", made["public_id"])["status"] == "revoked"
    assert bourse.invoke("user", "token", "revoke", "acc_none").exit_code == 1
    bourse.run("user", "create", "bob@example.org", "--no-password")
    assert bourse.invoke("user", "token", "create", "bob@example.org", "x").exit_code == 2
    told = [facts for action, _, facts in bourse.audited() if action.startswith("access.")]
    assert made["token"] not in json.dumps(told)
    assert [facts["operator"] for facts in told] == [pwd.getpwuid(os.getuid()).pw_name] * 2


def test_a_tenant_is_made_shown_changed_suspended_and_active_again(bourse: Bourse) -> None:
    made = bourse.run("tenant", "create", "acme", "--name", "Acme", "--timezone", "Europe/Berlin", "--model", "fast")
    assert (made["slug"], made["name"], made["timezone"], made["models"], made["status"]) == (
        "acme",
        "Acme",
        "Europe/Berlin",
        ["fast"],
        "active",
    )
    assert bourse.run("tenant", "rename", "acme", "Acme Inc")["name"] == "Acme Inc"
    assert bourse.run("tenant", "models", "acme", "all")["models"] is None
    assert bourse.run("tenant", "models", "acme", "none")["models"] == []
    assert bourse.run("tenant", "models", made["id"], "fast", "slow", "fast")["models"] == ["fast", "slow"]
    assert bourse.run("tenant", "suspend", "acme")["status"] == "suspended"
    assert bourse.run("tenant", "activate", "acme")["status"] == "active"
    assert [one["slug"] for one in bourse.run("tenant", "list")] == ["acme"]


def test_a_person_is_made_promoted_put_into_a_tenant_and_disabled(bourse: Bourse) -> None:
    bourse.run("tenant", "create", "acme")
    made = bourse.run("user", "create", "Ann@Example.org", "--name", "Ann", "--password", "env:SOME_PASSWORD")
    assert (made["email"], made["super_admin"], made["status"]) == ("ann@example.org", False, "active")
    assert bourse.run("user", "super-admin", "ann@example.org")["super_admin"] is True
    assert bourse.run("user", "super-admin", "ann@example.org", "--off")["super_admin"] is False
    bourse.run("user", "add-to-tenant", "ann@example.org", "acme", "--role", "owner")
    assert bourse.run("user", "show", made["id"])["tenants"] == [{"slug": "acme", "role": "owner"}]
    assert bourse.run("tenant", "show", "acme")["members"] == [
        {"email": "ann@example.org", "name": "Ann", "role": "owner", "status": "active"}
    ]
    assert bourse.invoke("user", "remove-from-tenant", "ann@example.org", "acme").exit_code == 1
    assert bourse.run("user", "disable", "ann@example.org")["status"] == "disabled"
    assert bourse.run("user", "enable", "ann@example.org")["status"] == "active"


def test_a_password_is_typed_or_read_and_never_an_argument(bourse: Bourse, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    bourse.run("user", "create", "file@example.org", "--password", f"file:{file}")
    typed = bourse.invoke("user", "create", "typed@example.org", "--json", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert typed.exit_code == 0
    assert PASSWORD not in typed.output
    refused = bourse.invoke("user", "create", "argument@example.org", "--password", PASSWORD)
    assert (refused.exit_code, "env:NAME" in refused.stderr, PASSWORD in refused.output) == (2, True, False)
    assert bourse.invoke("user", "create", "missing@example.org", "--password", "env:NO_SUCH_VARIABLE").exit_code == 2
    assert [user["email"] for user in bourse.run("user", "list")] == ["file@example.org", "typed@example.org"]


def test_a_key_is_printed_once_and_every_part_of_it_can_be_changed(bourse: Bourse) -> None:
    bourse.run("tenant", "create", "acme", "--model", "fast", "--model", "slow")
    bourse.run("user", "create", "ann@example.org", "--no-password")
    bourse.run("user", "add-to-tenant", "ann@example.org", "acme")
    made = bourse.run(
        "key", "create", "acme", "ci", "--owner", "ann@example.org", "--model", "fast", "--tag", "nightly", "--expires", "30d"
    )
    text, public_id = made.pop("key"), made["public_id"]
    assert text.startswith(f"sk-{public_id}.")
    assert (made["owner"], made["models"], made["tags"], made["created_by"]) == ("ann@example.org", ["fast"], ["nightly"], "system:cli")
    assert bourse.run("key", "show", public_id) == made
    assert text.partition(".")[2] not in bourse.invoke("key", "list", "acme").output
    assert bourse.run("key", "models", public_id, "all")["models"] is None
    assert bourse.invoke("key", "models", public_id, "beyond").exit_code == 1
    assert bourse.run("key", "addresses", public_id, "192.0.2.7", "10.0.0.0/8")["addresses"] == ["192.0.2.7/32", "10.0.0.0/8"]
    assert bourse.run("key", "addresses", public_id, "any")["addresses"] is None
    assert bourse.run("key", "tags", public_id, "one", "two")["tags"] == ["one", "two"]
    assert bourse.run("key", "expiry", public_id, "2999-12-31T12:00+01:00")["expires_at"] == "2999-12-31T11:00:00+00:00"
    assert bourse.run("key", "expiry", public_id, "never")["expires_at"] is None
    assert bourse.run("key", "rename", public_id, "build")["name"] == "build"
    assert bourse.run("key", "revoke", made["id"])["status"] == "revoked"
    assert "for good" in bourse.invoke("key", "rename", public_id, "again").stderr


def test_budgets_of_tenant_person_and_key_are_set_raised_listed_and_deleted(bourse: Bourse) -> None:
    bourse.run("tenant", "create", "acme")
    key = bourse.run("key", "create", "acme", "ci")["public_id"]
    assert bourse.run("budget", "show", "acme")["is_default"] is True
    made = bourse.run("budget", "set", "acme", "--limit", "2.5", "--window", "rolling_7d", "--warn-at", "0.5", "--key", key)
    assert (made["limit_usd"], made["window"], made["warn_at"], made["remaining_usd"]) == ("2.50", "rolling_7d", [0.5], "2.50")
    raised = bourse.run("budget", "raise", "acme", "--by", "0.0000015", "--until", "12h", "--key", key)
    assert (raised["limit_usd"], raised["limit_in_force_usd"]) == ("2.50", "2.5000015")
    assert [(one["scope"], one["name"]) for one in bourse.run("budget", "list", "acme")] == [("tenant", "acme"), ("key", key)]
    assert bourse.run("budget", "delete", "acme", "--key", key)["deleted"] is True
    assert bourse.invoke("budget", "show", "acme", "--key", key).exit_code == 1
    assert bourse.run("budget", "default")["limit_usd"] == "100.00"
    assert bourse.run("budget", "holders") == []


def test_what_end_users_of_a_key_may_have_is_said_all_at_once_and_taken_back(bourse: Bourse) -> None:
    bourse.run("tenant", "create", "acme")
    key = bourse.run("key", "create", "acme", "ci")["public_id"]
    said = bourse.run("key", "end-users", key, "--limit", "0.5", "--window", "calendar_day", "--parallel", "2")
    assert said["end_users"] == {"limit_usd": "0.50", "window": "calendar_day", "parallel": 2}
    assert bourse.run("key", "end-users", key, "--requests-per-minute", "9")["end_users"] == {"requests_per_minute": 9}
    assert bourse.run("budget", "list", "acme", "--end-users-of", key) == []
    for wrong, why in (
        ((), "Name a budget or a limit"),
        (("--window", "calendar_day"), "--limit too"),
        (("--limit", "1e30"), "An amount is written as"),
        (("--limit", "-1"), "not negative"),
        (("--limit", "1", "--window", "fortnight"), "A window is"),
        (("--off", "--limit", "1"), "or --off"),
    ):
        refused = bourse.invoke("key", "end-users", key, *wrong)
        assert (refused.exit_code, why in refused.stderr) == (2, True), refused.output
    assert bourse.run("key", "show", key)["end_users"] == {"requests_per_minute": 9}
    nobody = bourse.invoke("budget", "show", "acme", "--key", key, "--end-user", "ann")
    assert (nobody.exit_code, "no account" in nobody.stderr) == (1, True)
    assert "with --key" in bourse.invoke("budget", "show", "acme", "--end-user", "ann").stderr
    assert bourse.run("key", "end-users", key, "--off")["end_users"] is None


def test_limits_that_were_set_are_listed_by_name(bourse: Bourse) -> None:
    bourse.run("tenant", "create", "acme")
    bourse.run("user", "create", "ann@example.org", "--no-password")
    bourse.run("user", "add-to-tenant", "ann@example.org", "acme")
    key = bourse.run("key", "create", "acme", "ci")["public_id"]
    assert bourse.run("limit", "list", "acme") == []
    bourse.run("limit", "set", "acme", "--key", key, "--parallel", "3")
    bourse.run("limit", "set", "acme", "--user", "ann@example.org", "--requests-per-minute", "7")
    bourse.run("limit", "set", "acme", "--tokens-per-day", "9")
    assert [(one["scope"], one["name"], one["set_here"]) for one in bourse.run("limit", "list", "acme")] == [
        ("tenant", "acme", {"tokens_per_day": 9}),
        ("user", "ann@example.org", {"requests_per_minute": 7}),
        ("key", key, {"parallel": 3}),
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("tenant", "show", "nowhere"), 1, "There is no such tenant."),
        (("tenant", "create", "Not A Slug"), 2, "A slug"),
        (("user", "show", "nobody@example.org"), 1, "There is no such person."),
        (("key", "show", "nothing"), 1, "There is no such key."),
        (("key", "create", "acme", "x", "--expires", "someday"), 2, "A moment is written as"),
        (("key", "create", "acme", "x", "--expires", "2001-01-01"), 2, "expired already"),
        (("key", "create", "acme", "x", "--address", "here"), 2, "An address is written as"),
        (("budget", "set", "acme", "--limit", "1e999999999"), 2, "An amount is written as"),
        (("budget", "set", "acme", "--limit", "-1"), 2, "not negative"),
        (("budget", "show", "acme", "--user", "a@example.org", "--key", "k"), 2, "not both"),
        (("key", "create", "acme", "x", "--model", "none", "--model", "all"), 2, "stands alone"),
        (("tenant", "create"), 2, "Missing argument"),
    ],
)
def test_what_is_wrong_is_one_sentence_on_standard_error(bourse: Bourse, words: tuple[str, ...], code: int, says: str) -> None:
    bourse.run("tenant", "create", "acme")
    result = bourse.invoke(*words, "--json")
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr


CHANGES: tuple[tuple[str, str], ...] = (
    ("tenant create acme", "tenant.create"),
    ("tenant rename acme Acme", "tenant.rename"),
    ("tenant timezone acme Asia/Kolkata", "tenant.set_timezone"),
    ("tenant models acme fast", "tenant.set_models"),
    ("tenant default-model acme fast", "tenant.set_default_model"),
    ("tenant tier acme premium", "tenant.set_tier"),
    ("tenant suspend acme", "tenant.set_status"),
    ("tenant activate acme", "tenant.set_status"),
    ("user create ann@example.org --password env:SOME_PASSWORD", "user.create"),
    ("user set-password ann@example.org --password env:SOME_PASSWORD", "user.set_sign_in"),
    ("user disable ann@example.org", "user.set_status"),
    ("user enable ann@example.org", "user.set_status"),
    ("user super-admin ann@example.org", "user.set_super_admin"),
    ("user add-to-tenant ann@example.org acme", "membership.set"),
    ("user remove-from-tenant ann@example.org acme", "membership.set"),
    ("key create acme ci", "api_key.create"),
    ("key rename KEY build", "api_key.change"),
    ("key tags KEY nightly", "api_key.change"),
    ("key expiry KEY 1d", "api_key.change"),
    ("key models KEY fast", "api_key.change"),
    ("key addresses KEY 192.0.2.0/24", "api_key.change"),
    ("key tier KEY free", "api_key.set_tier"),
    ("key end-users KEY --limit 1 --tokens-per-minute 9", "api_key.end_users"),
    ("budget set acme --limit 5", "budget.set"),
    ("budget raise acme --by 5 --until 1h", "budget.raise"),
    ("budget delete acme", "budget.delete"),
    ("limit set acme --parallel 5", "limit.set"),
    ("limit clear acme", "limit.clear"),
    ("key revoke KEY", "api_key.revoke"),
    ("route create mini --candidate sandbox/chat", "route.create"),
    ("route set mini strategy=ordered", "route.change"),
    ("route disable mini", "route.change"),
    ("route enable mini", "route.change"),
    ("route delete mini", "route.delete"),
    ("provider add ollama --base-url http://127.0.0.1:11434/v1", "provider.add"),
    ("provider change ollama max_parallel=5", "provider.change"),
    ("provider remove ollama", "provider.remove"),
    ("cache clear", "cache.clear"),
)
READING = {"list", "show", "default", "holders", "quarantine", "keys", "test", "discover", "skills"}
ELSEWHERE = {
    "ingest", "doctor", "migrate", "reconcile", "budget release", "route reset", "user token create", "user token revoke", "route adopt",
    "provider add-key", "provider remove-key", "provider reseal", "provider reset",
    "prices accept", "prices reject", "prices set", "prices withdraw", "benchmarks add",
}  # fmt: skip
"""About the installation and not about anybody in it, or audited in the tests of their own rooms."""


def test_every_change_is_audited_with_the_name_of_the_person_at_the_machine(bourse: Bourse) -> None:
    changing = {one.path for one in every_command() if one.path.split()[-1] not in READING} - ELSEWHERE
    assert {" ".join(line.split()[:2]) for line, _ in CHANGES} == changing
    made: dict[str, str] = {}
    for line, action in CHANGES:
        seen = len(bourse.audited())
        answer = bourse.run(*line.replace("KEY", made.get("public_id", "")).split())
        made = answer if {"key", "public_id"} <= set(answer) else made
        assert [one for one, _, _ in bourse.audited()][seen:] == [action], line
    audited = bourse.audited()
    account = pwd.getpwuid(os.getuid()).pw_name
    assert {(actor, facts["operator"]) for _, actor, facts in audited} == {("system:cli", account)}
    assert made["key"].partition(".")[2] not in json.dumps(audited)


def test_a_database_that_is_away_is_said_in_one_sentence(bourse: Bourse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOURSE_DATABASE_URL", "postgresql://bourse@127.0.0.1:9/nothing")
    result = bourse.invoke("tenant", "list")
    assert (result.exit_code, result.stderr) == (3, "Nothing was done: the database cannot be reached.\n")


@pytest.mark.parametrize("words", [("ingest",), ("migrate",), ("prices", "quarantine"), ("route", "list"), ("budget", "holders")])
def test_every_command_says_so(words: tuple[str, ...]) -> None:
    done = forks.run(*words, env={**os.environ, "BOURSE_DATABASE_URL": "postgresql://bourse@127.0.0.1:9/nothing"})
    assert (done.returncode, done.stderr) == (3, "Nothing was done: the database cannot be reached.\n")


@pytest.mark.case("A1")
def test_it_works_while_a_server_runs_on_the_same_sqlite_file(
    app_server: Callable[..., AppServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = app_server("gateway")
    monkeypatch.setenv("BOURSE_CONFIG", str(server.data_dir / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(server.data_dir))
    bourse = Bourse(f"sqlite+aiosqlite:///{server.data_dir / 'bourse.db'}")

    def status_of(key: str) -> int:
        request = urllib.request.Request(f"{server.url}/v1/models", headers={"authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def until(key: str, wanted: int) -> None:
        deadline = time.monotonic() + 20
        while status_of(key) != wanted:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    key = bourse.run("key", "create", "demo", "second")
    until(key["key"], 200)
    bourse.run("key", "revoke", key["public_id"])
    until(key["key"], 401)
    assert status_of("sk-demo.my-secret") == 200
    bourse.run("tenant", "suspend", "demo")
    until("sk-demo.my-secret", 403)
    bourse.run("tenant", "activate", "demo")
    until("sk-demo.my-secret", 200)
