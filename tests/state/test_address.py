"""What the addresses of all pages have in common: whatever somebody writes there, the page opens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.address import fields_of, query_string, values_of, whole_number
from state.changes_address import read_wanted as read_changes
from state.compare_address import read_question
from state.ingestion_address import read_wanted as read_ingestion
from state.match_address import read_wanted as read_match
from state.playground_address import read_trial
from state.prompt_address import read_asked
from state.store_address import read_address

PAGES = [read_address, read_question, read_match, read_asked, read_trial, read_changes, read_ingestion]
# Half characters have no place in an address, and a browser sends none.
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=8))
def test_fields_come_back_and_empty_ones_are_left_out(fields: dict[str, str]) -> None:
    assert fields_of(query_string(fields)) == {name: value for name, value in fields.items() if value}


def test_the_last_value_counts_where_there_is_one_and_all_where_there_are_several() -> None:
    assert fields_of("?a=1&a=2&b=") == {"a": "2"}
    assert values_of("a=1&a=2&b=") == {"a": ["1", "2"]}
    assert query_string({"q": ""}) == ""
    assert query_string({"by": "openai,x/y:free", "q": "a b&c"}) == "?by=openai,x/y:free&q=a%20b%26c"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("query", ["&".join(f"f{n}=1" for n in range(60)), "?" + "a" * 5000, "%ff=%00&models=%ff,%00&task=%F0%9F"])
def test_no_address_is_too_strange_to_open(page: object, query: str) -> None:
    assert callable(page)
    page(query)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0), ("1,000", 1000), (" 128 K ", 128_000), ("2m", 2_000_000), ("5000000", 5_000_000), ("5000001", None), ("6m", None),
        ("", None), ("k", None), ("-1", None), ("1.5", None), ("1e3", None), ("٣", None), ("9" * 40, None),
    ],
)  # fmt: skip
def test_a_number_is_read_as_people_write_it(text: str, number: int | None) -> None:
    assert whole_number(text, 5_000_000) == number
