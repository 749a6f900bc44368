from collections.abc import Mapping
from pathlib import Path

import pytest

from backend.catalog.measured import Mmlu
from backend.prompt_prices.service import PromptPrices
from tests.rig.store import Store, store_in_memory


@pytest.fixture(scope="session")
def store(catalog_file: Path) -> Store:
    """Everything that ships with Bourse."""
    return store_in_memory(catalog_file)


async def mmlu() -> Mapping[str, Mmlu]:
    return {"gpt-4o-mini": Mmlu(82.0, "openai-simple-evals-mmlu-accuracy")}


@pytest.fixture(scope="session")
def prompt_prices(store: Store) -> PromptPrices:
    return PromptPrices(store.catalog, store.prices, store.clock, mmlu)
