"""Ids: a prefix that names the kind, unique, sorted by creation."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.kernel.ids import PREFIXES, _ulid, new_id

milliseconds = st.integers(min_value=0, max_value=2**48 - 1)
randomness = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize("kind", sorted(PREFIXES))
def test_an_id_says_its_kind_and_fits_its_column(kind: str) -> None:
    assert re.fullmatch(rf"{PREFIXES[kind]}_[0-9a-hjkmnp-tv-z]{{26}}", new_id(kind))
    assert len(new_id(kind)) <= 40


def test_no_two_kinds_share_a_prefix() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)


def test_ids_made_in_a_row_differ() -> None:
    assert len({new_id("request") for _ in range(10_000)}) == 10_000


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        new_id("thing")


@given(milliseconds, milliseconds, randomness, randomness)
def test_a_later_millisecond_sorts_later_whatever_the_random_bits(first: int, second: int, some: bytes, other: bytes) -> None:
    if first < second:
        assert _ulid(first, some) < _ulid(second, other)


@given(milliseconds, randomness, randomness)
def test_different_random_bits_give_different_ids(when: int, some: bytes, other: bytes) -> None:
    same = all(one % 32 == two % 32 for one, two in zip(some, other, strict=True))
    assert (_ulid(when, some) == _ulid(when, other)) == same
