"""The comparison's address and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.workload import Workload
from state.compare_address import MOST_CALLS, MOST_MODELS, MOST_TOKENS, Question, read_question, write_question

_NAMES = st.text(st.characters(codec="utf-8", exclude_characters=",", exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
_QUESTIONS = st.builds(
    Question,
    models=st.lists(_NAMES.map(str.strip).filter(bool), max_size=MOST_MODELS, unique=True).map(tuple),
    input_tokens=st.integers(0, MOST_TOKENS),
    output_tokens=st.integers(0, MOST_TOKENS),
    calls_per_day=st.integers(0, MOST_CALLS),
    cache_percent=st.integers(0, 100),
    differences=st.booleans(),
    skill=st.sampled_from(["", "coding", "maths"]),
)


@given(_QUESTIONS)
def test_every_question_survives_its_address(question: Question) -> None:
    assert read_question(write_question(question)) == question


@given(st.text(max_size=300))
def test_whatever_stands_in_an_address_opens_and_can_be_priced(text: str) -> None:
    question = read_question(text)
    assert len(question.models) <= MOST_MODELS
    assert question.workload({"chat"}).usage.total_input == question.input_tokens


def test_an_address_reads_as_it_is_written_by_hand() -> None:
    question = read_question("?models=gpt-4o, gpt-4o-mini,gpt-4o&input=1200&calls=5000&cache=0.25&differences=yes")
    assert question == Question(("gpt-4o", "gpt-4o-mini"), 1200, 500, 5000, 25, differences=True)
    assert write_question(question) == "?models=gpt-4o,gpt-4o-mini&input=1200&calls=5000&cache=0.25&differences=yes"
    assert write_question(Question()) == ""


@pytest.mark.parametrize("query", ["input=-1", "input=1e9", f"output={MOST_TOKENS + 1}", "calls=x", "cache=1.5", "cache=nan", "cache=-0.1"])
def test_what_makes_no_sense_is_left_out(query: str) -> None:
    assert read_question(query) == Question()


def test_a_seventh_model_and_one_that_is_there_change_nothing() -> None:
    six = read_question("models=a,b,c,d,e,f,g")
    assert six.models == ("a", "b", "c", "d", "e", "f")
    assert six.with_model("h") == six
    assert six.without_model("c").with_model("a").models == ("a", "b", "d", "e", "f")


def test_work_is_what_is_usual_for_the_one_kind_of_model_but_for_what_was_typed() -> None:
    picture = read_question("models=a&calls=10").workload({"image_generation"})
    assert (picture.images, picture.input_tokens, picture.output_tokens, picture.calls_per_day) == (1, 100, 0, 10)
    assert read_question("models=a&input=70").workload({"image_generation"}).input_tokens == 70
    assert read_question("models=a,b").workload({"image_generation", "chat"}) == Workload()
