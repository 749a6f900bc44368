from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from backend.pricing.change_log import read
from backend.pricing.changes import Look, PriceNews, Stock, Wish, changes_of, new_sellers
from tests.pricing.test_history import logged, stated

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
_numbers = count(1)


def told(*, log: list[Any] | None = None, prices: list[Any] | None = None, **offer: Any) -> tuple[list[PriceNews], list[PriceNews]]:
    log = [{"id": next(_numbers), **row} for row in log or []]
    stock = Stock(
        models={"m": {"id": "m", "name": "M", "release_date": None}},
        offers={"acme/m": {"id": "acme/m", "model_id": "m", "provider_id": "acme", "deprecation_date": None} | offer},
        providers={"acme": "Acme"},
        log=log,
        prices=prices or [],
    )
    past, coming = changes_of(stock, NOW)
    return list(past), list(coming)


def cut(day: str, **more: Any) -> Any:
    return logged(day, "2", before={"input": "10"}, **more)


def dated(at: datetime) -> list[Any]:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    return [stated("10", source="genai-prices", begins=first, ends=at), stated("2", source="genai-prices", begins=at, in_force=True)]


def test_the_sellers_date_is_told_once_though_maps_tell_it_later_too() -> None:
    past, _ = told(
        log=[cut("2025-06-15", after="2025-06-06"), cut("2025-06-22", source="models.dev")], prices=dated(datetime(2025, 6, 10, tzinfo=UTC))
    )
    [news] = past
    assert (news.day, news.dated_by, news.after) == (date(2025, 6, 10), "seller", None)
    assert news.text == "M at Acme costs 80 % less: $10.00 → $2.00 in per 1M"


def test_the_same_amounts_much_later_are_another_change() -> None:
    past, _ = told(log=[cut("2025-01-01"), cut("2025-06-01")])
    assert [news.day for news in past] == [date(2025, 6, 1), date(2025, 1, 1)]


def test_a_change_that_cannot_be_is_no_news() -> None:
    assert told(log=[logged("2025-01-01", "15000", before={"input": "0.15"})]) == ([], [])


def test_a_price_to_come_is_announced_until_its_day() -> None:
    day = NOW + timedelta(days=30)
    coming_row = {**stated("3", source="genai-prices", begins=day), "status": "announced"}
    now_row = stated("2", source="genai-prices", begins=datetime(2026, 1, 1, tzinfo=UTC), ends=day, in_force=True)
    past, coming = told(prices=[now_row, coming_row])
    assert past == []
    assert [(news.kind, news.day, news.text) for news in coming] == [
        ("announced", day.date(), "M at Acme is going to cost $2.00 → $3.00 in per 1M")
    ]


def test_an_offer_that_ends_is_to_come_and_then_past() -> None:
    past, coming = told(deprecation_date=date(2026, 12, 24))
    assert (past, [news.text for news in coming]) == ([], ["M ends at Acme"])
    past, coming = told(deprecation_date=date(2026, 11, 20))
    assert ([news.text for news in past], coming) == (["M ends at Acme"], [])


def test_a_maps_first_look_brings_no_offers() -> None:
    def look(day: date, after: date | None) -> Look:
        return Look(next(_numbers), day, after, "acme/m", "litellm", None, "m", "M", "acme", "Acme")

    first, later = look(date(2024, 1, 30), None), look(date(2024, 5, 30), date(2024, 5, 20))
    assert new_sellers([first, later], NOW) == []
    [news] = new_sellers([later, look(date(2024, 7, 1), date(2024, 6, 20))], NOW)
    assert (news.kind, news.day, news.after, news.text) == ("offer", date(2024, 5, 30), date(2024, 5, 20), "M is sold at Acme, too")
    assert new_sellers([look(date(2026, 11, 22), date(2026, 11, 20))], NOW) == []


def test_nothing_is_told_of_a_hidden_model() -> None:
    offers = {"acme/h": {"id": "acme/h", "model_id": "hidden", "provider_id": "acme", "deprecation_date": date(2026, 11, 1)}}
    log = [{"id": 1, **cut("2025-06-15"), "offer_id": "acme/h"}]
    assert changes_of(Stock(models={}, offers=offers, providers={"acme": "Acme"}, log=log, prices=[]), NOW) == ((), ())


def test_nothing_is_told_of_an_offer_that_the_store_does_not_have() -> None:
    deleted = {**stated("2", source="genai-prices", begins=NOW - timedelta(days=3)), "offer_id": "acme/gone"}
    coming = {**stated("3", source="genai-prices", begins=NOW + timedelta(days=3)), "offer_id": "acme/gone", "status": "announced"}
    log = [{**cut("2025-06-15"), "offer_id": offer_id} for offer_id in ("firmware/gpt-4o", "acme/gone")]
    assert told(log=log, prices=[deleted, coming]) == ([], [])


def test_the_bundled_log_claims_nothing_in_the_gap_and_knows_no_zero() -> None:
    entries = list(read(lambda _map, provider, model: f"{provider}/{model}"))
    assert len(entries) == 17832
    gap = [entry for entry in entries if date(2026, 7, 25) <= entry["day"] <= date(2026, 11, 19)]
    assert {entry["source"] for entry in gap} == {"genai-prices"}
    late = {entry["after_day"] for entry in entries if entry["source"] == "litellm" and entry["day"] == date(2026, 11, 20)}
    assert late == {date(2026, 7, 24)}
    assert all(float(rate) > 0 for entry in entries for rate in entry["rates"].values())
    assert not [entry for entry in entries if entry["event"] == "last_seen" and entry["day"] == date(2026, 11, 20)]


def test_an_end_at_several_providers_is_one_line_that_each_of_them_finds() -> None:
    offers = {
        f"{seller}/m": {"id": f"{seller}/m", "model_id": "m", "provider_id": seller, "deprecation_date": NOW.date()} for seller in "cab"
    }
    models = {"m": {"id": "m", "name": "M", "release_date": None}}
    providers = {"a": "A", "b": "B", "c": "C"}
    ((news,), _) = changes_of(Stock(models=models, offers=offers, providers=providers, log=[], prices=[]), NOW)
    assert (news.provider, news.also_at, news.provider_name) == ("a", ("b", "c"), "A, B, C")
    assert [Wish(provider=seller).fits(news) for seller in "abcd"] == [True, True, True, False]
    assert [Wish(model=name).fits(news) for name in ("m", "n")] == [True, False]
    assert [Wish(words=tuple(words)).fits(news) for words in (["m", "a,"], ["m", "x"], [])] == [True, False, True]
