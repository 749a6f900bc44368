from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations

from backend.pricing.consensus import decide
from backend.pricing.evidence import Evidence
from backend.pricing.tiers import Tier

Said = Callable[..., Evidence]
LONG = Tier(context_above=200_000)


def in_force(evidence: list[Evidence]) -> list[tuple[str, str, str]]:
    return sorted((e.source, e.quote.component, e.quote.tier.text) for e in evidence if e.in_force)


def test_the_only_source_is_believed(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "2.5"), said("litellm", "10", "output")]
    verdict = decide(evidence, now)
    assert (verdict.state, verdict.input, verdict.output) == ("priced", 2.5, 10)
    assert (verdict.agreement, verdict.sources) == (1, 1)
    assert evidence[0].reason == "the only source"


def test_two_that_agree_outvote_a_fresher_and_higher_ranked_one(said: Said, now: datetime) -> None:
    old = now - timedelta(days=90)
    evidence = [said("genai-prices", "3"), said("litellm", "2.5", as_of=old), said("models.dev", "2.501", as_of=old)]
    verdict = decide(evidence, now)
    assert verdict.input == 2.5
    assert (verdict.agreement, verdict.sources) == (2, 3)
    assert [e.reason for e in evidence] == ["litellm is believed instead ($2.5 per 1M)", "2 of 3 sources agree", "agrees with litellm"]


def test_among_equals_the_fresher_source_wins_then_the_higher_ranked(said: Said, now: datetime) -> None:
    fresher = [said("models.dev", "3"), said("genai-prices", "2.5", as_of=now - timedelta(days=60))]
    assert decide(fresher, now).input == 3
    ranked = [said("litellm", "3"), said("genai-prices", "2.5")]
    assert decide(ranked, now).input == 2.5
    assert ranked[1].reason == "the highest ranked of equally fresh sources"


def test_a_name_pattern_never_outvotes_a_source_that_names_the_offer(said: Said, now: datetime) -> None:
    evidence = [said("genai-prices", "3", exact=False, rank=10), said("other", "3", exact=False, rank=10), said("litellm", "2.5")]
    assert decide(evidence, now).input == 2.5


def test_exactly_one_row_per_place_is_in_force_in_whatever_order_they_come(said: Said, now: datetime) -> None:
    for order in permutations([("litellm", "2.5"), ("genai-prices", "3"), ("models.dev", "2.5")]):
        evidence = [said(*pair) for pair in order]
        decide(evidence, now)
        assert in_force(evidence) == [("litellm", "input", "")]


def test_zero_is_unpriced_unless_it_is_confirmed_free(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "0"), said("litellm", "0", "output")]
    assert decide(evidence, now).state == "unpriced"
    assert not in_force(evidence)
    confirmed = [said("models.dev", "0", confirmed_free=True), said("models.dev", "0", "output", confirmed_free=True)]
    assert decide(confirmed, now).state == "free"


def test_a_zero_does_not_hide_what_another_source_knows(said: Said, now: datetime) -> None:
    assert decide([said("litellm", "0"), said("models.dev", "1.5")], now).input == 1.5


def test_an_announced_price_waits_for_its_day(said: Said, now: datetime) -> None:
    tomorrow = now + timedelta(days=1)
    evidence = [
        said("genai-prices", "2", effective_at=now - timedelta(days=9), expires_at=tomorrow),
        said("genai-prices", "1", effective_at=tomorrow),
    ]
    assert decide(evidence, now).input == 2
    assert evidence[1].status == "announced"
    assert decide(evidence, tomorrow).input == 1
    assert [e.status for e in evidence] == ["observed", "observed"]
    assert evidence[0].reason == "replaced"


def test_a_band_counts_only_from_a_source_whose_base_price_is_believed(said: Said, now: datetime) -> None:
    evidence = [
        said("litellm", "5"),
        said("models.dev", "5"),
        said("genai-prices", "7"),
        said("genai-prices", "14", tier=LONG),
        said("models.dev", "10", tier=LONG),
    ]
    decide(evidence, now)
    assert in_force(evidence) == [("litellm", "input", ""), ("models.dev", "input", LONG.text)]
    assert evidence[3].reason == "its base price is not believed"


def test_a_price_list_with_hours_is_believed_as_a_whole(said: Said, now: datetime) -> None:
    """LiteLLM calls the peak the base price, genai-prices the off-peak: mixing both would halve or double a bill."""
    off_peak, peak = Tier(time_window="1-5 10:00-00:00;6-7 00:00-00:00"), Tier(time_window="01:00-10:00")
    evidence = [
        said("litellm", "0.3"),
        said("litellm", "0.15", tier=off_peak),
        said("genai-prices", "0.15"),
        said("genai-prices", "0.3", tier=peak),
        said("models.dev", "0.15"),
    ]
    verdict = decide(evidence, now)
    assert in_force(evidence) == [("litellm", "input", ""), ("litellm", "input", off_peak.text)]
    assert verdict.input == Decimal("0.3")
    assert evidence[2].reason == "the price list of litellm, with its time windows, is believed as a whole"


def test_hours_that_only_a_name_pattern_knows_are_left_out(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "0.3"), said("genai-prices", "0.15", tier=Tier(time_window="01:00-10:00"), exact=False)]
    decide(evidence, now)
    assert in_force(evidence) == [("litellm", "input", "")]


def test_time_windows_come_from_one_source_only(said: Said, now: datetime) -> None:
    evening, morning = Tier(time_window="16:30-00:30"), Tier(time_window="00:30-16:30")
    evidence = [
        said("litellm", "1", tier=evening),
        said("genai-prices", "2", tier=morning),
        said("litellm", "3"),
        said("genai-prices", "3"),
    ]
    decide(evidence, now)
    assert in_force(evidence) == [("genai-prices", "input", ""), ("genai-prices", "input", morning.text)]


def test_quarantined_rows_price_nothing_and_the_offer_says_so(said: Said, now: datetime) -> None:
    evidence = [said("litellm", "3200", status="quarantined"), said("litellm", "9710", "output", status="quarantined")]
    verdict = decide(evidence, now)
    assert (verdict.state, verdict.input, in_force(evidence)) == ("quarantined", None, [])


def test_an_offer_with_nothing_but_a_surcharge_is_unpriced(said: Said, now: datetime) -> None:
    assert decide([said("litellm", "25000", "web_search", unit="query")], now).state == "unpriced"


def test_agreement_is_counted_on_what_the_offer_is_sold_by(said: Said, now: datetime) -> None:
    verdict = decide([said("litellm", "40000", "image_out", unit="image"), said("models.dev", "40000", "image_out", unit="image")], now)
    assert (verdict.state, verdict.input, verdict.agreement, verdict.sources) == ("priced", None, 2, 2)
