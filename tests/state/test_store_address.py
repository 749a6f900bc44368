"""The address of the store says everything that is asked, and nothing in it can break the page."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.catalog.schemas import StoreQuery
from state.store_address import ORDERS, PAGE_ROWS, VIEWS, Asked, read_address, write_address

_text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60).map(str.strip)
_words = st.frozensets(_text.map(lambda text: text.replace(",", "")[:20].strip()).filter(bool), max_size=5)
_dollars = st.none() | st.integers(0, 10**15)
_queries = st.builds(
    StoreQuery,
    search=_text,
    modalities_in=_words,
    modalities_out=_words,
    capabilities=_words,
    providers=_words,
    modes=_words,
    statuses=_words,
    open_weights=st.sampled_from([None, True, False]),
    input_min=_dollars,
    input_max=_dollars,
    output_min=_dollars,
    output_max=_dollars,
    context_min=st.none() | st.integers(1, 10**9),
    languages=st.frozensets(st.sampled_from(["de", "fi", "pt-br", "zz"])),
    min_score=st.none() | st.integers(1, 10_000).map(lambda score: score / 100),
    benchmark=st.sampled_from(["", "llm-stats-mmlu-score", "no such one"]),
    sort=st.sampled_from(ORDERS),
    descending=st.booleans(),
    offset=st.integers(0, 500).map(lambda page: page * PAGE_ROWS),
    limit=st.just(PAGE_ROWS),
)


@given(st.builds(Asked, query=_queries, view=st.sampled_from(VIEWS)))
def test_whatever_is_asked_comes_back_from_its_address(asked: Asked) -> None:
    assert read_address(write_address(asked)) == asked


@given(st.text(max_size=300))
def test_any_text_in_the_address_opens_some_page_whose_own_address_is_stable(text: str) -> None:
    asked = read_address(text)
    assert read_address(write_address(asked)) == asked
    assert asked.query.limit == PAGE_ROWS


def test_nothing_asked_is_the_bare_address() -> None:
    assert write_address(Asked()) == ""
    assert read_address("") == Asked()


def test_the_address_of_the_issue_reads_as_people_would_write_it() -> None:
    asked = read_address("?can=tools,vision&price_in=-1&context=128000")
    assert asked.query.capabilities == {"tools", "vision"}
    assert (asked.query.input_min, asked.query.input_max) == (None, 1_000_000_000)
    assert asked.query.context_min == 128_000
    assert write_address(asked) == "?can=tools,vision&price_in=-1&context=128000"


@pytest.mark.parametrize(
    "mangled",
    [
        "price_in=a-b",
        "price_in=-1e999999",
        "context=-5",
        "context=٣",
        "page=0",
        "page=-1",
        "sort=drop",
        "view=x",
        "open=maybe",
        "min_score=0",
        "min_score=101",
        "min_score=-1",
        "min_score=nan",
        "min_score=1e1",
    ],
)
def test_what_is_not_understood_is_left_out(mangled: str) -> None:
    assert read_address(mangled) == Asked()


def test_toggling_twice_changes_nothing_and_any_change_returns_to_the_first_page() -> None:
    asked = read_address("?can=tools&page=3")
    once = asked.toggled("by", "openai")
    assert once.query.providers == {"openai"}
    assert once.query.offset == 0
    assert once.toggled("by", "openai").query == asked.with_query().query
    assert asked.toggled("no-such-filter", "x") is asked


def test_every_field_of_a_query_is_in_the_address() -> None:
    """A new filter of the service must not be forgotten in the address."""
    covered = {"search", "modalities_in", "modalities_out", "capabilities", "providers", "modes", "statuses", "open_weights", "input_min",
               "input_max", "output_min", "output_max", "context_min", "languages", "min_score", "benchmark", "sort", "descending",
               "offset", "limit"}  # fmt: skip
    for_programs = {"after"}
    assert {field.name for field in fields(StoreQuery)} == covered | for_programs


def test_a_language_is_the_same_however_it_is_written() -> None:
    asked = read_address("language=DE,pt-BR")
    assert asked.query.languages == {"de", "pt-br"}
    assert asked.toggled("language", "pt-BR").query.languages == {"de"}
    assert asked.filters == 2
    assert read_address("language=de&min_score=60&benchmark=x").filters == 3


def test_a_filter_cannot_be_made_endless() -> None:
    asked = read_address("can=" + ",".join(f"x{n}" for n in range(1000)))
    assert len(asked.query.capabilities) == 40
    assert len(asked.toggled("can", "one-more").query.capabilities) == 40
