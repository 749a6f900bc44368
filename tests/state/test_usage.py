"""What the usage page says about calls and money."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from backend.metering.rollups.gather import Totals
from backend.metering.rollups.schemas import Usage
from backend.metering.schemas import CallSummary, SpendToday
from state.usage import call_row, comparison_text, condition_text, headline_text, milliseconds_text, sound_text, used_text

CALL = CallSummary(
    id="evt_1",
    request_id="req_1",
    created_at=datetime(2026, 7, 15, 12, 2, 11, tzinfo=UTC),
    key_id="key_1",
    endpoint="/v1/chat/completions",
    requested_model="fast",
    provider="acme",
    model="gpt-5-mini",
    outcome="completed",
    status=200,
    error_code=None,
    stream=True,
    input_tokens=1204,
    cached_tokens=0,
    output_tokens=388,
    reasoning_tokens=0,
    usage_source="provider",
    charged_nano=1_077_000,
    price_state="priced",
    latency_ms=900,
    first_token_ms=402,
    attempts=1,
)
NOTHING = Usage.of(Totals())
BERLIN = ZoneInfo("Europe/Berlin")


def test_a_row_is_in_the_tenants_time_and_names_model_key_outcome_tokens_and_cost() -> None:
    row = call_row(CALL, {"key_1": "web-prod"}, BERLIN, today=True)
    assert (row.time, row.model, row.key) == ("14:02:11", "gpt-5-mini", "web-prod")
    assert (row.outcome, row.tone, row.used, row.first_token, row.cost) == ("answered", "good", "1,204 / 388", "402 ms", "$0.001077")
    assert not row.simulated


def test_an_earlier_day_is_named() -> None:
    assert call_row(CALL, {}, BERLIN, today=False).time == "15 Jul 14:02"


@pytest.mark.parametrize(
    ("changes", "outcome", "tone"),
    [
        ({"outcome": "cached"}, "cache hit", "good"),
        ({"attempts": 2}, "answered at try 2", "warn"),
        ({"outcome": "client_closed"}, "stopped by the caller", "plain"),
        ({"outcome": "interrupted"}, "interrupted", "warn"),
        ({"outcome": "failed", "error_code": "upstream_timeout"}, "provider too slow", "bad"),
        ({"outcome": "refused", "error_code": "budget_exceeded"}, "budget refused", "bad"),
        ({"outcome": "refused", "error_code": "some_new_code"}, "some new code", "bad"),
        ({"outcome": "refused"}, "refused", "bad"),
    ],
)
def test_an_outcome_is_a_word_with_a_tone(changes: dict[str, object], outcome: str, tone: str) -> None:
    row = call_row(replace(CALL, **changes), {}, UTC, today=True)  # type: ignore[arg-type]
    assert (row.outcome, row.tone) == (outcome, tone)


def test_what_is_not_known_is_said_and_never_shown_as_zero() -> None:
    refused = replace(CALL, outcome="refused", usage_source="none", first_token_ms=None, charged_nano=0, price_state="unpriced", model=None)
    row = call_row(refused, {}, UTC, today=True)
    assert (row.model, row.key, row.used, row.first_token, row.cost) == ("fast", "key_1", "—", "—", "$0")
    assert call_row(replace(CALL, charged_nano=0, price_state="unpriced"), {}, UTC, today=True).cost == "unpriced"
    assert call_row(replace(CALL, charged_nano=0, price_state="free"), {}, UTC, today=True).cost == "$0"
    assert call_row(replace(CALL, usage_source="estimated"), {}, UTC, today=True).used == "≈ 1,204 / 388"


def test_sandbox_calls_are_marked_as_simulated() -> None:
    assert call_row(CALL, {}, UTC, today=True, simulated=True).simulated


@pytest.mark.parametrize(("value", "text"), [(None, "—"), (0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (12_340, "12.3 s")])
def test_durations_carry_their_unit(value: int | None, text: str) -> None:
    assert milliseconds_text(value) == text


def spend(nano: int, calls: int, yesterday_nano: int = 0, yesterday_calls: int = 0) -> SpendToday:
    before = replace(NOTHING, charged_nano=yesterday_nano, calls=yesterday_calls)
    return SpendToday(replace(NOTHING, charged_nano=nano, calls=calls), datetime(2026, 7, 15, tzinfo=UTC), before)


@pytest.mark.parametrize(
    ("today", "headline", "comparison"),
    [
        (spend(0, 0), "No calls yet today", ""),
        (spend(0, 0, 5, 7), "No calls yet today, 7 yesterday by this time", ""),
        (spend(5, 1), "1 call today", ""),
        (
            spend(50, 1200, 100, 1000),
            "1,200 calls today, 200 more than yesterday by this time",
            "50\u00a0% less than yesterday by this time.",
        ),
        (spend(150, 3, 100, 5), "3 calls today, 2 fewer than yesterday by this time", "50\u00a0% more than yesterday by this time."),
        (spend(100, 3, 100, 3), "3 calls today, as yesterday by this time", "As much as yesterday by this time."),
    ],
)
def test_the_headline_compares_with_yesterday(today: SpendToday, headline: str, comparison: str) -> None:
    assert headline_text(today) == headline
    assert comparison_text(today) == comparison


def test_the_condition_counts_what_went_wrong_among_the_calls_shown() -> None:
    bad = replace(CALL, outcome="failed")
    assert condition_text([]) == ""
    assert condition_text([CALL]) == "The last call was answered."
    assert condition_text([bad]) == "The last call went wrong."
    assert condition_text([CALL, CALL]) == "All of the last 2 calls were answered."
    assert condition_text([CALL, bad, bad]) == "2 of the last 3 calls went wrong."


def test_a_call_that_its_caller_stopped_is_neither_a_failure_nor_an_answer() -> None:
    bad, stopped = replace(CALL, outcome="interrupted"), replace(CALL, outcome="client_closed")
    assert condition_text([stopped]) == "The last call was stopped by the caller."
    assert condition_text([CALL, stopped]) == "1 of the last 2 calls was stopped by the caller."
    assert condition_text([bad, stopped, stopped]) == "1 of the last 3 calls went wrong, 2 were stopped by the caller."


@pytest.mark.parametrize(
    ("unit", "quantity", "source", "text"),
    [
        ("image", 12, "counted", "12 images"),
        ("image", 1, "provider", "1 image"),
        ("character", 5100, "counted", "5,100 characters"),
        ("query", 1, "provider", "1 search"),
        ("query", 3, "counted", "3 searches"),
        ("second", 340, "provider", "5 min 40 s"),
        ("second", 2.44, "estimated", "≈ 2.4 s"),
        ("image", 0, "counted", "—"),
    ],
)
def test_what_is_not_metered_in_tokens_is_told_in_its_unit(unit: str, quantity: float, source: str, text: str) -> None:
    assert call_row(replace(CALL, unit=unit, quantity=quantity, usage_source=source), {}, UTC, today=True).used == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.3, "0.3 s"), (59.9, "59.9 s"), (59.96, "1 min"), (60, "1 min"), (340, "5 min 40 s"), (3600, "1 h"), (11_100, "3 h 5 min")],
)
def test_sound_is_told_as_people_say_it(seconds: float, text: str) -> None:
    assert sound_text(seconds) == text


def test_what_was_used_today_is_told_in_all_units() -> None:
    assert used_text(NOTHING) == ""
    assert used_text(replace(NOTHING, images=1)) == "1 image."
    used = replace(NOTHING, input_tokens=48_000, output_tokens=200, images=12, sound_ms=340_000, characters=5_100, searches=3)
    assert used_text(used) == "48,200 tokens, 12 images, 5 min 40 s of sound, 5,100 characters and 3 searches."
