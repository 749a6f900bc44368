"""The rest of the documentation: its commands exist, its links lead somewhere, it names every address, its records are short."""

import re
import subprocess

import pytest
from prometheus_client import Counter, Gauge, Histogram

from backend.observability.metrics import Metrics
from backend.observability.tallies import Spreads, Tallies
from tests.architecture.source import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
CONTRACT = {
    "run",
    "gateway",
    "dev",
    "test",
    "test-clients",
    "check",
    "fmt",
    "migrate",
    "seed",
    "reconcile",
    "bench",
    "faults",
    "soak",
    "doctor",
    "clean",
    "help",
}


def targets() -> dict[str, str]:
    """Task → its line of help."""
    return dict(re.findall(r"^([a-z-]+):.*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def shown(path: object) -> str:
    return str(path).removeprefix(f"{ROOT}/")


def test_the_makefile_has_every_task_of_the_contract_with_a_line_of_help() -> None:
    assert set(targets()) == CONTRACT


def test_make_help_lists_every_task() -> None:
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for task, help_line in targets().items():
        assert re.search(rf"^ +{task} +{re.escape(help_line)}$", printed, re.MULTILINE), task


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_make_command_in_the_docs_exists(page: object) -> None:
    text = open(str(page)).read()  # noqa: SIM115
    named = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^make ([a-z]+)", text, re.MULTILINE))
    assert named <= set(targets()), named - set(targets())


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_to_a_file(page: object) -> None:
    from pathlib import Path

    path = Path(str(page))
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if not link.startswith(("http://", "https://")) and not (path.parent / link).exists()]
    assert missing == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file() or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())]
    assert [shown(page) for page in PAGES if page not in reached and page.parent.name != "decisions"] == []


@pytest.mark.parametrize("record", RECORDS, ids=shown)
def test_a_decision_record_is_short_and_complete(record: object) -> None:
    text = open(str(record)).read()  # noqa: SIM115
    assert len(text.splitlines()) <= 40
    assert re.match(r"# \d+\. \S", text)
    for heading in ("## Context", "## Decision", "## Consequences", "## What else was tried"):
        assert heading in text, heading


def test_no_two_decision_records_share_a_number() -> None:
    numbers = [int(record.name[:4]) for record in RECORDS]
    assert len(set(numbers)) == len(numbers)
    assert all(record.read_text().startswith(f"# {int(record.name[:4])}. ") for record in RECORDS)


def test_every_page_of_the_app_is_in_the_docs() -> None:
    from app.routes import PAGES as REGISTERED

    text = (ROOT / "docs" / "addresses.md").read_text()
    routes = {re.sub(r"\[\[?\.*([a-z]+)\]\]?", r"{\1}", page.route) for page in REGISTERED if page.route != "404"}
    routes = {route.replace("{splat}", "{slug}") for route in routes}
    assert {route for route in routes if f"| `{route}` |" not in text} == set()


def test_every_address_that_the_front_door_knows_is_in_the_docs() -> None:
    from backend.asgi import PROBES

    text = (ROOT / "docs" / "addresses.md").read_text()
    assert {probe for probe in PROBES if f"`GET /{probe}`" not in text} == set()


def test_the_license_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_names_this_version() -> None:
    from backend import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_metric_is_in_the_docs_with_its_labels() -> None:
    described = dict(re.findall(r"^\| `(bourse_\w+)` \| ([a-z, ]*)\|", (ROOT / "docs" / "addresses.md").read_text(), re.MULTILINE))
    metrics = vars(Metrics()).values()
    true = {f"{metric._name}_total": metric._labelnames for metric in metrics if isinstance(metric, Counter)}
    true |= {metric._name: metric._labelnames for metric in metrics if isinstance(metric, Histogram | Gauge)}
    true |= {metric._name: metric._labels for metric in metrics if isinstance(metric, Tallies | Spreads)}
    assert {name: labels.strip() for name, labels in described.items()} == {name: ", ".join(labels) for name, labels in true.items()}
