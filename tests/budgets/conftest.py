"""Budgets on both databases."""

from collections.abc import Iterator

import pytest

from tests.budgets.witness import Witness


@pytest.fixture
def witness(database_url: str) -> Iterator[Witness]:
    """Reads this test's database past the code under test."""
    opened = Witness(database_url)
    yield opened
    opened.close()
