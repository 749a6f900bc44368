"""What this gateway measured, and what calls are estimated to emit, where there is any of it."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from backend.carbon.footprint import Footprint, Unknown
from backend.carbon.service import CarbonService
from backend.matching import parse
from backend.matching.bodies import match_body
from backend.matching.columns import Columns
from backend.matching.service import MatchingService
from tests.matching.conftest import Asking
from tests.rig.store import Store

if TYPE_CHECKING:
    from backend.runtime import Runtime

Measured = Mapping[tuple[str, str], float]
Like = Callable[..., MatchingService]


@pytest.fixture
def like(matching: MatchingService, store: Store) -> Like:
    """The same columns in a service that knows more."""

    def make(measured: Measured = {}, carbon: CarbonService | None = None) -> MatchingService:  # noqa: B006
        service = MatchingService(
            matching._db,
            store.clock,
            store.catalog,
            store.prices,
            benchmarks=matching._benchmarks,
            latency=lambda: measured,
            carbon=carbon,
        )
        service._columns, service._version = matching._columns, matching._version
        return service

    return make


def test_a_measured_latency_counts_and_is_shown(like: Like, ask: Asking, columns: Columns) -> None:
    before = ask("a chatbot", preferences={"latency": "lowest"})
    last = before.results[-1]
    upstream = columns.offers[columns.row[last.offer_id]].upstream_id
    quick = Asking(like({(last.provider, upstream): 120.0}))
    answer = quick("a chatbot", preferences={"latency": "lowest"})
    assert answer.results[0].offer_id == last.offer_id
    assert answer.results[0].scored.latency_ms == 120.0
    bound = {"maxLatencyMs": 200}
    assert quick("a chatbot", constraints=bound).total > 500
    assert [one.offer_id for one in quick("a chatbot", constraints={**bound, "strict": True}).results] == [last.offer_id]
    assert Asking(like({(last.provider, upstream): 900.0}))("a chatbot", constraints={**bound, "strict": True}).total == 0


def test_suggestions_compare_latencies_only_where_both_were_measured(like: Like, columns: Columns) -> None:
    found = asyncio.run(like().suggestions("openai/gpt-4o-mini"))
    assert found is not None
    other = columns.offers[found.suggestions.similar[0].row]
    both = asyncio.run(
        like({("openai", "gpt-4o-mini"): 500.0, (other.provider, other.upstream_id): 300.0}).suggestions("openai/gpt-4o-mini")
    )
    one = asyncio.run(like({("openai", "gpt-4o-mini"): 500.0}).suggestions("openai/gpt-4o-mini"))
    assert both is not None
    assert one is not None
    row = found.suggestions.similar[0].row
    assert (both.latency_delta(row), one.latency_delta(row)) == (-200.0, None)


def test_whoever_wants_little_carbon_gets_what_emits_less(like: Like, store: Store) -> None:
    asking = Asking(like(carbon=CarbonService(store.catalog, "WOR")))
    usual = asking("a chatbot", preferences={"weights": {"quality": 1}})
    green = asking("a chatbot", preferences={"weights": {"carbon": 1}})
    assert usual.results[0].scored.grams is not None
    emitted = [one.scored.grams for one in green.results]
    assert all(grams is not None and grams < usual.results[0].scored.grams for grams in emitted)
    assert asking("low carbon chatbot").weights.carbon > 0.1


class Watched(CarbonService):
    """Counts what it is asked for in the thread that serves everybody."""

    asked = 0

    def _of(self, *known: Any) -> Any:
        self.asked += threading.current_thread() is threading.main_thread()
        return super()._of(*known)


def test_what_thousands_of_models_emit_is_worked_out_in_a_thread_and_kept(like: Like, store: Store) -> None:
    carbon = Watched(store.catalog, "WOR")
    service = like(carbon=carbon)
    answer = Asking(service)("a green chatbot", limit=5)
    assert answer.total > 500
    assert carbon.asked <= 2 * len(answer.results)
    kept = service._emissions
    Asking(service)("a green coder", workload={"outputTokens": 10})
    assert service._emissions is kept


async def test_what_texts_are_read_with_is_made_with_the_columns(runtime: "Runtime") -> None:
    made = (parse._compiled, parse._examples)
    for one in made:
        one.cache_clear()
    await runtime.matching.columns()
    assert [one.cache_info().currsize for one in made] == [1, 1]


def test_an_answer_says_what_the_work_emits_as_a_range_with_zone_and_method(like: Like, store: Store) -> None:
    carbon = CarbonService(store.catalog, "WOR")
    match = Asking(like(carbon=carbon))("a chatbot", workload={"inputTokens": 900, "outputTokens": 300, "callsPerDay": 24})
    shown = {one["modelId"]: one["carbon"] for one in match_body(match)["results"]}
    known = {name: told for name, told in shown.items() if told is not None}
    assert known
    for name, told in known.items():
        found = carbon.per_call(name, 300)
        assert isinstance(found, Footprint)
        assert told["perCall"]["gramsCO2e"] == {"low": pytest.approx(found.grams_low, 1e-3), "high": pytest.approx(found.grams_high, 1e-3)}
        assert told["perMonth"]["wattHours"]["high"] == pytest.approx(found.wh_high * 24 * 365 / 12, 1e-3)
        assert (told["zone"], told["method"], told["basis"]) == ("WOR", found.method, found.basis)
    unknown = [name for name, told in shown.items() if told is None]
    assert all(isinstance(carbon.per_call(name, 300), Unknown) for name in unknown)
