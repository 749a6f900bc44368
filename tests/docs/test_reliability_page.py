"""docs/reliability.md names every case that this version promises (but those of pages and secrets), and the tests that hold it."""

import re

from tests.architecture.source import ROOT
from tests.architecture.test_cases import PROMISED, STORE, marks

ROW = re.compile(r"^\| ([A-Z]\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def rows() -> dict[str, list[str]]:
    """Case → the test files that the page names for it."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    return {case: re.findall(r"`([^`]+)`", tests) for case, tests in ROW.findall(text)}


def test_the_page_names_exactly_the_cases_that_are_promised() -> None:
    assert sorted(rows()) == sorted(case for case in PROMISED if case[0] in "ABCDILU" or case == "Z7" or case in STORE)


def test_every_test_that_the_page_names_carries_the_mark_of_its_case() -> None:
    held = {case: {place.partition(":")[0] for place in places} for case, places in marks().items()}
    assert {case: [file for file in files if file not in held.get(case, ())] for case, files in rows().items()} == {
        case: [] for case in rows()
    }
    assert all(rows().values())
