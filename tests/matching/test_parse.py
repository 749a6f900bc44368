"""What is understood of texts: tasks, requirements, wishes, and what is said not to be wanted."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.matching import parse
from backend.matching.parse import understand
from backend.matching.taxonomy import SKILLS, TASK_BY_ID, TASKS


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("High-quality long-form summarization in English", "summarisation"),
        ("OCR of scanned invoices", "ocr"),
        ("translate contracts from German to French", "translation"),
        ("write Python functions and unit tests", "code_generation"),
        ("a friendly bot for our customers", "chat"),
        ("transcribe podcasts", "transcription"),
        ("an agent that calls tools", "agents"),
        ("generate product images", "image_generation"),
        ("embed documents for semantic search", "embeddings"),
        ("rerank our search results", "rerank"),
        ("solve olympiad problems in mathematics", "maths"),
        ("pull names and amounts out of emails as JSON fields", "extraction"),
        ("label the sentiment of reviews", "classification"),
        ("read articles aloud", "speech_generation"),
        ("a voice agent for the phone", "voice_conversation"),
        ("detect hate speech", "moderation"),
        ("analyse spreadsheets", "data_analysis"),
        ("answer questions over our internal manuals, no hallucinations", "faithfulness"),
        ("Fasse Berichte zusammen: eine Zusammenfassung je Woche", "summarisation"),
        ("give me the gist of our meetings", "summarisation"),
    ],
)
def test_a_text_is_taken_for_its_task(text: str, task: str) -> None:
    read = understand(text)
    assert read.tasks[0].task == task
    assert read.recognised
    assert 0.3 <= read.tasks[0].confidence < 1
    assert all(word in " ".join(text.casefold().split()) for found in read.tasks for word in found.words)


def test_what_nobody_understands_is_taken_for_a_conversation_and_says_so() -> None:
    read = understand("xyzzy plugh")
    assert [found.task for found in read.tasks] == ["chat"]
    assert (read.recognised, read.tasks[0].confidence) == (False, 0.0)


@pytest.mark.parametrize(
    "text", ["no translation needed, summarise emails", "summarise emails without translating them", "not a translator: summarise"]
)
def test_a_task_that_is_not_wanted_is_left_out(text: str) -> None:
    read = understand(text)
    assert [found.task for found in read.tasks] == ["summarisation"]
    assert [said.value for said in read.excluded] == ["translation"]


def test_a_negation_ends_with_its_clause() -> None:
    assert [found.task for found in understand("no nonsense, translate this").tasks] == ["translation"]
    assert understand("not only translate but also summarise").excluded == ()


def test_languages_become_requirements_and_the_verb_to_polish_is_none() -> None:
    assert understand("translate from German to Danish").languages == ("de", "da")
    assert understand("a chatbot auf Deutsch").languages == ("de",)
    assert understand("polish my English essay").languages == ("en",)
    assert understand("write in Polish").languages == ("pl",)
    assert understand("chat in Spanish, not in French").languages == ("es",)


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("a cheap chatbot", {"cost": "more"}),
        ("fast and low cost classification", {"cost": "more", "latency": "more"}),
        ("the best coder, money is no object", {"cost": "less", "quality": "more"}),
        ("not cheap, just a coder", {"cost": "less"}),
        ("sustainable summaries", {"carbon": "more"}),
        ("summaries", {}),
    ],
)
def test_wishes_are_heard(text: str, wishes: dict[str, str]) -> None:
    assert dict(understand(text).wishes) == wishes


def test_requirements_in_a_text_are_found_with_the_words_that_say_them() -> None:
    read = understand(
        "Extract fields as JSON, self-hosted, GDPR, at least 200k context, under $1.50 per million tokens, 20,000 emails per day"
    )
    assert read.capabilities == ("structured_output",)
    assert read.open_weights is True
    assert read.region == "eu"
    assert read.context_tokens == 200_000
    assert read.max_nano_per_million == 1_500_000_000
    assert read.calls_per_day == 20_000
    assert {said.kind for said in read.said} == {
        "capability",
        "openWeights",
        "region",
        "contextMin",
        "maxPricePerMillionTokens",
        "callsPerDay",
    }
    assert understand("no need for open source").open_weights is False


@given(st.text(max_size=300))
def test_any_text_is_read_and_always_the_same_way(text: str) -> None:
    read = understand(text)
    assert read.tasks
    assert all(found.task in TASK_BY_ID and 0 <= found.confidence <= 1 for found in read.tasks)
    assert understand(text) == read


def test_every_task_needs_known_things_and_its_shares_are_whole() -> None:
    from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES

    for task in TASKS:
        assert set(task.skills) <= set(SKILLS), task.id
        assert not task.skills or sum(task.skills.values()) == pytest.approx(1), task.id
        assert set(task.helpful) <= set(CAPABILITIES), task.id
        assert set(task.facets) <= set(TASK_BY_ID), task.id
        for way in task.ways:
            assert set(way.modes) <= set(MODES), task.id
            assert set(way.capabilities) <= set(CAPABILITIES), task.id
            assert {*way.modalities_in, *way.modalities_out} <= set(MODALITIES), task.id
        for example in task.examples:
            assert understand(example).tasks, (task.id, example)


def test_every_example_is_taken_for_its_own_task_or_names_it() -> None:
    missed = [
        (task.id, example)
        for task in TASKS
        for example in task.examples
        if task.id not in {found.task for found in understand(example).tasks}
    ]
    assert missed == []


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("summarise long contracts of 200k tokens", 200_000),
        ("read 150,000 tokens of minutes", 150_000),
        ("1.5 million tokens of source code", 1_500_000),
        ("answers of 500 tokens", None),
        ("20k tokens per minute", None),
        ("under $1 per 1M tokens", None),
        ("at least 200k tokens of context", None),
    ],
)
def test_a_length_is_what_is_to_be_read_and_must_fit(text: str, tokens: int | None) -> None:
    read = understand(text)
    assert read.input_tokens == tokens
    if tokens is not None:
        assert read.room == tokens
        assert ("inputTokens", str(tokens)) in [(said.kind, said.value) for said in read.said]


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("open weights under $0.5", 500_000_000),
        ("a chatbot for less than $2, please", 2_000_000_000),
        ("under $2.50 per million tokens", 2_500_000_000),
        ("under $20 a month", None),
        ("below $5/day", None),
        ("at most $1 per image", None),
        ("up to $10k", None),
        ("under $100", None),
    ],
)
def test_a_price_without_a_unit_is_one_of_a_million_tokens(text: str, nano: int | None) -> None:
    assert understand(text).max_nano_per_million == nano


class _Counting:
    """A pattern that counts the characters which it is given to look through."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self.characters = 0

    def search(self, text: str) -> re.Match[str] | None:
        self.characters += len(text)
        return self._pattern.search(text)


@pytest.mark.case("C8")
def test_a_word_said_four_hundred_times_is_looked_at_with_what_stands_beside_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    counting = _Counting(parse._BEFORE_LANGUAGE)
    monkeypatch.setattr(parse, "_BEFORE_LANGUAGE", counting)
    text = ("polish it " * 400)[: parse.MOST_CHARACTERS]
    assert understand(text).languages == ()
    assert counting.characters <= text.count("polish") * parse._BEFORE
    assert understand(f"{text[:3000]} and then write in Polish").languages == ("pl",)


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("1,000,000 calls per day", 1_000_000),
        ("2 million requests a day", 2_000_000),
        ("read scanned invoices, about 3000 a day", 3000),
        ("for at most $3000 a day", None),
        ("€1,500 per month, 24 hours a day", None),
        # Numbers as long as the text: nobody means them, and no float holds them.
        ("111," * 900 + "111 calls per day", None),
        ("999,999 million calls per minute", None),
    ],
)
def test_calls_are_no_more_than_a_workload_may_have(text: str, calls: float | None) -> None:
    assert understand(text).calls_per_day == calls
