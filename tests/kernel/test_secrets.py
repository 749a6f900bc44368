"""References to secrets: resolved late, never shown."""

from pathlib import Path

import pytest

from backend.kernel.secrets import SecretRef, SecretUnavailable


def test_a_variable_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretRef("env:ACME_KEY")
    with pytest.raises(SecretUnavailable, match="env:ACME_KEY"):
        reference.resolve()
    monkeypatch.setenv("ACME_KEY", "s3cret")
    assert reference.resolve() == "s3cret"


def test_a_variable_loses_the_newline_that_a_shell_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "s3cret\n")
    assert SecretRef("env:ACME_KEY").resolve() == "s3cret"


def test_a_file_is_read_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    assert SecretRef(f"file:{tmp_path / 'key'}").resolve() == "s3cret"


@pytest.mark.parametrize("text", ["file:/nowhere/at/all", "env:NOT_SET_ANYWHERE", "vault:kv/acme#key", "env:", "file:"])
def test_what_cannot_be_resolved_says_which_reference(text: str) -> None:
    with pytest.raises(SecretUnavailable, match=text.split("#", maxsplit=1)[0]):
        SecretRef(text).resolve()


def test_an_empty_file_holds_no_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    with pytest.raises(SecretUnavailable):
        SecretRef(f"file:{tmp_path / 'key'}").resolve()


@pytest.mark.case("S1")
def test_a_literal_never_shows_itself() -> None:
    reference = SecretRef("sk-very-secret")
    assert reference.resolve() == "sk-very-secret"
    for shown in (repr(reference), str(reference), f"{reference}", f"{[reference]!r}", reference.place):
        assert "very-secret" not in shown
