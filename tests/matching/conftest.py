import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from backend.audit.service import AuditService
from backend.benchmarks.service import BenchmarkService
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.matching.ask import Question
from backend.matching.columns import Columns
from backend.matching.schemas import MatchIn
from backend.matching.service import Match, MatchingService
from tests.rig.schema import sqlite_url
from tests.rig.store import Store, store_in_memory


@pytest.fixture(scope="session")
def store(catalog_file: Path) -> Store:
    """Everything that ships with Bourse."""
    return store_in_memory(catalog_file)


@pytest.fixture(scope="session")
def matching(catalog_file: Path, store: Store) -> MatchingService:
    """Over all of it, with the benchmarks and without anything measured here; its columns are built."""

    async def build(copy: Path) -> MatchingService:
        db = Database.open(sqlite_url(copy), EventBus())
        benchmarks = BenchmarkService(db, store.clock, AuditService(store.clock))
        service = MatchingService(db, store.clock, store.catalog, store.prices, benchmarks=benchmarks, configured=lambda: {"openai"})
        await service.columns()
        await db.close()
        return service

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(build(Path(shutil.copy(catalog_file, folder))))


@pytest.fixture(scope="session")
def columns(matching: MatchingService) -> Columns:
    return asyncio.run(matching.columns())


class Asking:
    """`ask("write Python", constraints={"openWeights": True})`: what matching answers, fields as in `POST /match`."""

    def __init__(self, service: MatchingService) -> None:
        self._service = service

    def __call__(self, text: str = "", **fields: Any) -> Match:
        return self.question(MatchIn.model_validate({"taskDescription": text, **fields}).question())

    def question(self, question: Question) -> Match:
        return asyncio.run(self._service.match(question))


@pytest.fixture(scope="session")
def ask(matching: MatchingService) -> Asking:
    return Asking(matching)
