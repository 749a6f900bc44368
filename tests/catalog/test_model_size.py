import pytest

from backend.catalog.model_size import model_size


@pytest.mark.parametrize(
    ("model_id", "size"),
    [
        ("llama-3.1-70b-instruct", "70B"), ("qwen3-235b-a22b-thinking", "235B (22B active)"), ("mixtral-8x7b", "8x7B"),
        ("qwen-2.5-0.5b", "0.5B"), ("smollm-135m", "135M"), ("gpt-oss-120b", "120B"), ("gpt-4o-mini", "Unknown"), ("o3", "Unknown"),
        ("claude-3.5-sonnet", "Unknown"), ("gemini-1.5-flash-8b", "8B"), ("mistral-7b-v0.3", "7B"), ("bge-m3", "Unknown"),
        ("flux-1.1-pro", "Unknown"), ("gemma-3n-e4b", "Unknown"), ("text-embedding-3-small", "Unknown"), ("jamba-1.5-mini-1m", "1M"),
    ],
)  # fmt: skip
def test_what_the_name_says_of_the_size(model_id: str, size: str) -> None:
    assert model_size(model_id) == size
