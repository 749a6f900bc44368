import pytest

from backend.catalog.headline import headline
from backend.catalog.schemas import StoreQuery

USD = 10**9


def said(query: StoreQuery, total: int = 187) -> str:
    return headline(query, total, str.title, 12)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (StoreQuery(), "187 models from 12 providers"),
        (StoreQuery(modalities_in=frozenset({"image"}), capabilities=frozenset({"tools"}), input_max=USD),
         "187 models take images, call tools and cost at most $1 per million tokens in"),
        (StoreQuery(input_min=USD // 2, input_max=USD, output_max=2 * USD),
         "187 models cost $0.50 to $1 per million tokens in and at most $2 per million tokens out"),
        (StoreQuery(modes=frozenset({"embedding"}), open_weights=True), "187 open-weight embedding models from 12 providers"),
        (StoreQuery(statuses=frozenset({"active", "preview"})), "187 active or preview models from 12 providers"),
        (StoreQuery(statuses=frozenset({"active", "preview"}), open_weights=False),
         "187 active or preview closed models from 12 providers"),
        (StoreQuery(providers=frozenset({"groq", "azure"})), "187 models are sold by Azure or Groq"),
        (StoreQuery(providers=frozenset("abcd")), "187 models are sold by one of 4 providers"),
        (StoreQuery(context_min=128_000, search="gpt"), "187 models match “gpt” and hold at least 128k tokens"),
        (StoreQuery(languages=frozenset({"de", "fi"}), min_score=60.0),
         "187 models speak Finnish and German and score at least 60 overall"),
        (StoreQuery(benchmark="mmlu-5-shot", min_score=72.5), "187 models score at least 72.5 on mmlu-5-shot"),
        (StoreQuery(modes=frozenset({"chat", "rerank"})), "187 chat models or rerankers from 12 providers"),
    ],
)  # fmt: skip
def test_a_sentence_says_what_is_asked(query: StoreQuery, sentence: str) -> None:
    assert said(query) == sentence


def test_one_and_none_are_grammatical() -> None:
    query = StoreQuery(capabilities=frozenset({"tools", "web_search"}), providers=frozenset({"groq"}))
    assert said(query, 1) == "1 model calls tools, searches the web and is sold by Groq"
    assert said(query, 0) == "No models call tools, search the web and are sold by Groq"
    query = StoreQuery(benchmark="mmlu", languages=frozenset({"de"}))
    assert headline(query, 1, str, 1, "MMLU") == "1 model speaks German and was measured on MMLU"
    assert said(StoreQuery(), 2967) == "2,967 models from 12 providers"
