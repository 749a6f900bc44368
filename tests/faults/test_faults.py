"""Seventeen faults of providers and their relatives, streamed and whole, four times as fast as `make faults` plays them."""

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

PACE = Pace(0.25, breakers=0.1)
UNHURRIED = {"overload": {"high": "30s", "degraded": "60s"}}
"""Providers and callers share the gateway's loop here, and would make it shed calls."""
FAULTS = {fault.name: fault for fault in ALL}
BEFORE_ANYTHING = ("broken-once", "broken", "reset-once", "silent", "late", "broken-once-alone", "reset-once-alone", "broken-both")
LIMITED_OR_AWAY = ("limited-once", "limited", "limited-once-alone", "limited-once-both", "limited-both", "away")
RECOVERED = (
    *("cut", "cut-no-prefill", "cut-anew", "cut-reset", "cut-end", "cut-first", "cut-last", "cut-prefill", "cut-last-prefill"),
    *("cut-alone-once", "cut-late-anew", "broken-then-cut", "cut-twice-alone", "stalled", "stalled-for-ever", "stalled-first"),
)
NOT_RECOVERED = ("cut-anew-declared", "cut-other-words", "cut-anew-other-words", "cut-off", "cut-alone")
MALFORMED = ("garbled", "garbled-lost", "no-done")
REFUSED = ("too-long", "policy")
ACCOUNTS = ("accounts", "cut-twice", "cut-twice-prefill")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Mapping[str, Played]:
    """All of them, played at once."""
    return asyncio.run(_played(tmp_path_factory.mktemp("faults"), _sqlite_template))


async def _played(folder: Path, template: Path) -> Mapping[str, Played]:
    url = sqlite_url(Path(shutil.copy(template, folder / "bourse.db")))
    async with Providers() as providers:
        stage = await set_up(ALL, providers, PACE)
        file = folder / "bourse.yaml"
        file.write_text(yaml.safe_dump(configuration(stage, PACE) | UNHURRIED))
        async with open_gateway(file, folder, url) as gateway:
            await play(stage, gateway.url, PACE)
            await gateway.runtime.metering.flush()
    witness = Witness(url)
    read_ledger(stage, witness)
    witness.close()
    return {played.name: played for played in stage}


def well(stage: Mapping[str, Played], name: str) -> None:
    """However the caller asked for it."""
    played = {mode: stage[f"{name}-{mode}"] for mode in FAULTS[name].modes}
    assert {mode: wrong for mode, one in played.items() if (wrong := complaints(one, PACE))} == {}


@pytest.mark.case("U1")
@pytest.mark.parametrize("name", BEFORE_ANYTHING)
def test_a_provider_that_does_not_begin_costs_the_caller_nothing(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


@pytest.mark.case("U5")
@pytest.mark.parametrize("name", LIMITED_OR_AWAY)
def test_a_provider_that_is_limited_or_away_is_left_alone_until_it_is_back(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


@pytest.mark.case("U3")
@pytest.mark.parametrize("name", RECOVERED)
def test_an_answer_that_breaks_off_is_gone_on_with(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


@pytest.mark.case("U2")
@pytest.mark.case("U3")
@pytest.mark.parametrize("name", NOT_RECOVERED)
def test_where_nobody_can_go_on_there_is_one_error_and_no_mixture(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


@pytest.mark.case("U4")
@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_survived(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_told_or_taken_where_it_can_help(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


@pytest.mark.case("B10")
@pytest.mark.parametrize("name", ACCOUNTS)
def test_each_attempt_is_billed_and_the_caller_pays_for_one_answer(stage: Mapping[str, Played], name: str) -> None:
    well(stage, name)


def test_every_fault_is_judged_once() -> None:
    groups = (BEFORE_ANYTHING, LIMITED_OR_AWAY, RECOVERED, NOT_RECOVERED, MALFORMED, REFUSED, ACCOUNTS)
    assert sorted(name for group in groups for name in group) == sorted(FAULTS)
