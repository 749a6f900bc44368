"""`docs/providers.md` says what the tests prove, no more and no less."""

import pytest

from tests.architecture.source import ROOT
from tests.matrix import ABILITIES, PROVIDERS, Proof, proofs, proofs_in, table, table_of_the_page


def test_the_table_is_what_the_marked_tests_prove() -> None:
    found = proofs()
    assert table_of_the_page() == table(found), "python -m tests.matrix --write"
    assert {proof.provider for proof in found} == set(PROVIDERS)
    assert {proof.ability for proof in found} == set(ABILITIES)


def test_a_mark_is_read_from_its_test() -> None:
    text = '@pytest.mark.provides("openai", "chat", "usage")\nasync def test_x(gateway):\n    pass\n'
    assert list(proofs_in(text, "t.py")) == [Proof("openai", "chat", "t.py::test_x"), Proof("openai", "usage", "t.py::test_x")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('@pytest.mark.provides("nobody", "chat")\ndef test_x(): pass\n', "nobody"),
        ('@pytest.mark.provides("openai", "flight")\ndef test_x(): pass\n', "flight"),
        ('@pytest.mark.provides("openai")\ndef test_x(): pass\n', "none named"),
        ('@pytest.mark.provides("anthropic", "chat", "audio")\ndef test_x(): pass\n', "does not offer audio"),
        ('@pytest.mark.skip\n@pytest.mark.provides("openai", "chat")\ndef test_x(): pass\n', "not always run"),
        ('@pytest.mark.provides("openai", "chat")\n@pytest.mark.skipif(True, reason="")\ndef test_x(): pass\n', "not always run"),
        ('pytestmark = pytest.mark.provides("openai", "chat")\ndef test_x(): pass\n', "no decorator"),
    ],
)
def test_a_mark_that_proves_nothing_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(proofs_in(text, "t.py"))


def test_a_cell_says_proven_not_offered_or_nothing() -> None:
    rows = {row.split("`")[1]: row.split("|")[2:-1] for row in table([Proof("anthropic", "chat", "t")]).splitlines()[2:]}
    cells = dict(zip(ABILITIES, (cell.strip() for cell in rows["anthropic"]), strict=True))
    assert (cells["chat"], cells["stream"], cells["audio"]) == ("✓", "", "–")
    assert not any("–" in cell for cell in rows["openai"])


def test_the_page_of_every_provider_is_named() -> None:
    text = (ROOT / "docs" / "providers.md").read_text()
    pages = {name for name in PROVIDERS if (ROOT / "docs" / f"{name}.md").exists()}
    assert {name for name in pages if f"({name}.md)" not in text} == set()
