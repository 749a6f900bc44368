from pathlib import Path

import pytest

from backend.carbon.service import CarbonService
from tests.rig.store import store_in_memory


@pytest.fixture(scope="session")
def carbon(catalog_file: Path) -> CarbonService:
    """Over everything that ships with Bourse."""
    return CarbonService(store_in_memory(catalog_file).catalog, "WOR")
