"""`ingest` with a source, an address or a file."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.fakes.feed_server import FeedServer
from tests.rig.command_line import invoke


@pytest.fixture
def installed(served_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(served_catalog, tmp_path / "bourse.db")
    (tmp_path / "bourse.yaml").write_text('network: {allow_private_fetch: ["127.0.0.1/32"]}\n')
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
    return tmp_path


def test_what_cannot_be_read_is_said_and_ends_with_1(installed: Path, server: FeedServer) -> None:
    (installed / "My List.csv").write_text("model,price\na,1\n")
    done = invoke("ingest", "--file", str(installed / "My List.csv"), "--json")
    (one,) = json.loads(done.stdout)["sources"]
    assert (done.exit_code, one["source"], one["outcome"]) == (1, "my-list", "refused")
    done = invoke("ingest", "--url", server.url("/none"), "--name", "ours")
    assert (done.exit_code, done.stdout) == (1, "ours: failed, it answers 404\nNothing changed.\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--source", "nobody"), "There is no source 'nobody'"),
        (("--source", "all", "--url", "http://x"), "one of them"),
        (("--url", "http://127.0.0.1/x"), "--name"),
        (("--file", "nowhere.csv"), "The file cannot be read"),
        (("--dry-run",), "go with a --source"),
        (("--source", "all", "--format", "xml"), "The format is one of"),
    ],
)
def test_wrong_use_is_said_and_ends_with_2(installed: Path, words: tuple[str, ...], says: str) -> None:
    done = invoke("ingest", *words)
    assert (done.exit_code, says in done.stderr) == (2, True)
    assert installed.exists()


def test_the_webhook_is_tried_out_and_that_is_audited(installed: Path, server: FeedServer) -> None:
    assert "ingestion.webhook.url" in invoke("webhook", "test").stderr
    with (installed / "bourse.yaml").open("a") as file:
        file.write(f'ingestion: {{webhook: {{url: "{server.url("/hook")}", secret: "whsec_a2V5IG9mIHRoZSBob29r"}}}}\n')
    done = invoke("webhook", "test", "--json")
    told = json.loads(done.stdout)
    ((headers, body),) = server.taken
    assert (done.exit_code, told["taken"], told["signed"], headers["webhook-id"]) == (0, True, True, told["id"])
    assert json.loads(body)["type"] == "webhook.test"
    server.ill["/hook"] = [(500, {})]
    assert invoke("webhook", "test").exit_code == 1
    with sqlite3.connect(installed / "bourse.db") as database:
        rows = database.execute("SELECT target, facts FROM audit_entry WHERE action = 'webhook.test' ORDER BY id").fetchall()
    assert [json.loads(facts)["taken"] for _, facts in rows] == [True, False]
    assert rows[0][0] == told["id"]
