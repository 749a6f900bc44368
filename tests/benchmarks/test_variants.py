import pytest

from backend.benchmarks.variants import spelled, split_variant, suffix_variant


@pytest.mark.parametrize(
    ("published", "dataset", "notes", "expected"),
    [
        ("Claude-Opus-4-5-20251101 (FC)", "BFCL", "", ("Claude-Opus-4-5-20251101", "fc")),
        ("DeepSeek-V3.2-Exp (Prompt + Thinking)", "BFCL", "", ("DeepSeek-V3.2-Exp", "prompt thinking")),
        ("Qwen/Qwen3-8B#no-thinking", "EuroEval", "", ("Qwen/Qwen3-8B", "no-thinking")),
        ("openai/gpt-oss-20b#high (zero-shot, val)", "EuroEval", "", ("openai/gpt-oss-20b", "high")),
        ("claude-sonnet-4-20250514 (32k thinking)", "aider", "", ("claude-sonnet-4-20250514", "thinking-32k")),
        ("gpt-4-turbo-2024-04-09 (udiff)", "aider", "", ("gpt-4-turbo-2024-04-09", "")),
        ("DeepSeek V3 (0324)", "aider", "", ("DeepSeek V3 (0324)", "")),
        ("Qwen3 235B A22B diff, no think, Alibaba API", "aider", "", ("Qwen3 235B A22B", "no-thinking")),
        ("GPT-5.2", "tau2-bench", "reasoning_effort=high; user_simulator=gpt-5.2", ("GPT-5.2", "high")),
        ("GPT-4.1", "tau2-bench", "reasoning_effort=None; user_simulator=gpt-4.1-2025-04-14", ("GPT-4.1", "")),
        ("GLM-5", "tau2-bench", "reasoning_effort=enabled; user_simulator=gpt-5.2", ("GLM-5", "thinking")),
        ("GPT-5.4", "models.dev", "model_id=openai/gpt-5.4; Codex xhigh", ("GPT-5.4", "xhigh")),
        ("Qwen2 (72B)", "NVIDIA/RULER", "", ("Qwen2 (72B)", "")),
        ("Qwen3-32B* (32B)", "NVIDIA/RULER", "", ("Qwen3-32B", "")),
    ],
)
def test_what_is_set_off_from_a_name_is_its_variant(published: str, dataset: str, notes: str, expected: tuple[str, str]) -> None:
    assert split_variant(published, dataset, notes) == expected


@pytest.mark.parametrize(
    "name", ["kimi-k2-thinking", "mistral-medium", "qwen-max", "gpt-5.1-codex-max", "vicuna-7b-v1.5-16k", "o3", "grok-4"]
)
def test_words_of_a_models_own_name_are_no_variant(name: str) -> None:
    assert suffix_variant(name) is None


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("High-Effort", "high"),
        ("no think", "no-thinking"),
        ("32k thinking tokens", "thinking-32k"),
        ("nothinking", "no-thinking"),
        ("FC", "fc"),
    ],
)
def test_a_variant_has_one_spelling(variant: str, expected: str) -> None:
    assert spelled(variant) == expected
