import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.errors import BadRequest
from backend.kernel.paging import clamp_limit, decode_cursor, encode_cursor


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
        | st.integers(-(2**53), 2**53)
        | st.lists(st.integers(0, 9)),
        min_size=1,
        max_size=4,
    )
)
def test_a_cursor_leads_back_to_its_place(position: list[object]) -> None:
    cursor = encode_cursor(*position)
    assert decode_cursor(cursor, *map(type, position)) == position
    assert cursor.isascii()
    assert "=" not in cursor


@given(st.text(max_size=60))
def test_any_other_word_is_a_bad_request(cursor: str) -> None:
    try:
        assert len(decode_cursor(cursor, str, int)) == 2
    except BadRequest as refusal:
        assert refusal.param == "cursor"  # noqa: PT017 - the rare word that is a cursor is right too


@pytest.mark.parametrize(
    "position", [["x", True], ["x", 1.5], ["x", "1"], ["x\x00", 1], ["x", 2**63], [None, 1], [["x"], 1], ["x"], ["x", 1, 1]]
)
def test_a_cursor_that_somebody_made_up_brings_nothing_of_another_kind(position: list[object]) -> None:
    with pytest.raises(BadRequest):
        decode_cursor(encode_cursor(*position), str, int)


@pytest.mark.parametrize(("asked", "given_"), [(-5, 1), (0, 1), (1, 1), (50, 50), (200, 200), (10**9, 200)])
def test_a_page_holds_between_1_and_200(asked: int, given_: int) -> None:
    assert clamp_limit(asked) == given_
