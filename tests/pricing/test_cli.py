import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.rig import forks
from tests.rig.server import clean_environment


@pytest.fixture
def stocked(catalog_file: Path, tmp_path: Path) -> Path:
    shutil.copy(catalog_file, tmp_path / "bourse.db")
    return tmp_path


def bourse(data_dir: Path, *arguments: str, code: int = 0) -> str:
    done = forks.run(*arguments, env=clean_environment(data_dir))
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout if code == 0 else done.stderr


def audited(data_dir: Path) -> list[tuple[str, str, bool]]:
    """Action, actor, and whether the person at the machine is named."""
    with sqlite3.connect(data_dir / "bourse.db") as database:
        rows = database.execute("SELECT action, actor, facts FROM audit_entry WHERE action LIKE 'price.%' ORDER BY at, id").fetchall()
    return [(action, actor, bool(json.loads(facts).get("operator"))) for action, actor, facts in rows]


def test_quarantine_lists_the_known_bad_rows_dearest_first_and_keeps_what_was_decided(stocked: Path) -> None:
    rows = json.loads(bourse(stocked, "prices", "quarantine", "--json"))
    assert rows[0]["offer_id"] == "azure_ai/jais-30b-chat"
    assert {"azure_ai/jais-30b-chat", "watsonx/core42/jais-13b-chat"} <= {row["offer_id"] for row in rows}
    assert "absurd" in bourse(stocked, "prices", "quarantine")
    bourse(stocked, "prices", "reject", rows[0]["id"], "--note", "per thousand", "--together")
    assert "azure_ai/jais-30b-chat" not in bourse(stocked, "prices", "quarantine")
    rejected = json.loads(bourse(stocked, "prices", "quarantine", "--state", "rejected", "--json"))
    assert {(row["offer_id"], row["note"]) for row in rejected} == {("azure_ai/jais-30b-chat", "per thousand")}
    assert "has that id" in bourse(stocked, "prices", "reject", rows[0]["id"], code=1)
    assert audited(stocked) == [("price.reject", "system:cli", True)]


def test_a_price_of_ones_own_is_set_in_euros_and_withdrawn(stocked: Path) -> None:
    assert "override" in bourse(stocked, "prices", "set", "openai/o3", "2000", "--currency", "EUR", code=1)
    [price] = json.loads(bourse(stocked, "prices", "set", "openai/o3", "1.8", "--currency", "EUR", "--json"))
    assert (price["amount"], price["currency"], price["in_force"]) == ("1.8", "EUR", True)
    assert float(price["usd_per_million"]) > 1.8
    assert bourse(stocked, "prices", "withdraw", price["id"]) == "Taken back.\n"
    assert audited(stocked) == [("price.ingest", "system:cli", True), ("price.withdraw", "system:cli", True)]
