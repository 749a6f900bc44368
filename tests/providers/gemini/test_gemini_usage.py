"""Google's counts in buckets that do not overlap."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.pricing.usage import Usage
from backend.providers.gemini_usage import openai_usage
from backend.providers.openai_usage import usage_from_openai


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({"promptTokenCount": 8, "candidatesTokenCount": 5, "totalTokenCount": 13}, Usage(input=8, output=5), id="plain"),
        pytest.param({"promptTokenCount": 8, "totalTokenCount": 8}, Usage(input=8), id="no word: zeros are left out"),
        pytest.param(
            {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 5, "totalTokenCount": 105},
            Usage(input=40, cache_read=60, output=5),
            id="the prompt includes what was cached",
        ),
        pytest.param(
            {"promptTokenCount": 8, "candidatesTokenCount": 5, "thoughtsTokenCount": 100, "totalTokenCount": 113},
            Usage(input=8, output=5, reasoning=100),
            id="thoughts are beside the candidates",
        ),
        pytest.param(
            {"promptTokenCount": 8, "candidatesTokenCount": 105, "thoughtsTokenCount": 100, "totalTokenCount": 113},
            Usage(input=8, output=5, reasoning=100),
            id="thoughts among the candidates, as the total tells",
        ),
        pytest.param(
            {"promptTokenCount": 8, "toolUsePromptTokenCount": 90, "candidatesTokenCount": 5, "totalTokenCount": 103},
            Usage(input=98, output=5),
            id="a tool's results are prompt",
        ),
        pytest.param(
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 50,
                "candidatesTokenCount": 30,
                "totalTokenCount": 130,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "AUDIO", "tokenCount": 80}],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
                "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 25}],
            },
            Usage(input=20, cache_read=50, audio_input=30, output=5, image_output=25),
            id="sound, half of it cached, and a picture",
        ),
    ],
)
def test_counts(metadata: Any, expected: Usage) -> None:
    assert usage_from_openai(openai_usage(metadata)) == expected


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"candidatesTokenCount": 5}, {"promptTokenCount": -1}, {"promptTokenCount": "8"}])
def test_what_does_not_count_the_prompt_counts_nothing(metadata: Any) -> None:
    assert openai_usage(metadata) is None


COUNT = st.integers(0, 10_000)


@settings(max_examples=50, deadline=None)
@given(prompt=COUNT, cached=COUNT, said=COUNT, thoughts=COUNT, tool=COUNT, heard=COUNT, drawn=COUNT)
def test_the_buckets_together_are_the_total(prompt: int, cached: int, said: int, thoughts: int, tool: int, heard: int, drawn: int) -> None:
    metadata = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": said,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tool,
        "totalTokenCount": prompt + said + thoughts + tool,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": heard}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": drawn}],
    }
    usage = usage_from_openai(openai_usage(metadata))
    assert usage is not None
    assert usage.total_input == prompt + tool
    assert usage.total_output == said + thoughts
    assert usage.reasoning == thoughts
