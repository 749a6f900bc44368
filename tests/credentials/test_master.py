"""What is sealed opens in its own row under its own key, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.credentials.master import FILE, MasterKey, MasterKeys, MasterKeyWrong, Row
from backend.kernel.errors import BadRequest
from backend.settings import Settings
from tests.rig.server import AppServer

FIRST, SECOND = "first-master-key-of-at-least-32-signs", "second-master-key-of-at-least-32-signs"
ROW = Row("pky_1", "ten_a", "acme", "https://api.example.org:443")


def masters(folder: Path, **given: Any) -> MasterKeys:
    return MasterKeys(Settings.model_validate({"data_dir": str(folder), **given}))


@pytest.mark.case("S3")
@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(ROW, id="pky_2"),
        replace(ROW, tenant_id="ten_b"),
        replace(ROW, tenant_id=None),
        replace(ROW, provider="other"),
        replace(ROW, origin="https://evil.example.org:443"),
        replace(ROW, table="other_table"),
        replace(ROW, column="other_column"),
        # The parts cannot be shifted into one another.
        replace(ROW, tenant_id="ten_aprovider_key", table=""),
    ],
)
def test_in_another_place_it_does_not_open(elsewhere: Row) -> None:
    key = MasterKey(FIRST)
    sealed = key.seal("sk-secret", ROW)
    assert key.unsealed(sealed, ROW) == "sk-secret"
    assert key.unsealed(sealed, elsewhere) is None


@pytest.mark.case("S3")
def test_cut_changed_or_under_another_key_it_does_not_open() -> None:
    key = MasterKey(FIRST)
    sealed = key.seal("sk-secret", ROW)
    assert b"sk-secret" not in sealed
    assert sealed != key.seal("sk-secret", ROW)
    for length in range(len(sealed)):
        assert key.unsealed(sealed[:length], ROW) is None
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert key.unsealed(bytes(changed), ROW) is None
    assert MasterKey(SECOND).unsealed(sealed, ROW) is None
    assert MasterKey(FIRST).name == key.name != MasterKey(SECOND).name
    assert FIRST not in repr(key)


def test_two_keys_open_and_the_first_seals(tmp_path: Path) -> None:
    both = masters(tmp_path, secret_key=SECOND, secret_key_previous=FIRST)
    assert both.to_seal().name == MasterKey(SECOND).name
    assert both.known(MasterKey(FIRST).name) is not None
    assert both.known("0" * 16) is None


def test_the_key_may_be_in_a_file_or_behind_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "master"
    file.write_text(f"{FIRST}\n")
    monkeypatch.setenv("MASTER", FIRST)
    for given in ({"secret_key_file": str(file)}, {"secret_key": f"file:{file}"}, {"secret_key": "env:MASTER"}, {"secret_key": FIRST}):
        assert masters(tmp_path, **given).to_seal().name == MasterKey(FIRST).name


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"secret_key": "short"}, id="short"),
        pytest.param({"secret_key": "env:NO_SUCH_VARIABLE"}, id="not there"),
        pytest.param({"secret_key_file": "/nowhere/at/all"}, id="no file"),
        pytest.param({"secret_key": FIRST, "secret_key_previous": "short"}, id="previous short"),
        pytest.param({"secret_key": FIRST, "secret_key_file": "/x"}, id="both"),
    ],
)
def test_a_key_that_protects_nothing_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(MasterKeyWrong) as caught:
        masters(tmp_path, **given)
    assert FIRST not in str(caught.value)


def test_development_makes_its_own_when_the_first_secret_is_stored_and_production_does_not(tmp_path: Path) -> None:
    keys = masters(tmp_path)
    assert keys.first is None
    assert not (tmp_path / FILE).exists()
    made = keys.to_seal()
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert masters(tmp_path).to_seal().name == made.name
    with pytest.raises(BadRequest, match="BOURSE_SECRET_KEY"):
        masters(tmp_path, env="production").to_seal()


@pytest.mark.case("S3")
def test_a_server_with_an_unusable_master_key_does_not_start(app_server: Callable[..., AppServer]) -> None:
    with pytest.raises(RuntimeError, match="at least 32 signs") as caught:
        app_server("gateway", configuration="{}", env={"BOURSE_SECRET_KEY": "too-short-a-key"})
    assert "too-short-a-key" not in str(caught.value)
