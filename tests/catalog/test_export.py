"""Tables that a spreadsheet may open: what is in them comes back, and nothing in them runs."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backend.catalog.export import as_csv

CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)


def back(cell: str) -> str:
    return cell[1:] if cell.startswith("'") else cell


@pytest.mark.case("W5")
@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
@example(rows=[["=1+1", "+1"], ["-1", "@SUM(A1)"], ["\t=1", "\r=1"], ['say "hi"', "a;b,c\nd"], ["'=1", "＝1"]])
def test_every_value_comes_back_and_none_is_a_formula(rows: list[list[str]]) -> None:
    written = as_csv(("one", "two"), rows).decode()
    read = list(csv.reader(io.StringIO(written, newline=""), strict=True))
    assert read[0] == ["one", "two"]
    assert [[back(cell) for cell in row] for row in read[1:]] == rows
    assert not [cell for row in read[1:] for cell in row if cell[:1] in tuple("=+-@\t\r\n＝＋－＠")]


@pytest.mark.case("W5")
def test_it_is_rfc_4180() -> None:
    assert as_csv(("a", "b"), [["x,y", 'q"q'], [None, -1.5]]) == b'a,b\r\n"x,y","q""q"\r\n,-1.5\r\n'
