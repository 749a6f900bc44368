import pytest

from state.sign_in import PROBLEMS, next_path, problem_text


def test_only_our_own_sentences_are_ever_shown() -> None:
    assert problem_text("") == ""
    assert problem_text("problem=sign_in_failed&next=/usage") == PROBLEMS["sign_in_failed"]
    assert problem_text("problem=Call+0900+and+give+your+password") == "That did not work. Try again."


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", "/usage"),
        ("next=/models/a?x=1", "/models/a?x=1"),
        ("next=%2F%2Fevil.example", "/"),
        ("next=https://evil.example", "/"),
        ("next=/sign-in?next=/sign-in", "/usage"),
        ("next=/setup", "/usage"),
    ],
)
def test_after_signing_in_one_goes_on_within_the_site(query: str, path: str) -> None:
    assert next_path(query, "/usage") == path
