import math

from hypothesis import given
from hypothesis import strategies as st

from backend.matching.embedder import MOST_CHARACTERS, Embedder, Neighbours, similarity

CORPUS = ("summarise long reports", "translate a contract into French", "write Python code", "read scanned invoices")
EMBEDDER = Embedder(CORPUS)


def test_a_text_is_nearest_to_the_one_that_says_the_same() -> None:
    neighbours = Neighbours([EMBEDDER.embed(text) for text in CORPUS])
    for text, place in (("summarising a report", 0), ("contract translation to french", 1), ("python coding", 2), ("invoice scans", 3)):
        near = neighbours.similarities(EMBEDDER.embed(text))
        assert near.index(max(near)) == place, text


@given(st.text(max_size=200), st.text(max_size=200))
def test_similarity_is_symmetric_and_whole_for_the_same_text(one: str, other: str) -> None:
    a, b = EMBEDDER.embed(one), EMBEDDER.embed(other)
    assert similarity(a, b) == similarity(b, a)
    assert 0 <= similarity(a, b) <= 1
    assert not a or math.isclose(similarity(a, a), 1)


def test_the_corpus_has_no_order_and_accents_and_case_do_not_count() -> None:
    assert Embedder(reversed(CORPUS)).embed("Résumé") == EMBEDDER.embed("RESUME")


def test_nothing_comes_of_nothing_and_of_what_lies_beyond_the_bound() -> None:
    assert EMBEDDER.embed("") == EMBEDDER.embed("!!!") == {}
    long = "a " * MOST_CHARACTERS
    assert EMBEDDER.embed(long + "translate") == EMBEDDER.embed(long)


def test_known_numbers_stay_the_same_on_every_machine() -> None:
    vector = EMBEDDER.embed("code")
    assert len(vector) == 10
    assert round(similarity(vector, EMBEDDER.embed("write Python code")), 6) == round(
        similarity(EMBEDDER.embed("Write, python CODE"), vector), 6
    )
