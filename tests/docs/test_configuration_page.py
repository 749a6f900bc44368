"""`docs/configuration.md` and `bourse.example.yaml` say exactly what `backend/settings.py` has."""

import re

from backend.configuration import load_settings, not_yet_alive
from backend.settings import LATER, Settings
from tests.architecture.source import ROOT
from tests.docs.settings_tree import every_setting

PAGE = (ROOT / "docs" / "configuration.md").read_text()
ROW = re.compile(r"^\| `([^`]+)` \| `([^`]*)` \| `([^`]+)` \| (.+) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str, str]]:
    return {path: (default, variable, meaning) for path, default, variable, meaning in ROW.findall(PAGE)}


def test_every_setting_has_a_row_and_every_row_a_setting() -> None:
    assert set(rows()) == {setting.path for setting in every_setting()}


def test_defaults_and_variables_are_the_true_ones() -> None:
    described = {path: (default, variable) for path, (default, variable, _) in rows().items()}
    assert described == {setting.path: (setting.default, setting.variable) for setting in every_setting()}


def test_every_meaning_is_a_sentence() -> None:
    assert [path for path, (_, _, meaning) in rows().items() if not (meaning.endswith(".") and len(meaning) > 10)] == []


def test_what_comes_to_life_later_is_marked_so() -> None:
    unmarked = []
    for later in LATER:
        below = [path for path in rows() if (path.replace("[]", "").replace(".NAME", "") + ".").startswith(later + ".")]
        assert below, f"{later} is no setting"
        unmarked += [path for path in below if "Later" not in rows()[path][2]]
    assert unmarked == []


def test_the_example_file_is_valid_and_shows_every_section() -> None:
    settings = load_settings({"BOURSE_CONFIG": str(ROOT / "bourse.example.yaml")})
    assert settings.model_fields_set == set(Settings.model_fields)
    for name in Settings.model_fields:
        if name not in ("providers", "models"):
            assert getattr(settings, name) == getattr(Settings(), name), f"{name} in the example is not the default"
    assert not_yet_alive(settings) == []


def test_the_example_says_later_where_it_is_later() -> None:
    text = (ROOT / "bourse.example.yaml").read_text()
    for line in text.splitlines():
        for later in LATER:
            name = later.rpartition(".")[2]
            below = r"\s+" if "." in later else ""  # a setting of a section is indented
            if re.match(rf"^{below}-?\s*{name}:", line):
                assert "later" in line, line
