"""Handing a call over to a smaller model: what happens to its bounds."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from backend.gateway.bounds import Bounder
from backend.gateway.selecting import Selector
from backend.gateway.token_count import TokenCounter
from backend.gateway.upstreams import Upstreams
from backend.observability.metrics import Metrics
from backend.routing.health import Health
from backend.routing.table import RouteTable
from backend.settings import Settings
from tests.routing.test_selection import Key


@dataclass(frozen=True)
class Described:
    context_tokens: int
    max_output_tokens: int
    capabilities: tuple[str, ...] = ()


class Catalog:
    """The smaller model may answer at greater length than the larger one."""

    known = {"acme/large": Described(8_000, 500), "acme/small": Described(128_000, 16_000)}

    def summary(self, name: str) -> Described | None:
        return self.known.get(name)


def candidate(model: str, provider: str = "acme") -> dict[str, Any]:
    return {"provider": provider, "model": model}


async def staged(smaller: str, **body: Any) -> tuple[Selector, Any]:
    """A call for `desk` that was selected and bounded, and now turns out to be beyond a quota."""
    settings = Settings.model_validate(
        {
            "providers": {"acme": {"base_url": "https://acme.example/v1"}, "idle": {"base_url": "https://idle.example/v1"}},
            "models": [
                {"alias": "desk", "strategy": "ordered", "candidates": [candidate("large")], "smaller": smaller},
                {"alias": "mini", "candidates": [candidate("small")]},
                {"alias": "nobody", "candidates": [candidate("small", "idle")]},
            ],
        }
    )
    routes, metrics = RouteTable(settings, None), Metrics()
    await routes.load()
    # `idle` is configured, but could not be built.
    providers: Any = {"acme": object()}
    bounder = Bounder(Catalog(), None, Upstreams(providers, lambda _: None, Health()), TokenCounter(), settings.budgets.default, {})  # type: ignore[arg-type]
    selector = Selector(routes, bounder, metrics, classifies=False)
    whole = {"model": "desk", "messages": [{"role": "user", "content": "hi"}], **body}
    call = SimpleNamespace(body=whole, key=Key(), record=SimpleNamespace(), downgraded=None)
    selector.select(call, {"headers": []})  # type: ignore[arg-type]
    bounder.bound(call)  # type: ignore[arg-type]
    return selector, call


async def test_the_smaller_model_answers_no_longer_than_the_limits_have_let_in() -> None:
    selector, call = await staged("mini")
    assert [(bound.candidate.model, bound.cap) for bound in call.bounds] == [("large", 500)]
    selector.hand_over(call)
    assert [(bound.candidate.model, bound.cap, bound.context) for bound in call.bounds] == [("small", 500, 128_000)]
    assert call.downgraded == "quota"


async def test_a_cap_of_the_callers_own_is_left_alone() -> None:
    selector, call = await staged("mini", max_tokens=900)
    selector.hand_over(call)
    assert [(bound.candidate.model, bound.cap) for bound in call.bounds] == [("small", 900)]


async def test_where_nobody_smaller_can_be_asked_the_call_stays_as_it_was() -> None:
    selector, call = await staged("nobody")
    before = call.candidates, call.by_price, call.bounds
    selector.hand_over(call)
    assert (call.candidates, call.by_price, call.bounds) == before
    assert call.downgraded is None
