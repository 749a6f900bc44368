"""Cursors: opaque, of one query, and true to the list when models come and go between two pages."""

import base64
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.catalog import cursor
from backend.catalog.index import StoreIndex
from backend.catalog.index_source import IndexSource
from backend.catalog.schemas import Evidence, StoreQuery
from backend.kernel.errors import BadRequest


class Row:
    """A model as the database has it, as far as an index looks."""

    creator = family = context_tokens = max_output_tokens = release_date = open_weights = None
    mode, status, hidden = "chat", "active", False
    capabilities: tuple[str, ...] = ()
    modalities_in = modalities_out = ("text",)
    languages: tuple[str, ...] = ()

    def __init__(self, model_id: str) -> None:
        self.id = self.name = model_id


def index_of(names: list[str]) -> StoreIndex:
    source = IndexSource()
    for name in names:
        source.add_model(Row(name))
    return StoreIndex.build(source, date(2026, 7, 15))


QUERY = StoreQuery(sort="name", limit=3)
NAMES = [f"m{n:02}" for n in range(10)]


@given(gone=st.sets(st.sampled_from(NAMES), max_size=6), come=st.sets(st.sampled_from(["a0", "m005", "m025", "z9"])))
def test_what_stays_is_shown_exactly_once_whatever_comes_and_goes_between_pages(gone: set[str], come: set[str]) -> None:
    first = index_of(NAMES).search(QUERY)
    shown = [item.id for item in first.items]
    query = cursor.continued(QUERY, cursor.following(QUERY, shown, 3))
    later = index_of(sorted((set(NAMES) - gone) | come))
    seen = list(shown)
    while True:
        page = later.search(query)
        seen += [item.id for item in page.items]
        if not page.items or page.offset + len(page.items) >= page.total:
            break
        query = cursor.continued(QUERY, cursor.following(QUERY, [item.id for item in page.items], page.offset + len(page.items)))
    stayed = [name for name in NAMES if name not in gone]
    if set(shown) - gone:  # otherwise nothing of the page is left to go by, and it goes on by number
        assert [name for name in seen if name in stayed or name in shown] == shown + [name for name in stayed if name not in shown]
    assert len(seen) == len(set(seen)) or not set(shown) - gone


@given(text=st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_nothing_but_a_cursor_of_ours_is_one(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        cursor.continued(QUERY, text)
    assert refused.value.param == "cursor"


def test_a_cursor_is_of_its_query_and_cannot_be_moved() -> None:
    given_out = cursor.following(QUERY, ["a", "b"], 3)
    assert cursor.continued(StoreQuery(sort="name", limit=50), given_out).after == ("a", "b")
    for other in (StoreQuery(), StoreQuery(sort="name", descending=True), StoreQuery(sort="name", providers=frozenset({"openai"}))):
        with pytest.raises(BadRequest):
            cursor.continued(other, given_out)
    check, *_ = cursor.decode_cursor(given_out, str, int, list)
    with pytest.raises(BadRequest):
        cursor.continued(QUERY, cursor.encode_cursor(check, 4, ["a", "b"]))


@pytest.mark.parametrize("last", [[["x"]], [1], [None], [{}], [["x"] * 4], ["x"] * 5])
def test_a_cursor_that_somebody_made_up_names_models_or_nothing(last: list[str]) -> None:
    made_up = cursor.encode_cursor(cursor._check(QUERY, 3, last), 3, last)
    with pytest.raises(BadRequest):
        cursor.continued(QUERY, made_up)


def test_models_are_sorted_by_what_they_scored_and_filtered_by_it() -> None:
    index = index_of(["a", "b", "c", "d"])
    evidence = Evidence({"b": 90.0, "d": 40.0, "a": 60.0}, {"c": ("pt-BR", "de")})
    assert [m.id for m in index.search(StoreQuery(sort="score"), evidence).items] == ["b", "a", "d", "c"]
    assert [m.id for m in index.search(StoreQuery(sort="score", descending=True), evidence).items] == ["d", "a", "b", "c"]
    assert {m.id for m in index.search(StoreQuery(min_score=60), evidence).items} == {"a", "b"}
    assert {m.id for m in index.search(StoreQuery(benchmark="x"), evidence).items} == {"a", "b", "d"}
    for tags, found in (({"pt"}, ["c"]), ({"PT-br", "de"}, ["c"]), ({"pt-PT"}, []), ({"fr"}, [])):
        assert [m.id for m in index.search(StoreQuery(languages=frozenset(tags)), evidence).items] == found
    facet = index.search(StoreQuery(), evidence).facets["language"]
    assert [(value.value, value.label, value.count) for value in facet] == [
        ("de", "German", 1), ("pt", "Portuguese", 1), ("pt-br", "Portuguese (br)", 1),
    ]  # fmt: skip
