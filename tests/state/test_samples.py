"""The code that a model's page and the first call show: what stands in it is what was meant, whatever a name or a prompt holds."""

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.prompt_address import Asked
from state.prompt_rows import curl
from state.samples import curl_sample, in_quotes, literal

HOSTILE = ["it's", "a'; rm -rf / #", '"', "\\", "$(date)", "{origin}", "Zoë's"]


def sent(code: str) -> dict[str, object]:
    """The body that a shell would send."""
    words = shlex.split(code.replace("\\\n", " "))
    told: dict[str, object] = json.loads(words[words.index("-d") + 1])
    return told


@pytest.mark.parametrize("text", HOSTILE)
def test_neither_a_name_nor_a_prompt_leaves_its_quotes(text: str) -> None:
    (first,) = curl_sample(text, demo=True)
    assert sent(first["code"])["model"] == text
    (price,) = curl(Asked(), text)
    assert sent(price["code"])["prompt"] == text
    assert price["code"].count("{origin}") == 1, "the only one that becomes an address"


@given(st.text(st.characters(exclude_characters="\r"), max_size=40))
def test_a_literal_between_quotes_comes_back(text: str) -> None:
    assert json.loads(shlex.split(f"'{in_quotes(literal(text))}'")[0]) == text


def test_only_who_may_see_the_demo_key_is_shown_it() -> None:
    assert "sk-demo" in curl_sample("m", demo=True)[0]["code"]
    assert "sk-demo" not in curl_sample("m", demo=False)[0]["code"]
