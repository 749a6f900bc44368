from hypothesis import given
from hypothesis import strategies as st

from backend.matching.parse import MOST_CHARACTERS
from state.match_address import FIRST, NEEDS, STEPS, Wanted, read_wanted, with_form, write_wanted

TEXTS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=80).map(str.strip)
WANTED = st.builds(
    Wanted,
    step=st.sampled_from(STEPS),
    text=TEXTS.filter(bool),
    price=st.sampled_from(["", "0", "0.25", "20", "100000"]),
    context=st.integers(0, 10_000_000),
    needs=st.frozensets(st.sampled_from(sorted(NEEDS))),
    open_weights=st.sampled_from(["", "yes", "no"]),
    here=st.booleans(),
    first=st.sampled_from(sorted(FIRST)),
    input_tokens=st.none() | st.integers(0, 10_000_000),
    output_tokens=st.none() | st.integers(0, 10_000_000),
    calls_per_day=st.none() | st.integers(0, 1_000_000_000),
)


@given(WANTED)
def test_both_ways_round_agree(wanted: Wanted) -> None:
    assert read_wanted(write_wanted(wanted)) == wanted


@given(st.text(max_size=200))
def test_any_text_is_an_address(text: str) -> None:
    wanted = read_wanted(text)
    assert wanted.step == "task" or wanted.text
    assert wanted.question.limit == 10


def test_nothing_is_answered_before_a_task_is_named() -> None:
    assert read_wanted("?step=answer&price=20").step == "task"


def test_a_question_says_the_same() -> None:
    question = read_wanted(
        "?step=answer&task=read+invoices&price=$2.5&context=128,000&needs=image,tools,nonsense&open=yes&here=1&first=cost"
    ).question
    asked = question.constraints
    assert (question.text, asked.max_blended_nano, asked.context_min) == ("read invoices", 2_500_000_000, 128_000)
    assert (asked.modalities_in, asked.capabilities) == ({"image"}, {"tools"})
    assert (asked.open_weights, asked.configured_only) == (True, True)
    assert dict(question.preferences.weights)["cost"] == 0.7


def test_amounts_that_make_no_sense_are_left_out() -> None:
    for price in ("abc", "-1", "1e400", "NaN", "9" * 30, "100001", "0.1234567890123456789012"):
        assert with_form(Wanted(), {"price": price}).price == "", price
    assert with_form(Wanted(), {"calls": "9" * 12}).calls_per_day is None
    assert with_form(Wanted(), {"input": "many"}).input_tokens is None
    assert len(read_wanted("?task=" + "x" * 9000).text) == MOST_CHARACTERS
