"""What is learnt of candidates, on a clock that is moved by hand."""

import random
from collections.abc import Callable

import pytest

from backend.kernel.errors import UnsupportedParameter
from backend.kernel.events import Event, EventBus
from backend.providers.failures import (
    UpstreamFailure,
    connect_failure,
    failure_from_error_body,
    other_answer,
    protocol_failure,
    reset_failure,
    timeout_failure,
)
from backend.routing.events import CandidateClosed, CandidateOpened, CredentialsAccepted, CredentialsRefused
from backend.routing.health import MOST_REMEMBERED, CandidateHealth, Health
from backend.routing.route import Breaker, Candidate

BREAKER = Breaker(failures=3, open=300, probe_interval=10)
HASTY = Breaker(failures=1, open=5, probe_interval=1)
SERVER = failure_from_error_body("acme", 503, None)


class Scene:
    def __init__(self) -> None:
        self.at = 1000.0
        self.told: list[Event] = []
        events = EventBus()
        for kind in (CandidateOpened, CandidateClosed, CredentialsRefused, CredentialsAccepted):
            events.subscribe(kind, self.told.append)
        self.health = Health(events=events, now=lambda: self.at)

    def of(self, model: str = "m", provider: str = "acme") -> CandidateHealth:
        return self.health.of(Candidate(provider, model, f"{provider}/{model}"))

    def call(self, end: UpstreamFailure | None, *, model: str = "m", breaker: Breaker = BREAKER) -> None:
        """One call that was let through and ended so."""
        health = self.of(model)
        number = health.begin()
        if end is None:
            health.answered(number)
        else:
            health.failed(end, breaker, number)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def status(code: int, *, retry_after: float | None = None) -> UpstreamFailure:
    return failure_from_error_body("acme", code, None, retry_after=retry_after)


@pytest.mark.case("U5")
def test_three_failures_in_a_row_leave_it_out_and_nothing_less(scene: Scene) -> None:
    for end in (SERVER, SERVER, None, SERVER, SERVER):
        scene.call(end)
    assert scene.of().wait(BREAKER) == 0
    assert not scene.of().is_open(BREAKER)
    scene.call(SERVER)
    assert scene.of().is_open(BREAKER)
    assert scene.of().wait(BREAKER) == 10
    assert scene.told == [CandidateOpened("acme", "m", "server 503", 3)]


@pytest.mark.parametrize(
    "failure",
    [connect_failure("a"), reset_failure("a"), timeout_failure("a", "no first token", 1), protocol_failure("a", "a web page"), status(429),
     status(500), status(408)],
    ids=str,
)  # fmt: skip
def test_what_the_provider_is_to_blame_for_counts(scene: Scene, failure: UpstreamFailure) -> None:
    for _ in range(3):
        scene.call(failure)
    assert scene.of().is_open(BREAKER)


@pytest.mark.parametrize("failure", [status(400), status(404), status(413), status(422), status(409), other_answer("a")], ids=str)
def test_a_refusal_of_the_request_is_neither_a_failure_nor_an_answer(scene: Scene, failure: UpstreamFailure) -> None:
    for end in (SERVER, failure, SERVER, failure):
        scene.call(end)
    assert not scene.of().is_open(BREAKER)
    scene.call(SERVER)
    assert scene.of().is_open(BREAKER), "three failures in a row"
    scene.at += 10
    scene.call(failure)
    assert scene.of().is_open(BREAKER)


@pytest.mark.parametrize("failure", [status(400), status(404)], ids=str)
def test_a_refusal_of_the_request_shows_that_the_key_is_accepted(scene: Scene, failure: UpstreamFailure) -> None:
    earlier = scene.of().begin()
    scene.call(status(401))
    scene.of().failed(failure, BREAKER, earlier)
    assert scene.of().has_refused_key(BREAKER), "it was sent before the key was refused"
    scene.at += 10
    scene.call(failure)
    assert not scene.of().has_refused_key(BREAKER)


@pytest.mark.parametrize("end", [None, status(400)], ids=str)
def test_what_an_earlier_call_brings_does_not_end_the_time_that_was_asked_for(scene: Scene, end: UpstreamFailure | None) -> None:
    health = scene.of()
    earlier = health.begin()
    scene.call(status(429, retry_after=30))
    if end is None:
        health.answered(earlier)
    else:
        health.failed(end, BREAKER, earlier)
    assert (health.cooling, health.limited) == (30, True)
    scene.call(None)
    assert health.well


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_was_begun_before_the_outage_does_not_end_it(scene: Scene, streamed: bool) -> None:
    health = scene.of()
    earlier = health.begin()
    for _ in range(3):
        scene.call(SERVER)
    if streamed:
        health.answers(earlier)
    health.answered(earlier)
    assert health.is_open(BREAKER)


def test_among_many_calls_failures_in_a_row_are_counted_as_they_end(scene: Scene) -> None:
    """Else three of fifty calls that ran at once would leave out who answers the others."""
    health = scene.of()
    numbers = [health.begin() for _ in range(50)]
    for number in numbers:
        if number % 5:
            health.answered(number)
        else:
            health.failed(SERVER, BREAKER, number)
    assert not health.is_open(BREAKER)


def test_the_first_token_of_a_probe_lets_everybody_in_and_a_cut_after_it_leaves_it_out_again(scene: Scene) -> None:
    for _ in range(3):
        scene.call(SERVER)
    scene.at += 10
    health = scene.of()
    probe = health.begin()
    health.answers(probe)
    assert (health.is_open(BREAKER), health.wait(BREAKER)) == (False, 0)
    assert scene.told[1:] == [CandidateClosed("acme", "m")]
    health.failed(reset_failure("acme"), BREAKER, probe)
    assert health.is_open(BREAKER)
    assert health.wait(BREAKER) == 10
    scene.at += 10
    probe = health.begin()
    health.answers(probe)
    health.answered(probe)
    assert health.well
    assert [type(event) for event in scene.told] == [CandidateOpened, CandidateClosed] * 2


def test_a_look_at_who_asked_for_more_time_is_not_joined_by_others(scene: Scene) -> None:
    scene.call(status(429, retry_after=3600))
    scene.at += 10
    health = scene.of()
    assert health.is_overdue(BREAKER)
    number = health.begin()
    assert (health.cooling, health.is_overdue(BREAKER)) == (3590, False)
    health.failed(status(429, retry_after=60), BREAKER, number)
    assert health.cooling == 60, "what it says now"


@pytest.mark.case("U5")
def test_while_open_one_call_each_interval_is_the_probe(scene: Scene) -> None:
    for _ in range(3):
        scene.call(SERVER)
    probes = 0
    for _ in range(600):
        scene.at += 0.1
        if not scene.of().wait(BREAKER):
            probes += 1
            scene.call(SERVER)
    assert probes == 5, "one each ten seconds of a minute, the first ten seconds after it opened"


def test_who_answered_most_calls_is_probed_soon_and_then_as_seldom_as_others(scene: Scene) -> None:
    """A provider of whose calls one in ten fails has three failures in a row all the time, and is not to be left out for most of it."""
    for _ in range(20):
        scene.call(None)
    for _ in range(3):
        scene.call(SERVER)
    assert scene.of().wait(BREAKER) == 1
    scene.at += 1
    scene.call(SERVER)
    assert scene.of().wait(BREAKER) == 10
    scene.at += 10
    scene.call(None)
    for _ in range(3):
        scene.call(SERVER)
    assert scene.of().wait(BREAKER) == 10, "one answer is no sign that it mostly answers"


@pytest.mark.parametrize(("failures", "most"), [(3, 0.2), (8, 0.01)])
def test_chance_leaves_out_a_provider_that_fails_one_call_in_ten_for_a_part_of_the_time_only(
    scene: Scene, failures: int, most: float
) -> None:
    chance, breaker, left_out = random.Random(1), Breaker(failures=failures), 0
    for _ in range(36_000):
        scene.at += 0.02
        if scene.of().wait(breaker):
            left_out += 1
        else:
            scene.call(SERVER if chance.random() < 0.1 else None, breaker=breaker)
    assert left_out <= most * 36_000


def test_a_probe_that_is_running_is_not_joined_by_others(scene: Scene) -> None:
    for _ in range(3):
        scene.call(SERVER)
    scene.at += 10
    assert scene.of().wait(BREAKER) == 0
    scene.of().begin()
    assert scene.of().wait(BREAKER) == 10


def test_a_probe_that_is_answered_closes_it_for_everybody(scene: Scene) -> None:
    for _ in range(3):
        scene.call(SERVER)
    scene.at += 10
    scene.call(None)
    assert scene.of().wait(BREAKER) == 0
    assert scene.of().well
    assert scene.told[1:] == [CandidateClosed("acme", "m")]


def test_after_its_time_everybody_may_try_and_the_next_failure_opens_it_again(scene: Scene) -> None:
    for _ in range(3):
        scene.call(SERVER)
    scene.at += 300
    assert not scene.of().is_open(BREAKER)
    assert scene.of().wait(BREAKER) == 0
    number = scene.of().begin()
    assert scene.of().wait(BREAKER) == 0, "two at once: it is not a probe"
    scene.of().failed(SERVER, BREAKER, number)
    assert scene.of().is_open(BREAKER)
    assert scene.of().wait(BREAKER) == 10


def test_each_route_judges_the_same_facts_by_its_own_breaker(scene: Scene) -> None:
    scene.call(SERVER, breaker=HASTY)
    assert (scene.of().is_open(HASTY), scene.of().is_open(BREAKER)) == (True, False)
    scene.at += 6
    assert not scene.of().is_open(HASTY)
    scene.call(SERVER)
    scene.call(SERVER)
    assert (scene.of().is_open(HASTY), scene.of().is_open(BREAKER)) == (True, True)
    scene.at += 6
    assert (scene.of().is_open(HASTY), scene.of().is_open(BREAKER)) == (False, True)


def test_models_of_one_provider_fail_each_for_itself(scene: Scene) -> None:
    for _ in range(3):
        scene.call(SERVER, model="a")
    assert (scene.of("a").is_open(BREAKER), scene.of("b").is_open(BREAKER)) == (True, False)


@pytest.mark.parametrize("code", [401, 402, 403])
@pytest.mark.case("U6")
def test_a_refused_key_leaves_out_all_models_of_the_provider_at_once_and_a_probe_heals_it(scene: Scene, code: int) -> None:
    scene.of("other")
    scene.call(status(code))
    for model in ("m", "other", "never asked"):
        assert scene.of(model).has_refused_key(BREAKER)
        assert scene.of(model).wait(BREAKER) == 10
    assert scene.told == [CredentialsRefused("acme", "m", code, True)]
    scene.at += 10
    scene.call(None, model="other")
    assert scene.told[1:] == [CredentialsAccepted("acme")]
    assert scene.of().well
    assert scene.of("never asked").well


@pytest.mark.parametrize(
    ("end", "heals"),
    [
        pytest.param(UpstreamFailure("refused", UnsupportedParameter("no such field")), False, id="refused by us for it"),
        pytest.param(failure_from_error_body("acme", 400, None), True, id="refused by the provider"),
        pytest.param(other_answer("acme"), True, id="another answer"),
    ],
)
def test_a_key_is_accepted_by_who_was_asked(scene: Scene, end: UpstreamFailure, heals: bool) -> None:
    scene.call(status(401))
    scene.at += 20
    scene.call(end)
    assert scene.of().has_refused_key(BREAKER) is not heals


def test_a_probe_of_a_refused_key_is_one_for_all_models(scene: Scene) -> None:
    scene.call(status(401))
    scene.at += 10
    assert scene.of("other").wait(BREAKER) == 0
    scene.call(status(401), model="other")
    assert scene.of("third").wait(BREAKER) == 10


def test_a_403_for_one_model_while_others_answer_is_about_that_model(scene: Scene) -> None:
    scene.call(None, model="other")
    scene.at += 60
    scene.call(status(403))
    assert scene.of().is_open(BREAKER)
    assert scene.of("other").well
    scene.call(status(401))
    assert scene.of("other").is_open(BREAKER), "a 401 is about the key"


def test_an_account_that_does_not_suffice_for_one_call_is_not_closed_to_others(scene: Scene) -> None:
    scene.call(None)
    scene.call(status(402))
    assert scene.of().wait(BREAKER) == 0
    assert scene.told == [CredentialsRefused("acme", "m", 402, False)]
    scene.at += 400
    scene.call(status(402))
    assert scene.of("other").has_refused_key(BREAKER), "nobody was answered for so long that the account is empty"


def test_who_names_a_time_is_left_alone_until_then(scene: Scene) -> None:
    scene.call(status(429, retry_after=30))
    assert (scene.of().cooling, scene.of().limited) == (30, True)
    scene.at += 29
    assert scene.of().cooling == 1
    scene.at += 1
    assert not scene.of().cooling
    scene.call(None)
    assert scene.of().well


def test_latencies_are_smoothed_and_calls_in_flight_counted(scene: Scene) -> None:
    health = scene.of()
    assert health.latency_ms is None
    for milliseconds in (100.0, 200.0):
        health.took(milliseconds, streamed=False)
    assert health.latency_ms == 120
    assert scene.health.first_tokens() == {}
    health.took(40, streamed=True)
    assert (health.latency_ms, health.whole_ms) == (40, 120)
    assert list(scene.health.first_tokens().values()) == [40]
    health.begin()
    number = health.begin()
    assert health.in_flight == 2
    health.left()
    health.answered(number)
    assert health.in_flight == 0


def test_what_callers_make_up_is_forgotten_and_what_fails_or_runs_is_kept(scene: Scene) -> None:
    scene.of("busy").begin()
    for _ in range(3):
        scene.call(SERVER, model="ailing")
        scene.call(SERVER, model="ailing too")
    for number in range(MOST_REMEMBERED + 10):
        scene.of(f"made up {number}")
    known = {health.model for health in scene.health.all()}
    assert len(known) <= MOST_REMEMBERED
    assert {"busy", "ailing too"} <= known


def test_ten_thousand_failing_names_are_bounded_too(scene: Scene) -> None:
    for number in range(10_000):
        scene.call(SERVER, model=str(number))
    assert len(list(scene.health.all())) <= MOST_REMEMBERED


@pytest.mark.parametrize("order", [lambda ends: ends, lambda ends: tuple(reversed(ends))])
def test_calls_that_end_in_any_order_leave_nothing_in_flight(
    scene: Scene, order: Callable[[tuple[UpstreamFailure | None, ...]], tuple[UpstreamFailure | None, ...]]
) -> None:
    ends = (None, SERVER, status(401), status(400), None)
    numbers = [scene.of().begin() for _ in ends]
    for number, end in zip(numbers, order(ends), strict=True):
        if end is None:
            scene.of().answered(number)
        else:
            scene.of().failed(end, BREAKER, number)
    assert (scene.of().in_flight, scene.of().provider.bulkhead.running) == (0, 0)
