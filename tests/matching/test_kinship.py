import pytest

from backend.matching.kinship import kin


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o", "gpt-4o-batch"),
        ("claude-sonnet-4-5", "claude-sonnet-4.5-batch"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929-thinking"),
        ("gpt-4o", "ft-gpt-4o-2024-11-20"),
        ("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025"),
        ("qwen3-235b-a22b", "qwen3-235b-a22b-instruct-2507"),
        ("gemini-2.0-flash", "gemini-2.0-flash-001"),
    ],
)
def test_guises_of_one_model_are_kin(one: str, other: str) -> None:
    assert kin(one) == kin(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o", "gpt-4"),
        ("claude-opus-4-5", "claude-opus-4-6"),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
        ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct"),
        ("phi-4", "phi-3"),
        ("o1", "o3"),
    ],
)
def test_different_models_are_not(one: str, other: str) -> None:
    assert kin(one) != kin(other)


def test_a_name_that_is_all_suffix_stays_a_name() -> None:
    assert kin("preview") == "preview"
    assert kin("-latest")
