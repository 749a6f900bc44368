"""The table of `docs/providers.md`: which provider does what, as tests marked `provides(provider, ability, …)` prove it.

python -m tests.matrix              which test proves what
python -m tests.matrix --write      run them all and write the table; nothing is written unless every one of them passes
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple, get_args

import pytest

from backend.settings import ProviderSettings
from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "providers.md"
ROOMS = ("tests/providers", "tests/gateway")
PROVIDERS: tuple[str, ...] = get_args(ProviderSettings.model_fields["protocol"].annotation)
ABILITIES = {
    "chat": "chat",
    "stream": "stream",
    "tools": "tools",
    "vision": "vision",
    "schema": "JSON schema",
    "reasoning": "reasoning",
    "embeddings": "embeddings",
    "images": "images",
    "audio": "audio",
    "usage": "usage exact",
}
"""As a mark names it, and as the page does."""
NOT_OFFERED = {"anthropic": ("embeddings", "images", "audio"), "bedrock": ("audio",)}
"""What a provider itself has none of: Anthropic's API is chat, and Bedrock's sound is a conversation over HTTP/2, no file in or out."""
_TABLE = re.compile(r"^\| provider \|.*\n(?:\|.*\n)*", re.MULTILINE)


class Proof(NamedTuple):
    """`test` is its id without parameters: `tests/providers/test_sandbox.py::test_…`."""

    provider: str
    ability: str
    test: str


def proofs() -> list[Proof]:
    """Every mark. ValueError for one that names what is unknown, or that is on a test which the suite does not run."""
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("test_*.py")):
            text = path.read_text()
            if ".provides(" in text:
                found += list(proofs_in(text, path.relative_to(ROOT).as_posix()))
    return found


def proofs_in(text: str, file: str) -> Iterator[Proof]:
    tree = ast.parse(text)
    marks = {id(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_mark(node, "provides")}
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        test = f"{file}::{function.name}"
        for mark in function.decorator_list:
            if not isinstance(mark, ast.Call) or id(mark) not in marks:
                continue
            marks.discard(id(mark))
            if any(_is_mark(other, name) for other in function.decorator_list for name in ("skip", "skipif", "xfail", "soak", "clients")):
                raise ValueError(f"{test} proves nothing: it is not always run")
            provider, *abilities = (ast.literal_eval(argument) for argument in mark.args)
            unknown = [name for name in (provider,) if name not in PROVIDERS] + [name for name in abilities if name not in ABILITIES]
            if unknown or not abilities:
                raise ValueError(f"{test}: no such provider or ability: {', '.join(unknown) or 'none named'}")
            if beyond := [name for name in abilities if name in NOT_OFFERED.get(provider, ())]:
                raise ValueError(f"{test}: {provider} does not offer {', '.join(beyond)}")
            yield from (Proof(provider, ability, test) for ability in abilities)
    if marks:
        raise ValueError(f"{file}: a mark that is no decorator of a test")


def _is_mark(node: ast.AST, name: str) -> bool:
    """`@pytest.mark.name` with or without arguments."""
    function = node.func if isinstance(node, ast.Call) else node
    return isinstance(function, ast.Attribute) and function.attr == name and ast.unparse(function.value) == "pytest.mark"


def table(found: Sequence[Proof]) -> str:
    proven = {(proof.provider, proof.ability) for proof in found}
    rows = [["provider", *ABILITIES.values()], ["---", *(":-:" for _ in ABILITIES)]]
    for provider in PROVIDERS:
        missing = {ability: "–" if ability in NOT_OFFERED.get(provider, ()) else "" for ability in ABILITIES}
        rows.append([f"`{provider}`", *("✓" if (provider, ability) in proven else missing[ability] for ability in ABILITIES)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def table_of_the_page() -> str:
    found = _TABLE.search(PAGE.read_text())
    return found[0] if found else ""


class _Outcomes:
    """A plugin that remembers which tests were run, and which of them did not pass."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.others: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if not report.passed:
            self.others.add(test)
        elif report.when == "call":
            self.passed.add(test)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix")
    parser.add_argument("--write", action="store_true", help="run the tests and write the table of docs/providers.md")
    found = proofs()
    if not parser.parse_args().write:
        sys.stdout.writelines(f"{proof.provider:<12} {proof.ability:<11} {proof.test}\n" for proof in sorted(found))
        return 0
    outcomes, tests = _Outcomes(), sorted({proof.test for proof in found})
    pytest.main(["-q", "-p", "no:xdist", *tests], plugins=[outcomes])
    unproven = [test for test in tests if test not in outcomes.passed or test in outcomes.others]
    if unproven:
        sys.stdout.writelines(f"did not pass: {test}\n" for test in unproven)
        return 1
    PAGE.write_text(_TABLE.sub(lambda _: table(found), PAGE.read_text(), count=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
