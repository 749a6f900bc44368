"""Budgets on both databases."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.budgets.holders import Holder
from tests.budgets.witness import Witness


@pytest.fixture
def sqlite_witness(sqlite_database_url: str) -> Iterator[Witness]:
    opened = Witness(sqlite_database_url)
    yield opened
    opened.close()


@pytest.fixture
def postgres_witness(postgres_url: str) -> Iterator[Witness]:
    opened = Witness(postgres_url)
    yield opened
    opened.close()


@pytest.fixture
def start_holders(tmp_path: Path) -> Iterator[Callable[..., list[Holder]]]:
    """`start_holders(url, 4)`: that many processes with a till each, ready; ended after the test. Replicas have folders of their own."""
    started: list[Holder] = []

    def start(url: str, count: int, *, data_dirs: list[Path] | None = None) -> list[Holder]:
        folders = data_dirs or [tmp_path / f"holder-{len(started) + number}" for number in range(count)]
        new = [Holder(url, folder) for folder in folders]
        started.extend(new)
        for holder in new:
            assert holder.answer() == {"ready": True}
        return new

    yield start
    for holder in started:
        holder.close()
