from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from backend.pricing.evidence import Evidence
from backend.pricing.outliers import quarantine
from backend.pricing.tiers import Tier

Said = Callable[..., Evidence]


def held(evidence: list[Evidence]) -> list[bool]:
    return [e.status == "quarantined" for e in evidence]


@pytest.mark.parametrize(
    ("offer", "paid", "made"),
    [
        ("azure_ai/jais-30b-chat", "3200", "9710"),
        ("watsonx/core42/jais-13b-chat", "500", "2000"),
        ("wandb/openai/gpt-oss-120b", "15000", "60000"),
    ],
)
def test_the_known_bad_rows_are_caught_on_their_own(said: Said, now: datetime, offer: str, paid: str, made: str) -> None:
    evidence = [said("litellm", paid, offer=offer), said("litellm", made, "output", offer=offer)]
    quarantine(evidence, now)
    assert held(evidence) == [True, True]
    assert "absurd" in (evidence[0].reason or "")


@pytest.mark.parametrize(("paid", "made"), [("150", "600"), ("0.01", "0.02"), ("75", "150"), ("10", "10"), ("30", "0.5")])
def test_prices_that_are_really_asked_pass(said: Said, now: datetime, paid: str, made: str) -> None:
    evidence = [said("litellm", paid), said("litellm", made, "output")]
    quarantine(evidence, now)
    assert held(evidence) == [False, False]


def test_one_absurd_line_puts_all_lines_of_its_source_aside(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "3200"), said("litellm", "0.3", "cache_read"), said("models.dev", "3.2")]
    quarantine(evidence, now)
    assert held(evidence) == [True, True, False]
    assert (evidence[1].reason or "").startswith("set aside with input")


def test_a_thousand_times_its_siblings_is_a_unit_mistake_in_both_directions(said: Said, now: datetime) -> None:
    for wrong in ("200", "0.0002"):
        offers = [said("litellm", usd, offer=f"p{i}/m", model_id="m") for i, usd in enumerate(("0.2", "0.21", "0.19"))]
        odd = said("litellm", wrong, offer="odd/m", model_id="m")
        quarantine([*offers, odd], now)
        assert held([*offers, odd]) == [False, False, False, True], wrong


def test_a_family_speaks_only_when_it_is_large(said: Said, now: datetime) -> None:
    def family(size: int) -> list[Evidence]:
        return [said("litellm", "0.1", offer=f"p/embed-{i}", family="embed") for i in range(size)]

    alone = said("litellm", "100", offer="p/embed-light", family="embed")
    quarantine([*family(4), alone], now)
    assert alone.status == "observed"
    again = said("litellm", "100", offer="p/embed-light", family="embed")
    quarantine([*family(5), again], now)
    assert again.status == "quarantined"


def test_a_jump_of_ten_against_its_own_past_waits_for_a_person(said: Said, now: datetime) -> None:
    up = said("litellm", "25", previous=Decimal("2.5"))
    cut = said("litellm", "2", previous=Decimal("10"))
    quarantine([up, cut], now)
    assert held([up, cut]) == [True, False]
    approved = said("litellm", "25", previous=Decimal("2.5"), approved=True)
    quarantine([approved], now)
    assert approved.status == "observed"


def test_against_two_others_the_odd_one_is_held(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "2"), said("models.dev", "2.2"), said("genai-prices", "25")]
    quarantine(evidence, now)
    assert held(evidence) == [False, False, True]


def test_against_one_other_the_siblings_decide_who_is_wrong(said: Said, now: datetime) -> None:
    siblings = [said("litellm", "3.75", "cache_write", offer=f"p{i}/m", model_id="m") for i in range(3)]
    right = said("litellm", "3.75", "cache_write", offer="a/m", model_id="m")
    wrong = said("genai-prices", "0.3", "cache_write", offer="a/m", model_id="m")
    quarantine([*siblings, right, wrong], now)
    assert (right.status, wrong.status) == ("observed", "quarantined")


def test_against_one_other_the_staler_source_has_missed_a_change(said: Said, now: datetime) -> None:
    stale = said("models.dev", "1", as_of=now - timedelta(days=120))
    fresh = said("litellm", "0.1")
    quarantine([stale, fresh], now)
    assert (stale.status, fresh.status) == ("quarantined", "observed")


def test_output_far_below_input_is_held_for_chat_only(said: Said, now: datetime) -> None:
    chat = [said("litellm", "30"), said("litellm", "0.3", "output")]
    rerank = [said("litellm", "30", offer="p/r", mode="rerank"), said("litellm", "0.3", "output", offer="p/r", mode="rerank")]
    quarantine([*chat, *rerank], now)
    assert held([*chat, *rerank]) == [True, True, False, False]


def test_negative_amounts_and_absurd_units_are_held(said: Said, now: datetime) -> None:
    evidence = [
        said("feed", "-1"),
        said("feed", "25000000", "image_out", unit="image", offer="a/i"),
        said("feed", "40000", "image_out", unit="image", offer="a/j"),
    ]
    quarantine(evidence, now)
    assert held(evidence) == [True, True, False]


def test_the_past_is_not_judged(said: Said, now: datetime) -> None:
    ended = said("genai-prices", "1", expires_at=now - timedelta(days=1))
    current = said("genai-prices", "0.1", effective_at=now - timedelta(days=1))
    quarantine([ended, current], now)
    assert held([ended, current]) == [False, False]


def test_a_batch_price_is_compared_with_batch_prices_only(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "0.2", tier=Tier(service_tier="batch")), said("genai-prices", "4")]
    quarantine(evidence, now)
    assert held(evidence) == [False, False]
