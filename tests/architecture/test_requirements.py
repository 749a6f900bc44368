"""`requirements.txt` alone is enough to run: what only the test tools bring along would be missing on a user's machine."""

import re
import sys
from importlib.metadata import distribution, packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture.source import ROOT, modules

ASKED_FOR_BY_NAME = {
    "greenlet": "SQLAlchemy's asyncio",
    "uvloop": "uvicorn --loop",
    "httptools": "uvicorn --http",
    "wsproto": "uvicorn --ws",
}
"""Needed although no file of ours imports them."""


def installed_by(file: str) -> set[str]:
    """Every distribution that pip would install for the file on this machine, by canonical name."""
    waiting = [
        Requirement(line.split("#")[0].strip())
        for line in (ROOT / file).read_text().splitlines()
        if line.strip() and not line.startswith(("#", "-r"))
    ]
    seen: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        for extra in sorted(wanted.extras) or [""]:
            key = (canonicalize_name(wanted.name), extra)
            if key in seen:
                continue
            seen.add(key)
            for text in distribution(wanted.name).requires or []:
                below = Requirement(text)
                if below.marker is None or any(below.marker.evaluate({"extra": name}) for name in {extra, ""}):
                    waiting.append(below)
    return {name for name, _ in seen}


def test_everything_that_the_product_imports_comes_from_requirements_txt() -> None:
    ours = {"app", "backend", "components", "state", "tests", "benchmarks", "rxconfig"}
    imported = (
        {name.split(".")[0] for module in modules() for _, name in module.imports()} - ours - set(sys.stdlib_module_names) - {"__future__"}
    )
    provides = packages_distributions()
    available = installed_by("requirements.txt")
    missing = {name for name in imported if not {canonicalize_name(found) for found in provides.get(name, [])} & available}
    assert missing == set()


def test_what_is_needed_without_being_imported_is_there_too() -> None:
    missing = {name: why for name, why in ASKED_FOR_BY_NAME.items() if canonicalize_name(name) not in installed_by("requirements.txt")}
    assert missing == {}


def test_the_test_tools_include_what_the_product_runs_on() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    assert "-r requirements.txt" in lines
    assert not any(re.match(r"(SQLAlchemy|reflex|uvicorn)\b", line) for line in lines)
