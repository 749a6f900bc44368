import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.catalog.names import bare_name, canonical, fold, model_key, slug, split_date


@pytest.mark.case("W7")
@given(st.text(max_size=300))
def test_a_canonical_name_is_its_own_canonical_form_or_refused(name: str) -> None:
    try:
        once = canonical(name)
    except ValueError:
        return
    assert canonical(once) == once
    assert unicodedata.is_normalized("NFKC", once)
    assert 0 < len(once) <= 255
    assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in once)


@pytest.mark.case("W7")
@given(st.text(min_size=1, max_size=60))
def test_every_spelling_of_a_name_has_one_canonical_form(name: str) -> None:
    try:
        plain = canonical(name)
    except ValueError:
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert canonical(unicodedata.normalize(form, name)) == plain
    assert canonical(f"  {name}\u200d\u202e ") == plain


@pytest.mark.case("W7")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GPT-4o", "gpt-4o"),
        ("Straße", "strasse"),
        ("ﬁne", "fine"),
        ("a\u200db", "ab"),
        ("\u202eabc", "abc"),
        ("..", ".."),
        ("CON", "con"),
        ("🦙", "🦙"),
    ],
)
def test_canonical_forms_are_these(name: str, expected: str) -> None:
    assert canonical(name) == expected


@pytest.mark.case("W7")
@pytest.mark.parametrize("name", ["", "   ", "\u200d", "a\x00b", "x" * 256])
def test_names_that_say_nothing_or_too_much_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a name cannot"):
        canonical(name)


def test_255_characters_are_a_name() -> None:
    assert canonical("x" * 255) == "x" * 255


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bedrock/us-east-1/anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001"),
        ("claude-4-sonnet-20250514", "claude-sonnet-4-20250514"),
        ("meta-llama/Llama-3.1-8B-Instruct:free", "accounts/fireworks/models/llama-v3p1-8b-instruct"),
        ("meta.llama3-1-70b-instruct-v1:0", "Meta-Llama-3.1-70B-Instruct"),
        ("accounts/fireworks/models/qwen2p5-coder-7b-instruct", "Qwen/Qwen2.5-Coder-7B-Instruct"),
        ("openai.gpt-oss-120b-1:0", "openai/gpt-oss-120b"),
        ("deepseek-ai/deepseek-v3.1-maas", "deepseek/DeepSeek-V3.1"),
        ("Qwen/Qwen3-32B-FP8", "qwen3-32b"),
        ("gpt-35-turbo", "gpt-3.5-turbo"),
        ("databricks-claude-sonnet-4", "anthropic/claude-sonnet-4"),
        ("claude-sonnet-4-0", "anthropic/claude-sonnet-4"),
        ("google/gemini-pro-1.5", "gemini-1.5-pro"),
        ("amazon.nova-lite-v1:0:300k", "nova-lite"),
        ("Qwen/Qwen3-30B-A3B:novita", "qwen3-30b-a3b"),
    ],
)
def test_packaging_and_spelling_do_not_make_another_model(one: str, other: str) -> None:
    assert model_key(one) == model_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o", "gpt-4"),
        ("gpt-4o", "gpt-4o-mini"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
        ("qwen2.5-7b", "qwen2-57b"),
        ("deepseek-v3", "deepseek-v3.1"),
        ("kimi-k2", "kimi-k2-thinking"),
        ("gpt-5.4-low", "gpt-5.4-high"),
        ("claude-v2:1", "claude-v2"),
        ("llama-3.1-8b", "llama-3.1-8b-instruct"),
        ("openai/gpt-image-2/edit", "openai/gpt-image-2"),
        ("llama2:70b", "llama2:7b"),
    ],
)
def test_size_version_effort_and_date_do(one: str, other: str) -> None:
    assert model_key(one) != model_key(other)


def test_a_name_that_says_nothing_belongs_to_its_seller() -> None:
    assert model_key("search", "tavily") != model_key("search", "serper")
    assert model_key("gpt-4o", "azure") == model_key("gpt-4o", "openai")


def test_a_maker_stays_where_nothing_else_is_left() -> None:
    assert bare_name("deepseek.r1-v1:0") == "deepseek-r1"


@given(st.text(min_size=1, max_size=80))
def test_keys_never_fail_and_are_stable(upstream_id: str) -> None:
    key = model_key(upstream_id, "acme")
    assert key
    assert "/" not in key


@given(st.text(max_size=80))
def test_a_slug_is_safe_in_an_address(text: str) -> None:
    try:
        made = slug(text)
    except ValueError:
        return
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert slug(made) == made
    assert ".." not in made


def test_search_text_loses_case_and_accents() -> None:
    assert fold("  Qwén  ÉTÉ ") == "qwen ete"


def test_dates_are_split_off_only_at_the_end_and_only_real_ones() -> None:
    assert split_date("gpt-4-o-2024-08-06") == ("gpt-4-o", "2024-08-06")
    assert split_date("claude-sonnet-4-20250514") == ("claude-sonnet-4", "2025-05-14")
    assert split_date("mistral-large-2411") == ("mistral-large-2411", None)
    assert split_date("m-2024-13-40") == ("m-2024-13-40", None)
