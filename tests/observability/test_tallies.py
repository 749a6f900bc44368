"""Our own counters say what prometheus_client's would."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from backend.observability.tallies import Spreads, Tallies

BOUNDS = (0.005, 0.1, 1, 300)


def without_creation_times(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@pytest.mark.parametrize("amounts", [(), (0.005, 0.0051, 0.1, 1.0, 2.0, 300.0, 300.1, 0.0)])
def test_they_are_shown_as_prometheus_clients_own_are(amounts: tuple[float, ...]) -> None:
    ours, theirs = CollectorRegistry(auto_describe=True), CollectorRegistry(auto_describe=True)
    tallies = Tallies("bourse_calls_total", "Calls.", ["provider", "status"], ours)
    counter = Counter("bourse_calls_total", "Calls.", ["provider", "status"], registry=theirs)
    spreads = Spreads("bourse_seconds", "Seconds.", ["route"], BOUNDS, ours)
    histogram = Histogram("bourse_seconds", "Seconds.", ["route"], buckets=BOUNDS, registry=theirs)
    for amount in amounts:
        tallies.labels("acme", 200).inc(amount)
        tallies.labels("acme", 429).inc()
        counter.labels("acme", 200).inc(amount)
        counter.labels("acme", 429).inc()
        spreads.labels("page").observe(amount)
        histogram.labels("page").observe(amount)
    assert without_creation_times(ours) == without_creation_times(theirs)


def test_a_name_is_given_once() -> None:
    registry = CollectorRegistry(auto_describe=True)
    Tallies("bourse_calls_total", "Calls.", ["provider"], registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Counter("bourse_calls_total", "Calls again.", registry=registry)
