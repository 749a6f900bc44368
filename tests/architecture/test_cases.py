"""Marks of reliability cases: real ids only, and every case that this release promises is held by a test."""

import ast
import re
from collections import defaultdict
from functools import cache

from tests.architecture.source import ROOT

MONEY = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12")
DURABILITY = ("D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8")
TWINS = ("I1", "I2", "I3", "I4", "I5", "I6")
STREAMS = ("U2", "U3", "U4", "U7", "U8", "U9", "C1", "C3")
LIMITS = ("L1", "L2", "L3", "L4", "L5", "L6", "L7")
ATTEMPTS = ("U1", "U5", "U6", "U10")
REQUESTS = ("C2", "C4", "C5", "C6")
OTHERS = ("A1", "A2", "S1", "S2", "S3", "W3", "W6", "W8", "Z2", "Z6", "Z7")
STORE = ("C8", "S6", "W2", "W5", "W7", "W12")
PROMISED = (*MONEY, *DURABILITY, *LIMITS, *TWINS, *STREAMS, *ATTEMPTS, *REQUESTS, *STORE, *OTHERS)
CASE = re.compile(r"^(B([1-9]|1[0-2])|D[1-9]|L[1-7]|U([1-9]|10)|C[1-9]|I[1-6]|A([1-9]|1[01])|Z[1-8]|W([1-9]|1[0-2])|S[1-8])$")


@cache
def marks() -> dict[str, list[str]]:
    """Case id → the tests (or whole files, marked by `pytestmark`) that carry it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "mark.case" in text else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.case":
                for argument in node.args:
                    found[str(ast.literal_eval(argument))].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_every_mark_names_a_case_that_exists() -> None:
    assert {case: tests for case, tests in marks().items() if not CASE.match(case)} == {}


def test_every_case_that_this_release_promises_is_held_by_a_test() -> None:
    held = marks()
    assert [case for case in PROMISED if not held.get(case)] == []


def test_no_test_is_skipped_in_silence() -> None:
    """What a test needs is installed by `make test`, or it fails; a skip would hide that nothing was tested."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if re.search("skip|xfail", text) else ():
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if name in (
                "pytest.skip",
                "pytest.importorskip",
                "pytest.mark.skip",
                "pytest.mark.skipif",
                "pytest.mark.xfail",
                "pytest.xfail",
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {name}")
    assert wrong == []


def test_a_test_file_lies_where_it_is_looked_for() -> None:
    """`tests/<room>/test_*.py`; anything else that defines tests would never run."""
    stray = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*.py")
        if not path.name.startswith("test_") and re.search(r"^(async )?def test_", path.read_text(), re.MULTILINE)
    ]
    assert stray == []
