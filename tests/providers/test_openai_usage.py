"""OpenAI-shaped usage into disjoint buckets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.pricing.usage import Usage
from backend.providers.openai_usage import usage_from_openai, usage_to_openai

COUNT = st.one_of(st.integers(-5, 3_000_000_000), st.none(), st.floats(allow_nan=True), st.text(max_size=3), st.booleans(), st.just({}))


@pytest.mark.parametrize(
    ("given_usage", "expected"),
    [
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5}, Usage(input=10, output=5), id="plain"),
        pytest.param(
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 5},
            },
            Usage(input=30, cache_read=60, audio_input=10, output=25, reasoning=20, audio_output=5),
            id="openai with everything",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None, "completion_tokens_details": None},
            Usage(input=9, output=1),
            id="details null",
        ),
        pytest.param({"prompt_tokens": 0, "completion_tokens": 0}, Usage(), id="explicit 0"),
        pytest.param({"prompt_tokens": 7, "total_tokens": 7}, Usage(input=7), id="no completion: an embedding"),
        pytest.param(
            {"prompt_tokens": 12, "completion_tokens": 3, "prompt_cache_hit_tokens": 8},
            Usage(input=4, cache_read=8, output=3),
            id="deepseek",
        ),
        pytest.param(
            {"prompt_tokens": 12, "completion_tokens": 3, "cached_tokens": 8}, Usage(input=4, cache_read=8, output=3), id="moonshot"
        ),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 6}},
            Usage(input=9, cache_read=5, cache_write=6, output=3),
            id="openrouter cache writes",
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 9}},
            Usage(input=5, reasoning=5),
            id="details beyond the whole",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 1345,
                "total_tokens": 1355,
                "completion_tokens_details": {"reasoning_tokens": 225, "text_tokens": 0, "image_tokens": 1120},
            },
            Usage(input=10, reasoning=225, image_output=1120),
            id="gemini draws",
        ),
        pytest.param(
            {
                "prompt_tokens": 12,
                "completion_tokens": 2,
                "total_tokens": 331,
                "completion_tokens_details": {"reasoning_tokens": 317},
            },
            Usage(input=12, output=2, reasoning=317),
            id="xai: reasoning beside the completion",
        ),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
            Usage(input=20, output=198, reasoning=405),
            id="gemini: unnamed",
        ),
        pytest.param(
            {"prompt_tokens": 21, "completion_tokens": 0, "total_tokens": 81, "completion_tokens_details": {"reasoning_tokens": 60}},
            Usage(input=21, reasoning=60),
            id="gemini: nothing but thoughts",
        ),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 70, "completion_tokens_details": {"reasoning_tokens": 30}},
            Usage(input=20, output=20, reasoning=30),
            id="a total that adds up",
        ),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 10}},
            Usage(input=20, output=30, reasoning=50),
            id="part of the reasoning within, part beside",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 75, "prompt_tokens_details": {"cached_tokens": 60}},
            Usage(input=10, cache_read=60, output=5),
            id="cached tokens beside the prompt",
        ),
        pytest.param({"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 5}, Usage(input=20, output=9), id="a total too small"),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": None, "total_tokens": 623}, Usage(input=20, output=603), id="null beside a total"
        ),
        pytest.param({"prompt_tokens": None, "completion_tokens": 23, "total_tokens": 623}, Usage(input=600, output=23), id="no prompt"),
        pytest.param({"prompt_tokens": 20, "completion_tokens": None}, None, id="null is not counted"),
        pytest.param({"prompt_tokens": 20, "completion_tokens": -7, "total_tokens": 13}, None, id="negative is not counted"),
        pytest.param({"prompt_tokens": 20, "completion_tokens": 2**31}, None, id="nonsense is not counted"),
        pytest.param(
            {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 2**31}, Usage(input=20, output=5), id="a nonsense total"
        ),
        pytest.param({"prompt_tokens": 5.0, "completion_tokens": 2.0}, Usage(input=5, output=2), id="floats that are whole"),
        pytest.param({"prompt_tokens": "5", "completion_tokens": -2}, None, id="nothing readable"),
        pytest.param({}, None, id="empty"),
        pytest.param(None, None, id="null"),
        pytest.param([1], None, id="a list"),
    ],
)
def test_shapes_of_providers(given_usage: Any, expected: Usage | None) -> None:
    assert usage_from_openai(given_usage) == expected


@given(
    prompt=COUNT,
    completion=COUNT,
    prompt_details=st.one_of(
        st.none(), st.dictionaries(st.sampled_from(["cached_tokens", "audio_tokens", "cache_write_tokens", "cache_write_1h_tokens"]), COUNT)
    ),
    completion_details=st.one_of(st.none(), st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens", "image_tokens"]), COUNT)),
    total=COUNT,
)
def test_buckets_are_never_negative_and_add_up_to_the_whole(
    prompt: Any, completion: Any, prompt_details: Any, completion_details: Any, total: Any
) -> None:
    shape = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    usage = usage_from_openai({**shape, "prompt_tokens_details": prompt_details, "completion_tokens_details": completion_details})
    if usage is None:
        return
    whole = usage_from_openai(shape)
    assert whole is not None
    assert usage.total_input + usage.total_output == whole.total_input + whole.total_output
    assert usage.total_input >= whole.total_input
    assert (
        min(
            usage.input,
            usage.cache_read,
            usage.cache_write,
            usage.cache_write_1h,
            usage.audio_input,
            usage.output,
            usage.reasoning,
            usage.audio_output,
            usage.image_output,
        )
        >= 0
    )
    assert usage.total_input < 2**31


@given(st.tuples(*[st.integers(0, 10_000)] * 9))
def test_our_own_rendering_reads_back(counts: tuple[int, ...]) -> None:
    usage = Usage(*counts[:8], image_output=counts[8])
    shown = usage_to_openai(usage)
    assert shown["total_tokens"] == usage.total_input + usage.total_output
    assert usage_from_openai(shown) == usage
