"""Columns of costs say what the one function that prices calls says, for every offer there is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.matching.columns import Columns
from backend.matching.offer_costs import UNKNOWN, OfferCosts
from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.workload import Workload, cost_per_call
from tests.rig.store import Store


def differing(columns: Columns, store: Store, workload: Workload, at: datetime) -> tuple[int, int]:
    """How many costs are not what the card says, and how many are known."""
    costs = columns.costs.per_call(workload, at)
    known = wrong = 0
    for card in store.prices.cards():
        row = columns.row.get(card.offer_id)
        if row is None:
            continue
        cost = cost_per_call(card, workload, at=at)
        expected = UNKNOWN if cost.state == "unpriced" else cost.nano
        known += expected != UNKNOWN
        wrong += costs[row] != expected
    return wrong, known


@pytest.mark.parametrize(
    "workload",
    [
        Workload(input_tokens=300_000, output_tokens=2_000),
        Workload(input_tokens=10_001, output_tokens=777, cache_share=0.9, cache_write_share=0.05, reasoning_tokens=33),
        Workload(service_tier="batch"),
    ],
    ids=["long", "cached", "batch"],
)
def test_a_column_says_what_a_card_says(columns: Columns, store: Store, workload: Workload) -> None:
    wrong, known = differing(columns, store, workload, store.clock.now())
    assert wrong == 0
    assert known > 6_000


def test_what_is_kept_of_a_workload_holds_at_every_time_of_day(columns: Columns, store: Store) -> None:
    workload, monday = Workload(input_tokens=1_234, output_tokens=567), datetime(2026, 11, 23, tzinfo=UTC)
    hours = [monday + timedelta(hours=hour) for hour in (0, 2, 7, 12, 20)]
    assert [differing(columns, store, workload, at)[0] for at in hours] == [0] * 5
    kept = [columns.costs.per_call(workload, at) for at in hours]
    assert sum(one != other for one, other in zip(kept[1], kept[3], strict=True)) > 0
    assert [columns.costs.per_call(workload, at) is costs for at, costs in zip(hours, kept, strict=True)] == [True] * 5


def test_the_cheapest_of_each_model_is_the_cheapest_of_its_offers(columns: Columns, store: Store) -> None:
    costs = columns.costs.per_call(Workload(), store.clock.now())
    found = columns.by_place(costs)
    for place in range(len(columns.models)):
        rows = columns.rows_of(place)
        assert found.cheapest[place] == (columns.cheapest(rows, costs) if rows else -1)
        assert found.least[place] == min((costs[row] for row in rows if costs[row] > 0), default=0)
        # Of some of them it is the cheapest, too, if it is one of them.
        some = rows[::2]
        if found.cheapest[place] in some:
            assert columns.cheapest(some, costs) == found.cheapest[place]


WORKLOADS = st.builds(
    Workload,
    input_tokens=st.sampled_from([0, 100, 300_000]),
    output_tokens=st.sampled_from([0, 70]),
    cache_share=st.sampled_from([0.0, 0.5]),
    reasoning_tokens=st.sampled_from([0, 9]),
    audio_input_tokens=st.sampled_from([0, 0, 5]),
    audio_output_tokens=st.sampled_from([0, 0, 5]),
    images=st.sampled_from([0, 0, 2]),
    seconds=st.sampled_from([0.0, 0.0, 7.5]),
    characters=st.sampled_from([0, 0, 11]),
    service_tier=st.sampled_from([None, None, "batch"]),
    region=st.sampled_from([None, None, "eu"]),
)
_PRICED = [
    *(("input", unit) for unit in ("token", "second", "character", "query", "page")),
    *(("output", unit) for unit in ("token", "image", "second")),
    *((component, "token") for component in ("cache_read", "reasoning", "audio_in", "audio_out", "web_search")),
    *(("image_out", "image"), ("request", "request"), ("video_out", "second")),
]
LINES = st.builds(
    lambda place, nano, **conditions: PriceLine(f"{place}", *place, nano, **conditions),
    st.sampled_from(_PRICED),
    st.integers(0, 10**12),
    context_above=st.sampled_from([None, None, 200_000]),
    service_tier=st.sampled_from([None, None, "batch"]),
    region=st.sampled_from([None, None, "eu"]),
    time_window=st.sampled_from([None, None, "16:30-00:30"]),
)


@given(st.lists(LINES, min_size=1, max_size=5), WORKLOADS)
def test_a_column_says_what_a_card_says_whatever_is_sold(lines: list[PriceLine], workload: Workload) -> None:
    at = datetime(2026, 7, 15, 20, 0, tzinfo=UTC)
    card = PriceCard("acme/m", "priced", tuple(lines))
    cost = cost_per_call(card, workload, at=at)
    expected = UNKNOWN if cost.state == "unpriced" else cost.nano
    assert list(OfferCosts(["acme/m"], [card]).per_call(workload, at)) == [expected]


def test_minutes_are_priced_where_they_are_billed_beside_tokens() -> None:
    lines = (PriceLine("in", "input", "token", 10**8), PriceLine("sec", "audio_in", "second", 10**11))
    minute = Workload(input_tokens=0, output_tokens=0, seconds=60)
    costs = OfferCosts(["acme/m"], [PriceCard("acme/m", "priced", lines)])
    assert list(costs.per_call(minute, datetime(2026, 7, 15, tzinfo=UTC))) == [6_000_000]


def test_pictures_and_minutes_are_priced_only_where_they_are_billed(columns: Columns, store: Store) -> None:
    at = store.clock.now()
    picture = columns.costs.per_call(Workload(input_tokens=100, output_tokens=0, images=1), at)
    minute = columns.costs.per_call(Workload(input_tokens=0, output_tokens=0, seconds=60), at)
    chat = columns.row["openai/gpt-4o-mini"]
    assert (picture[chat], minute[chat]) == (UNKNOWN, UNKNOWN)
    assert sum(cost > 0 for cost in picture) > 80
    assert sum(cost > 0 for cost in minute) > 80
