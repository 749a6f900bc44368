"""What could be taken instead: near, cheaper, better, and what would be lost."""

import asyncio
from dataclasses import replace

import pytest

from backend.matching.columns import Columns
from backend.matching.service import MatchingService, Suggested
from backend.matching.suggest import CHEAPER, SAME_MONEY, lost, similarity
from backend.matching.suggest_bodies import percent_text, suggestions_body

ASKED = ("gpt-4o", "claude-sonnet-4-5", "openai/gpt-4o-mini", "whisper-large-v3", "text-embedding-3-small", "gemini-2.5-flash")


@pytest.fixture(scope="module")
def found(matching: MatchingService) -> dict[str, Suggested]:
    answers = {name: asyncio.run(matching.suggestions(name)) for name in ASKED}
    return {name: answer for name, answer in answers.items() if answer is not None}


def test_each_list_holds_what_its_name_says_or_says_why_it_is_empty(found: dict[str, Suggested], columns: Columns) -> None:
    assert set(found) == set(ASKED)
    listed = 0
    for answer in found.values():
        lists, paid = answer.suggestions, answer.suggestions.cost_nano
        assert paid
        for items, why in ((lists.similar, lists.why_no_similar), (lists.better, lists.why_no_better), (lists.offers, lists.why_no_offer)):
            assert bool(items) != bool(why)
            listed += len(items)
        assert all(one.cost_nano <= CHEAPER * paid for one in lists.similar)
        assert all(one.cost_nano <= SAME_MONEY * paid and one.overall is not None and one.overall.change > 0 for one in lists.better)
        assert all(one.cost_nano < (answer.offer_reference or 0) for one in lists.offers)
        kin = [columns.kin[one.place] for one in lists.similar]
        assert len(kin) == len(set(kin))
        assert columns.kin[lists.place] not in kin
        for one in (*lists.similar, *lists.better):
            assert columns.models[one.place].mode == answer.model.mode
            assert columns.models[one.place].status not in ("retired", "deprecated")
            assert 0 <= one.similarity <= 1
            for delta in (*one.skills, *one.benchmarks):
                assert delta.low <= delta.change <= delta.high
                assert delta.change == pytest.approx(delta.after - delta.before)
    assert listed > 30


def test_a_smaller_sister_is_near_and_cheaper(found: dict[str, Suggested], columns: Columns) -> None:
    near = {columns.models[one.place].id for one in found["claude-sonnet-4-5"].suggestions.similar}
    assert "claude-haiku-4-5" in near
    assert "whisper-large-v3-turbo" in {columns.models[one.place].id for one in found["whisper-large-v3"].suggestions.similar}


def test_differences_are_over_what_both_were_measured_in(found: dict[str, Suggested], columns: Columns) -> None:
    answer = found["claude-sonnet-4-5"]
    shared = 0
    for one in answer.suggestions.similar:
        mine, theirs = columns.results[answer.suggestions.place], columns.results[one.place]
        assert {delta.name for delta in one.benchmarks} == mine.keys() & theirs.keys()
        assert all((mine[delta.name], theirs[delta.name]) == (delta.before, delta.after) for delta in one.benchmarks)
        shared += len(one.benchmarks)
    assert shared > 50


def test_a_batch_tier_counts_as_a_cheaper_offer(found: dict[str, Suggested], columns: Columns) -> None:
    offers = found["openai/gpt-4o-mini"].suggestions.offers
    batch = next(one for one in offers if one.tier == "batch" and columns.offers[one.row].id == "openai/gpt-4o-mini")
    assert batch.cost_nano * 2 == found["openai/gpt-4o-mini"].suggestions.cost_nano


def test_each_way_to_pay_less_is_named_once_and_by_its_sellers_name(found: dict[str, Suggested], columns: Columns) -> None:
    several = 0
    for answer in found.values():
        offers = answer.suggestions.offers
        ways = [(columns.offers[one.row].provider, columns.regions[one.row], one.tier) for one in offers]
        assert len(ways) == len(set(ways))
        several += len(ways) > 1
        told = suggestions_body(answer)["sameModelCheaperOffer"]["items"]
        for one, said in zip(offers, told, strict=True):
            assert answer.sellers[columns.offers[one.row].provider] in said["explanation"]
    assert several


def test_a_sentence_rounds_what_stands_beside_it(found: dict[str, Suggested]) -> None:
    for answer in found.values():
        for one in suggestions_body(answer)["cheaperButSimilar"]["items"]:
            assert f"{abs(one['costDelta']['percent']):.0f} % less" in one["explanation"]
            assert "-" not in one["explanation"].partition("(")[2].partition(")")[0]


def test_what_is_lost_is_what_the_other_does_not_have(columns: Columns) -> None:
    big, small = columns.place["gpt-4o"], columns.place["llama-3.1-8b-instruct"]
    assert "vision" in lost(columns, big, small).capabilities
    assert not lost(columns, big, big)
    assert similarity(columns, big, small) == similarity(columns, small, big) < similarity(columns, big, columns.place["gpt-4o-mini"])


def test_another_workload_changes_what_is_cheaper(matching: MatchingService, found: dict[str, Suggested]) -> None:
    talkative = asyncio.run(matching.suggestions("gpt-4o", {"input_tokens": 10, "output_tokens": 5000}))
    assert talkative is not None
    assert talkative.suggestions.cost_nano != found["gpt-4o"].suggestions.cost_nano


def test_one_stated_number_leaves_the_rest_as_usual_for_models_of_its_kind(matching: MatchingService) -> None:
    usual = asyncio.run(matching.suggestions("dall-e-3"))
    often = asyncio.run(matching.suggestions("dall-e-3", {"calls_per_day": 10}))
    assert usual is not None
    assert often is not None
    assert often.workload == replace(usual.workload, calls_per_day=10)
    assert often.workload.images == 1
    assert often.suggestions.cost_nano == usual.suggestions.cost_nano
    assert often.suggestions.cost_nano
    assert often.suggestions.similar == usual.suggestions.similar


def test_an_unpriced_model_says_so_and_an_unknown_one_is_none(matching: MatchingService, columns: Columns) -> None:
    bare = next(model.id for place, model in enumerate(columns.models) if model.price_state == "unpriced" and columns.rows_of(place))
    answer = asyncio.run(matching.suggestions(bare))
    assert answer is not None
    assert answer.suggestions.similar == answer.suggestions.better == ()
    assert "not known" in (answer.suggestions.why_no_similar or "")
    assert asyncio.run(matching.suggestions("no-such-model")) is None


@pytest.mark.parametrize(
    ("nano", "before", "text"),
    [(50, 100, "50 %"), (3, 2000, "99.8 %"), (1, 10**6, "over 99.9 %"), (0, 100, "100 %"), (150, 100, "50 %"), (99, 100, "1 %")],
)
def test_nothing_that_costs_something_is_wholly_cheaper(nano: int, before: int, text: str) -> None:
    assert percent_text(nano, before) == text


def test_who_does_better_for_a_fraction_costs_less(found: dict[str, Suggested]) -> None:
    for answer in found.values():
        lists, said = answer.suggestions, suggestions_body(answer)["headline"]
        if lists.better and lists.better[0].certain and lists.cost_nano:
            assert ("costs less" in said) == (lists.better[0].cost_nano < CHEAPER * lists.cost_nano)
            assert ("for the same money" in said) == ("costs less" not in said)
