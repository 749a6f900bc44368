from hypothesis import given
from hypothesis import strategies as st

from state.prompt_address import CALLS, EXAMPLES, MOST_TOKENS, NEEDS, ROWS, SORTS, TASKS, TIERS, Asked, read_asked, with_tick, write_asked

ASKED = st.builds(
    Asked,
    task=st.sampled_from(list(TASKS)),
    output=st.none() | st.integers(0, MOST_TOKENS),
    needs=st.frozensets(st.sampled_from(list(NEEDS))),
    tiers=st.frozensets(st.sampled_from(list(TIERS))),
    sort=st.sampled_from(SORTS),
    calls=st.sampled_from(CALLS),
    rows=st.sampled_from(ROWS),
    cut=st.text(max_size=40).map(str.strip),
    example=st.sampled_from(["", *EXAMPLES]),
)


@given(ASKED)
def test_the_address_brings_back_all_that_can_be_asked(asked: Asked) -> None:
    assert read_asked(write_asked(asked)) == asked


@given(st.text(max_size=80))
def test_any_address_is_read(text: str) -> None:
    asked = read_asked(text)
    assert read_asked(write_asked(asked)) == asked
    asked.question("x")


def test_what_is_no_choice_is_left_out() -> None:
    assert read_asked("?task=sing&output=-1&needs=wings&tiers=gold&sort=x&calls=7&rows=9999&example=mine&prompt=secret") == Asked()
    assert write_asked(Asked()) == ""


def test_a_tick_is_taken_back_by_another() -> None:
    once = with_tick(Asked(), "needs", "tools")
    assert once.needs == {"tools"}
    assert with_tick(once, "needs", "tools") == Asked()
