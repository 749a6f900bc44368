"""What names say of sizes, and what they do not."""

import pytest

from backend.carbon.sizes import size_in_name

SAID = {
    "llama-3.3-70b-instruct": (70, 70),
    "qwen3-235b-a22b-instruct-2507": (235, 22),
    "qwen2p5-coder-0p5b": (0.5, 0.5),
    "wizardlm-2-8x22b": (140.6, 39.1),
    "llama-3.1-405b": (405, 405),
    "llama-4-scout-17b-16e-instruct": (109, 17),
    "deepseek-r1-0528": (671, 37),
    "deepseek-r1-distill-llama-70b": (70, 70),
    "deepseek-r1-0528-qwen3-8b": (8, 8),
    "kimi-k2-instruct-0905": (1000, 32),
}
SILENT = (
    "gpt-4o",
    "kimi-k2.7-code",
    "phi-4-mini-instruct",
    "snowflake-arctic-480b",
    "ring-2.6-1t",
    "gemma-3n-e4b",
    "llama-4-17b-16e",
    "8bit",
)


@pytest.mark.parametrize("model", SAID)
def test_the_size_in_a_name_or_on_a_model_card(model: str) -> None:
    size = size_in_name(model)
    assert size is not None
    assert (size.total_low, size.active_low) == SAID[model]
    assert (size.total_high, size.active_high) == SAID[model]


@pytest.mark.parametrize("model", SILENT)
def test_what_is_not_said_is_not_guessed(model: str) -> None:
    assert size_in_name(model) is None


def test_sizes_for_people() -> None:
    labels = [size.label for model in ("llama-3.3-70b", "qwen3-235b-a22b") if (size := size_in_name(model))]
    assert labels == ["70B", "235B (22B active)"]
