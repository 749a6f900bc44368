"""`docs/ingestion.md` says what is read: its lists are, its settings hold, and its numbers are those of the code."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from backend.catalog.sources import feed
from backend.catalog.sources.formats import looks_like, read_text
from backend.catalog.sources.table import FIELDS
from backend.configuration import load_settings
from backend.jobs import order, run, webhook
from backend.jobs.schemas import DifferenceView
from backend.jobs.sources import KNOWN, feeds
from backend.jobs.tables import IngestionReport
from tests.architecture.source import ROOT

PAGE = (ROOT / "docs" / "ingestion.md").read_text()
BLOCKS = re.findall(r"^```(csv|yaml)\n(.*?)^```", PAGE, re.M | re.S)
LISTS = [(kind, text) for kind, text in BLOCKS if not text.startswith("ingestion:")]


def test_there_are_lists_and_settings() -> None:
    assert [kind for kind, _ in LISTS] == ["csv", "yaml"]
    assert len(BLOCKS) == 4


@pytest.mark.parametrize(("kind", "text"), LISTS)
def test_a_list_is_read_as_printed(kind: str, text: str) -> None:
    assert looks_like(text.encode()) == "table"
    reading = read_text("table", text.encode(), kind, date(2026, 6, 1))
    assert (reading.refused, reading.unknown) == ({}, {})
    assert {quote.component for offer in reading.offers for quote in offer.quotes} == {"input", "output"}


def test_the_settings_are_read_as_printed(tmp_path: Path) -> None:
    text, hook = (text for _, text in BLOCKS if text.startswith("ingestion:"))
    file = tmp_path / "bourse.yaml"
    file.write_text(hook)
    assert load_settings({"BOURSE_CONFIG": str(file)}).ingestion.webhook.url == "https://hooks.example.org/bourse"
    file.write_text(text)
    found = feeds(load_settings({"BOURSE_CONFIG": str(file)}).ingestion)
    assert set(found) == {*KNOWN, "ours"}
    assert (found["openrouter"].enabled, found["litellm"].every, found["ours"].format) == (False, 21_600.0, "table")


def test_the_webhooks_message_is_as_printed() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)
    told = json.loads(text)
    report = IngestionReport(**{name: None for name in ("id", "trigger", "outcome")}, finished_at=datetime.now(UTC))
    sent = webhook.message_of(report)
    assert (set(told), set(told["data"])) == (set(sent), set(sent["data"]))
    assert set(told["data"]["difference"]) <= set(DifferenceView.model_fields)


def test_every_field_is_named() -> None:
    rows = re.search(r"^\| field \| is \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.M)
    assert rows is not None
    named = {word for row in rows[1].splitlines() for word in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert named == FIELDS - {"price_per_token", "free"}
    assert "`free: true`" in PAGE


def test_every_public_list_is_named() -> None:
    assert set(re.findall(r"^\| `([a-z.-]+)` \| `", PAGE, re.M)) == set(KNOWN)


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"more than {feed.MOST_ENTRIES:,} entries" in PAGE
    assert (run.LEAST_SHARE, run.MOST_SHARE, run.MOST_REFUSED, run.KEPT_REPORTS) == (0.5, 3.0, 0.2, 500)
    assert (order.LONGEST_SECONDS, order.MOST_MEMORY) == (15 * 60, 3 * 1024**3)
    assert (webhook.TRIES, webhook.ANSWER_SECONDS) == (12, 10.0)
