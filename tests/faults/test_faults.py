"""Seventeen faults of providers and their relatives, streamed and whole, ten times as fast as `make faults` plays them."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.budgets.witness import Witness
from tests.faults.provider import Providers
from tests.faults.scripts import ALL, Pace
from tests.faults.stage import Played, configuration, play, read_ledger, set_up
from tests.faults.verdict import complaints
from tests.gateway.conftest import open_gateway
from tests.rig.schema import sqlite_url

PACE = Pace(0.1)
NAMES = [f"{fault.name}-{mode}" for fault in ALL for mode in fault.modes]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Mapping[str, Played]:
    """All of them, played at once."""
    return asyncio.run(_played(tmp_path_factory.mktemp("faults"), _sqlite_template))


async def _played(folder: Path, template: Path) -> Mapping[str, Played]:
    url = sqlite_url(Path(shutil.copy(template, folder / "bourse.db")))
    async with Providers() as providers:
        stage = await set_up(ALL, providers, PACE)
        file = folder / "bourse.yaml"
        file.write_text(yaml.safe_dump(configuration(stage, PACE)))
        async with open_gateway(file, folder, url) as gateway:
            await play(stage, gateway.url, PACE)
            await gateway.runtime.metering.flush()
    witness = Witness(url)
    read_ledger(stage, witness)
    witness.close()
    return {played.name: played for played in stage}


@pytest.mark.case("U3")
@pytest.mark.parametrize("name", NAMES)
def test_the_caller_gets_the_whole_answer_or_one_clear_error(stage: Mapping[str, Played], name: str) -> None:
    assert complaints(stage[name], PACE) == []
