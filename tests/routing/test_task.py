"""What kind of work a call is, told by rules: how often they are right, and that they read any body."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.routing.task import TASKS, task_of
from tests.routing.labelled_tasks import HELD_OUT, SEEN


def user(text: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def accuracy(labelled: tuple[tuple[str, str], ...]) -> float:
    return sum(task_of(user(text)) == label for label, text in labelled) / len(labelled)


def test_the_rules_are_right_about_what_they_were_made_with() -> None:
    assert accuracy(SEEN) == 1.0


def test_the_rules_are_mostly_right_about_what_they_were_not_made_with() -> None:
    """The figure in docs/routing.md."""
    assert sum(task_of(user(text)) == label for label, text in HELD_OUT) == 48
    assert len(HELD_OUT) == 56


def test_tools_and_length_go_before_words() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    assert task_of(user("Translate this into French: hello", tools=[tool])) == "tools"
    assert task_of(user("Translate this into French: hello", tools=[tool], tool_choice="none")) == "translate"
    assert task_of(user("Translate this into French: " + "hello " * 20_000)) == "long-context"


def test_only_what_the_user_said_last_and_the_system_prompt_count() -> None:
    said = [
        {"role": "system", "content": "You are a translator. Translate everything into French."},
        {"role": "user", "content": "Write a poem about the sea."},
        {"role": "assistant", "content": "```python\nimport os\n```"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "Good morning."}]},
    ]
    assert task_of({"messages": said}) == "translate"
    assert task_of({"messages": said[1:]}) == "chat"


contents = st.sampled_from([None, 5, {}, [], [[]], [{"text": "x"}], {"type": "text"}]) | st.text(max_size=40)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["user", "system", "tool"]), contents), min_size=1, max_size=3))
def test_any_body_that_the_gateway_takes_has_a_class_and_always_the_same(said: list[tuple[str, Any]]) -> None:
    body = {"messages": [{"role": role, "content": content} for role, content in said]}
    assert task_of(body) in TASKS
    assert task_of(body) == task_of(body)


@pytest.mark.parametrize("part", [None, "x", 7, {"type": "text"}, {"type": "text", "text": 5}])
def test_a_part_of_no_known_form_is_passed_over(part: object) -> None:
    assert task_of(user([part, {"type": "text", "text": "Translate into French: hello"}])) == "translate"
