import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest
from backend.kernel.paging import clamp_limit, decode_cursor, encode_cursor


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**53), 2**53) | st.none(), min_size=1, max_size=4))
def test_a_cursor_leads_back_to_its_place(position: list[object]) -> None:
    cursor = encode_cursor(*position)
    assert decode_cursor(cursor, len(position)) == position
    assert cursor.isascii()
    assert "=" not in cursor


@given(st.text(max_size=60))
def test_any_other_word_is_a_bad_request(cursor: str) -> None:
    try:
        assert len(decode_cursor(cursor, 2)) == 2
    except BadRequest as refusal:
        assert refusal.param == "cursor"  # noqa: PT017 - the rare word that is a cursor is right too


@pytest.mark.parametrize(("asked", "given_"), [(-5, 1), (0, 1), (1, 1), (50, 50), (200, 200), (10**9, 200)])
def test_a_page_holds_between_1_and_200(asked: int, given_: int) -> None:
    assert clamp_limit(asked) == given_
