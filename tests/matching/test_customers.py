"""What somebody who pays for the answer would not let pass, asked of everything that ships with Bourse."""

import pytest

from backend.matching.bodies import match_body
from backend.matching.explain import explanation
from tests.matching.conftest import Asking


@pytest.mark.parametrize(
    ("text", "stated", "used"),
    [
        ("write code", {"reasoningTokens": 5000}, {"input_tokens": 1000, "output_tokens": 500, "reasoning_tokens": 5000}),
        ("write code", {"inputTokens": 1000, "outputTokens": 500}, {"input_tokens": 1000, "output_tokens": 500}),
        ("generate product images", {"images": 4}, {"input_tokens": 100, "output_tokens": 0, "images": 4}),
        ("generate product images", {"inputTokens": 300}, {"input_tokens": 300, "output_tokens": 0, "images": 1}),
        ("generate product images", {"callsPerDay": 5}, {"images": 1, "calls_per_day": 5}),
        ("1,000 requests a day: text to speech", {"callsPerDay": 7}, {"characters": 1000, "calls_per_day": 7}),
        ("summarise long contracts", {}, {"input_tokens": 25_000, "output_tokens": 500}),
        ("summarise long contracts of 60,000 tokens", {}, {"input_tokens": 60_000}),
        ("summarise long contracts", {"inputTokens": 1000}, {"input_tokens": 1000}),
    ],
)
def test_what_is_stated_of_the_work_stands_and_the_rest_is_usual(
    ask: Asking, text: str, stated: dict[str, int], used: dict[str, int]
) -> None:
    answer = ask(text, workload=stated)
    assert {name: getattr(answer.workload, name) for name in used} == used
    assert any(one.scored.cost_nano for one in answer.results)


def test_reasoning_that_is_stated_is_paid_for(ask: Asking) -> None:
    usual, long = (ask("write code", workload=stated) for stated in ({}, {"reasoningTokens": 50_000}))
    before = {one.model.id: one.scored.cost_nano for one in usual.results}
    both = [(before[one.model.id], one.scored.cost_nano) for one in long.results if before.get(one.model.id) and one.scored.cost_nano]
    assert both
    assert all(after > 5 * cost for cost, after in both)


@pytest.mark.parametrize(
    ("text", "constraints"),
    [
        ("generate product images", {"maxPricePerMillionTokens": 20}),
        ("generate product images", {"maxInputPrice": 20}),
        ("Transcribe calls, cheaper than $1", {}),
        ("text to speech", {"maxPricePerMillionTokens": 0.5}),
    ],
)
def test_a_price_per_token_rules_out_nothing_that_is_not_billed_by_tokens(ask: Asking, text: str, constraints: dict[str, float]) -> None:
    answer = ask(text, constraints=constraints)
    assert answer.total == ask(text.partition(",")[0]).total > 0
    assert not answer.ruled_out.keys() & {"price", "unpriced", "doubtful"}
    assert len(answer.notes) == 1
    assert "left out" in answer.notes[0]
    assert not answer.constraints.limits_tokens


def test_a_price_per_token_still_bounds_work_of_tokens(ask: Asking) -> None:
    answer = ask("write code", constraints={"maxPricePerMillionTokens": 0.5})
    assert answer.notes == ()
    assert answer.ruled_out["price"].count > 50


def test_what_was_measured_in_other_languages_is_not_called_a_score_in_this_one(ask: Asking) -> None:
    answer = ask("transcribe calls in Swahili")
    best = answer.results[0]
    assert set(best.quality.skills) == {"speech"}
    assert best.quality.missing == ("speech:sw",)
    said = explanation(best.scored, best.quality, 1, None)
    assert "for speech (" in said
    assert "though nobody measured it in Swahili" in said
    assert "0%" not in said


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("make a 10 second video ad from a text prompt", "video_generation"),
        ("read our articles aloud to blind readers", "speech_generation"),
    ],
)
def test_a_customers_words_name_the_task(ask: Asking, text: str, task: str) -> None:
    assert ask(text).tasks[0].id == task


def test_who_has_another_language_in_its_name_does_not_speak_this_one(ask: Asking) -> None:
    japanese = ask("text to speech in Japanese", limit=50)
    assert japanese.total > 20
    assert not [one.model.id for one in japanese.results if {"english", "arabic"} & set(one.model.id.split("-"))]
    assert japanese.ruled_out["language"].count >= 2
    assert "orpheus-v1-english" in {one.model.id for one in ask("text to speech in English", limit=50).results}
    assert "command-r7b-arabic-02-2025" in {
        one.model.id for one in ask("chat in English", constraints={"creators": ["cohere"]}, limit=50).results
    }


def test_embeddings_of_pictures_come_from_models_that_take_pictures(ask: Asking) -> None:
    answer = ask("find similar product photos with image embeddings")
    assert answer.tasks[0].id == "embeddings"
    assert answer.results
    assert all("image" in one.model.modalities_in for one in answer.results)
    assert "understanding images" not in match_body(answer)["headline"]


def test_a_headline_leaves_an_abbreviation_its_capitals(ask: Asking) -> None:
    assert "suits reading documents (OCR)" in match_body(ask("read scanned invoices with OCR"))["headline"]


def test_a_headline_says_that_no_task_was_recognised(ask: Asking) -> None:
    assert match_body(ask("xyzzy plugh"))["headline"].startswith("No task was recognised; ")


def test_who_can_wait_is_told_that_costs_are_not_those_of_batches(ask: Asking) -> None:
    answer = ask("classify 20,000 reviews a night in batches")
    assert answer.workload.calls_per_day == 20_000
    assert [note for note in answer.notes if "batches" in note]
    assert ask("classify reviews").notes == ()


def test_a_translation_is_as_long_as_what_is_read(ask: Asking) -> None:
    novel = ask("translate novels to Spanish, chapters of 100k tokens").workload
    assert (novel.input_tokens, novel.output_tokens) == (100_000, 100_000)
    assert ask("translate emails", workload={"inputTokens": 300}).workload.output_tokens == 300
    assert ask("translate emails", workload={"outputTokens": 7}).workload.output_tokens == 7


def test_who_asks_for_vision_gets_what_sees(ask: Asking) -> None:
    assert all("vision" in one.model.capabilities for one in ask("cheap chat with vision").results)
