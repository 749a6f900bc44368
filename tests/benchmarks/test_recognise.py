"""A wrong match is worse than none."""

import pytest

from backend.benchmarks.recognise import Recognised, Recogniser

MODELS = [
    "gpt-4o", "gpt-4o-2024-05-13", "gpt-4o-2024-08-06", "gpt-4-turbo", "gpt-5", "gpt-5.1-codex", "o3", "o4-mini", "o4-mini-high",
    "claude-opus-4-5",
    "claude-opus-4", "claude-3-opus", "qwen3-32b", "qwen3-14b", "qwen3-next-80b-a3b", "llama-3.1-8b", "llama-3.1-8b-instruct", "gemma-7b",
    "mistral", "mistral-medium-2505", "command-r-08-2024", "command-r-plus-08-2024", "command-r-plus", "chatgpt-4o-latest", "nova-2-lite",
    "gemini-2.5-pro-preview-06-05", "gemini-3-pro-preview", "deepgram-enhanced", "snowflake-arctic", "deepseek-v3.2-exp", "vicuna-7b-v1.5",
    "mistral-large-2407",
]  # fmt: skip
OFFERS = [
    ("openai/gpt-4-turbo-2024-04-09", "gpt-4-turbo-2024-04-09", "gpt-4-turbo"),
    ("openai/gpt-5-2025-08-07", "gpt-5-2025-08-07", "gpt-5"),
    ("openai/o3-2025-04-16", "o3-2025-04-16", "o3"),
    ("openai/o4-mini-2025-04-16", "o4-mini-2025-04-16", "o4-mini"),
    ("anthropic/claude-opus-4-5-20251101", "claude-opus-4-5-20251101", "claude-opus-4-5"),
    ("anthropic/claude-opus-4-20250514", "claude-opus-4-20250514", "claude-opus-4"),
    ("anthropic/claude-3-opus-20240229", "claude-3-opus-20240229", "claude-3-opus"),
    ("deepgram/enhanced", "enhanced", "deepgram-enhanced"),
]
PUBLISHED = ("google/gemma-7b", "google/gemma-7b-it")


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser.build([(name, name) for name in MODELS], OFFERS, [], PUBLISHED)


@pytest.mark.parametrize(
    ("published", "model", "variant"),
    [
        ("GPT-4o", "gpt-4o", ""),
        ("openai/gpt-4o-2024-08-06", "gpt-4o-2024-08-06", ""),
        ("GPT 4o (Aug 2024)", "gpt-4o-2024-08-06", ""),
        ("claude-3-opus (Mar 2024)", "claude-3-opus", ""),
        ("GPT-5-2025-08-07 (FC)", "gpt-5", ""),
        ("openai/gpt-5-high-2025-08-07", "gpt-5", "high"),
        ("claude-opus-4-5-20251101-thinking-64k-high-effort", "claude-opus-4-5", "thinking-64k-high"),
        ("claude-4-opus-20250514-base", "claude-opus-4", ""),
        ("o3-2025-04-16-medium", "o3", "medium"),
        ("o4-mini-high", "o4-mini-high", ""),
        ("openai/o4-mini-high-2025-04-16", "o4-mini", "high"),
        ("qwen3-32b-thinking", "qwen3-32b", "thinking"),
        ("Qwen3-32B* (32B)", "qwen3-32b", ""),
        ("Qwen3-32B whole with VLLM, bfloat16, recommended /no_think settings", "qwen3-32b", ""),
        ("Command R+ (08-24)", "command-r-plus-08-2024", ""),
        ("Command-R-0824 (32B)", "command-r-08-2024", ""),
        ("Amazon-Nova-2-Lite-v1:0 (FC)", "nova-2-lite", ""),
        ("gemini-2.5-pro-06-05-highthinking", "gemini-2.5-pro-preview-06-05", "high"),
        ("gemini-3-pro-preview-11-2025-high", "gemini-3-pro-preview", "high"),
        ("Gemini 3.0 Pro", "gemini-3-pro-preview", ""),
        ("Mistral Large 2 (2407)", "mistral-large-2407", ""),
        ("snowflake/snowflake-arctic-instruct", "snowflake-arctic", ""),
        ("DeepSeek-V3.2-Exp (Reasoner)", "deepseek-v3.2-exp", ""),
    ],
)
def test_a_published_name_is_one_model_and_a_way_to_ask_it(recogniser: Recogniser, published: str, model: str, variant: str) -> None:
    assert recogniser.recognise(published) == Recognised(model, variant)


@pytest.mark.parametrize(
    "published",
    [
        "gpt-4o-2024-11-20",
        "GPT-4-Turbo (Nov 2023)",
        "gpt-5.1-codex-max",
        "mistral-medium",
        "qwen3-next-80b-a3b-thinking",
        "vicuna-7b-v1.5-16k",
        "chatgpt-4o-latest (2025-03-29)",
        "speechmatics/enhanced",
        "DeepSeek R1 + claude-3-5-sonnet-20241022",
        "o3 (high) + gpt-4.1",
        "ollama/qwen3-32b",
        "Qwen3-32B whole with llama.cpp, Q5_K_M (unsloth), recommended /no_think settings",
        "nobody's model",
    ],
)
def test_what_could_be_another_model_is_none(recogniser: Recogniser, published: str) -> None:
    assert recogniser.recognise(published).model_id is None


def test_a_base_model_is_not_the_instruct_model_sold_under_its_name(recogniser: Recogniser) -> None:
    assert recogniser.recognise("meta-llama/Llama-3.1-8B", lists_bases=True).model_id is None
    assert recogniser.recognise("meta-llama/Llama-3.1-8B-Instruct", lists_bases=True).model_id == "llama-3.1-8b-instruct"
    assert recogniser.recognise("google/gemma-7b", lists_bases=True).model_id is None
    assert recogniser.recognise("google/gemma-7b-it", lists_bases=True).model_id is None
    assert recogniser.recognise("Qwen/Qwen3-14B", lists_bases=True).model_id == "qwen3-14b"


def test_an_id_beside_the_name_says_more_than_the_name(recogniser: Recogniser) -> None:
    assert recogniser.recognise("GPT-4o", "gpt-4o-2024-05-13").model_id == "gpt-4o-2024-05-13"
    assert recogniser.recognise("GPT-4o", "gpt-4o-2024-11-20").model_id is None
    assert recogniser.recognise("Llama 3.1 8B Instruct", "llama-3.1-8b").model_id == "llama-3.1-8b"


def test_what_is_said_beside_the_name_is_not_said_twice(recogniser: Recogniser) -> None:
    assert recogniser.recognise("o3-2025-04-16-high", None, "high").variant == "high"


def test_a_name_of_two_models_is_of_none() -> None:
    recogniser = Recogniser.build([("a-1", "Thing One"), ("b-2", "Thing One")], [], [("other", "model", "a-1")])
    assert recogniser.recognise("Thing One").model_id is None
    assert recogniser.recognise("other").model_id == "a-1"
