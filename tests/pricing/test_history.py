from datetime import UTC, date, datetime
from typing import Any

from backend.pricing.history import Step, headline, series_of

READ = datetime(2026, 11, 20, 12, tzinfo=UTC)


def logged(
    day: str, usd: str | None, *, event: str = "price_change", source: str = "litellm", after: str | None = None, **more: Any
) -> Any:
    row = {
        "day": date.fromisoformat(day), "after_day": after and date.fromisoformat(after), "event": event, "offer_id": "acme/m",
        "source": source, "source_url": "https://example.org", "rates": {"input": usd} if usd else {}, "before": {}, "reverted": False,
    }  # fmt: skip
    return row | more


def stated(usd: str, *, source: str = "litellm", begins: datetime = READ, ends: datetime | None = None, in_force: bool = False) -> Any:
    return {
        "id": f"{source}{begins}", "offer_id": "acme/m", "component": "input", "unit": "token", "tier": "", "source": source,
        "usd_per_million": usd, "nano_per_million": int(float(usd) * 10**9), "effective_at": begins, "observed_at": READ,
        "expires_at": ends, "status": "observed", "in_force": in_force, "source_url": None,
    }  # fmt: skip


def drawn(*, prices: list[Any], log: list[Any]) -> list[tuple[str | None, str, str]]:
    """The leading series: when, how much, dated by whom."""
    [leading] = [series for series in series_of(prices, log, {}) if series.leading]
    return [(step.start.isoformat() if step.start else None, step.usd_per_million, step.dated_by) for step in leading.steps]


def test_a_maps_log_makes_steps_and_says_after_which_look() -> None:
    log = [logged("2025-01-01", "3", event="first_seen"), logged("2026-11-20", "2", after="2026-07-24")]
    [series] = series_of([stated("2", in_force=True)], log, {})
    assert [(step.start, step.after, step.usd_per_million) for step in series.steps] == [
        (date(2025, 1, 1), None, "3"),
        (date(2026, 11, 20), date(2026, 7, 24), "2"),
    ]
    assert series.changes == 1


def test_the_sellers_dates_lead_and_a_map_only_lends_the_beginning() -> None:
    cut = datetime(2025, 6, 10, tzinfo=UTC)
    always = datetime(1970, 1, 1, tzinfo=UTC)
    dated = [
        stated("10", source="genai-prices", begins=always, ends=cut),
        stated("2", source="genai-prices", begins=cut, in_force=True),
    ]
    log = [logged("2025-04-20", "10", event="first_seen"), logged("2025-06-15", "2", after="2025-06-06")]
    assert drawn(prices=dated, log=log) == [("2025-04-20", "10", "map"), ("2025-06-10", "2", "seller")]
    assert drawn(prices=dated, log=[]) == [(None, "10", "seller"), ("2025-06-10", "2", "seller")]


def test_a_copy_read_here_first_adds_nothing_to_the_maps_log_but_a_later_reading_does() -> None:
    log = [logged("2025-01-01", "3", event="first_seen")]
    later = datetime(2026, 12, 1, tzinfo=UTC)
    rows = [stated("3.5", ends=later), {**stated("4", begins=later, in_force=True), "observed_at": later}]
    assert drawn(prices=rows[:1], log=log) == [("2025-01-01", "3", "map")]
    assert drawn(prices=rows, log=log) == [("2025-01-01", "3", "map"), ("2026-12-01", "4", "store")]


def test_an_operators_price_leads_and_the_line_ends_at_what_is_in_force() -> None:
    log = [logged("2025-01-01", "3", event="first_seen")]
    mine = stated("2.5", source="operator", begins=datetime(2026, 11, 1, tzinfo=UTC), in_force=True)
    assert drawn(prices=[stated("3"), mine], log=log) == [("2026-11-01", "2.5", "seller")]


def test_what_nobody_names_any_more_ends_and_what_comes_back_begins_anew() -> None:
    log = [
        logged("2025-01-01", "3", event="first_seen"),
        logged("2025-05-01", None, event="last_seen"),
        logged("2025-08-01", "3", event="first_seen", after="2025-07-01"),
    ]
    [series] = series_of([], log, {})
    assert [(step.start, step.end) for step in series.steps] == [(date(2025, 1, 1), date(2025, 5, 1)), (date(2025, 8, 1), None)]


def test_what_cannot_be_a_price_is_doubted_and_what_was_taken_back_is_no_change() -> None:
    log = [
        logged("2025-01-01", "3", event="first_seen"),
        logged("2025-02-01", "15000"),
        logged("2025-03-01", "3"),
        logged("2025-04-01", "5", reverted=True),
        logged("2025-05-01", "3"),
    ]
    [series] = series_of([], log, {})
    assert [step.doubt is not None for step in series.steps] == [False, True, False, False, False]
    assert [step.reverted for step in series.steps] == [False, False, False, True, False]
    assert series.changes == 0
    assert headline("M", [series], date(2026, 1, 1)) == "No change of what M costs is known since 2025-01-01"


def test_a_step_says_what_it_costs_exactly() -> None:
    [series] = series_of([], [logged("2025-01-01", "0.0000375", event="first_seen")], {})
    assert series.steps == (
        Step(date(2025, 1, 1), None, "0.0000375", 37_500, "map", "https://example.org", None, reverted=False, doubt=None),
    )
