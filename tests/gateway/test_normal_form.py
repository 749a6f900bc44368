"""The bound of a text's length in NFKC holds for every text, and costs linear time for those that are made to be slow."""

import sys
import unicodedata
from functools import cache

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.gateway import normal_form
from backend.gateway.normal_form import added_bytes, normalized_bytes
from backend.gateway.token_bound import token_bound
from backend.gateway.token_families import family_of


@cache
def composed() -> list[str]:
    return [sign for sign in map(chr, range(sys.maxunicode + 1)) if unicodedata.decomposition(sign)]


@cache
def marks() -> list[str]:
    return [sign for sign in map(chr, range(sys.maxunicode + 1)) if unicodedata.combining(sign)]


HANGUL = st.characters(min_codepoint=0x1100, max_codepoint=0x11FF) | st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
MIXED = st.deferred(
    lambda: st.lists(st.sampled_from(composed()) | st.sampled_from(marks()) | HANGUL | st.sampled_from("aeou -"), max_size=12).map("".join)
)


def in_form(text: str) -> int:
    return len(unicodedata.normalize("NFKC", text).encode())


def test_no_single_character_is_longer_than_its_bound() -> None:
    added = added_bytes()
    assert [sign for sign in composed() if in_form(sign) > len(sign.encode()) + added.get(sign, 0)] == []


def test_putting_two_characters_together_never_makes_them_longer() -> None:
    pairs = [(sign, unicodedata.decomposition(sign)) for sign in composed()]
    parts = [(sign, "".join(chr(int(code, 16)) for code in pair.split())) for sign, pair in pairs if not pair.startswith("<")]
    together = [(sign, part) for sign, part in parts if len(part) == 2 and unicodedata.normalize("NFC", part) == sign]
    assert len(together) > 900
    assert [sign for sign, part in together if len(sign.encode()) > len(part.encode())] == []


def test_characters_one_by_one_in_the_short_form_would_be_no_bound() -> None:
    text = "\u00e9\u0323"
    assert in_form(text) > sum(map(in_form, text))
    assert normalized_bytes(text) >= in_form(text)


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=MIXED)
def test_no_text_is_longer_than_its_bound_in_either_form(text: str) -> None:
    assert normalized_bytes(text) >= max(len(text.encode()), in_form(text))


def test_many_different_characters_are_added_up_as_few_are() -> None:
    text = "".join(composed()) + "a" * 100
    added = added_bytes()
    assert normalized_bytes(text) == len(text.encode()) + sum(added.values()) >= in_form(text)


def test_what_is_longer_than_a_mebibyte_is_bounded_by_the_most_that_any_text_grows() -> None:
    assert max((len(sign.encode()) + added) / len(sign.encode()) for sign, added in added_bytes().items()) <= normal_form._MOST_GROWTH
    assert normalized_bytes("\ufdfa" * 400_000) == 33 * 400_000


def test_bytes_alone_that_fill_the_context_are_looked_at_no_further() -> None:
    """Nothing here is timed: with time beyond linear this test would not end. 19 MB of marks took hours, 320 KB 26 s."""
    for text in ("a" + "\u0301\u0323" * 4_700_000, "\ufdfa" * 6_000_000, "\u1112\u1161\u11ab" * 2_000_000):
        body = {"messages": [{"role": "user", "content": text}]}
        for model in ("claude-sonnet-4", "gpt-4o"):
            assert token_bound(body, family_of(model), 128_000) == 128_000
            assert token_bound(body, family_of(model)) >= len(text.encode())


def test_marks_within_a_large_context_are_measured_in_linear_time() -> None:
    text = "a" + "\u0301\u0323" * 200_000
    body = {"messages": [{"role": "user", "content": text}]}
    assert 800_000 < token_bound(body, family_of("claude-sonnet-4"), 1_000_000) < 900_000
