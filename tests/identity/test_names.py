import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.identity.names import canonical_email, canonical_name, canonical_slug
from backend.kernel.errors import BadRequest


@pytest.mark.case("W7")
@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        (" ann@example.org\n", "ann@example.org"),
        ("ａｎｎ@ｅｘａｍｐｌｅ.org", "ann@example.org"),
        ("STRASSE@example.org", "strasse@example.org"),
        ("straße@example.org", "strasse@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"),
        ("ops@localhost", "ops@localhost"),
        ("a.b+c@example.org", "a.b+c@example.org"),
    ],
)
def test_spellings_of_one_address_have_one_form(typed: str, canonical: str) -> None:
    assert canonical_email(typed) == canonical


@pytest.mark.case("W7")
@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            "ann",
            "@example.org",
            "ann@",
            "a b@example.org",
            "ann@exa mple.org",
            "ann@example..org",
            "a\x00@example.org",
            "ann@-x.example",
        ),
        *(
            "a\u200d@example.org",
            "x" * 65 + "@example.org",
            "ann@" + "x" * 64 + ".org",
            "a@b@example.org",
            "ann@[127.0.0.1]",
            "\udcff@example.org",
        ),
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(BadRequest):
        canonical_email(typed)


@given(st.text(max_size=80))
def test_the_canonical_form_of_anything_is_stable_or_it_is_refused(text: str) -> None:
    for canonical in (canonical_email, canonical_name, canonical_slug):
        try:
            once = canonical(text)
        except BadRequest:
            continue
        assert canonical(once) == once


@pytest.mark.case("W7")
@pytest.mark.parametrize("typed", ["", ".", "..", "a/b", "-a", "a b", "é", "a" * 64, "a\x00", "ａ/"])
def test_a_slug_is_plain(typed: str) -> None:
    with pytest.raises(BadRequest):
        canonical_slug(typed)


@pytest.mark.case("W7")
@pytest.mark.parametrize("typed", ["", "  ", "a\x00b", "a\u202eb", "a\u200bb", "x" * 256, "\x1b[31mred"])
def test_a_name_is_visible(typed: str) -> None:
    with pytest.raises(BadRequest):
        canonical_name(typed)


def test_a_name_keeps_its_letters_and_loses_its_spare_blanks() -> None:
    assert canonical_name("  Zoë's\tTeam 🚀 ") == "Zoë's Team 🚀"
    assert canonical_name("e\u0301") == "é"
    assert len(canonical_name("x" * 255)) == 255
