"""`docs/routing.md` names everything that may be left out of a request, and nothing else."""

import re

from backend.providers.dropping import DROPPABLE, HINTS
from tests.architecture.source import ROOT

HEADING = "## Parameters that a provider has no words for"


def test_the_page_lists_what_may_be_left_out_and_why() -> None:
    section = (ROOT / "docs" / "routing.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ") and "`" in line]
    told: dict[bool, dict[str, str]] = {True: {}, False: {}}
    for names, why in rows:
        told["on any route" in names] |= dict.fromkeys(re.findall(r"`([^`]+)`", names), why.strip())
    assert told == {True: dict(HINTS), False: dict(DROPPABLE)}
