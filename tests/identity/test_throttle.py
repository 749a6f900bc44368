from datetime import timedelta

import pytest

from backend.identity import throttle
from backend.identity.throttle import Throttle
from backend.kernel.clock import FixedClock
from backend.kernel.errors import RateLimited


def test_the_window_slides_so_no_boundary_doubles_the_limit(clock: FixedClock) -> None:
    guard = Throttle(clock, limit=2, seconds=60)
    guard.attempt("a")
    clock.advance(timedelta(seconds=59))
    guard.attempt("a")
    clock.advance(timedelta(seconds=1))
    guard.attempt("a")
    with pytest.raises(RateLimited) as caught:
        guard.attempt("a")
    assert caught.value.retry_after == 59


def test_a_refused_attempt_does_not_prolong_the_wait(clock: FixedClock) -> None:
    guard = Throttle(clock, limit=1, seconds=60)
    guard.attempt("a")
    for _ in range(59):
        clock.advance(timedelta(seconds=1))
        with pytest.raises(RateLimited):
            guard.attempt("a")
    clock.advance(timedelta(seconds=1))
    guard.attempt("a")


def test_names_do_not_share_and_an_attempt_may_be_taken_back(clock: FixedClock) -> None:
    guard = Throttle(clock, limit=1, seconds=60)
    guard.attempt("a")
    guard.attempt("b")
    guard.take_back("a")
    guard.attempt("a")
    guard.take_back("nobody")


def test_memory_is_bounded_and_the_longest_silent_is_forgotten(clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MAX_NAMES", 3)
    guard = Throttle(clock, limit=1, seconds=60)
    for name in "abcd":
        guard.attempt(name)
    guard.attempt("a")
    with pytest.raises(RateLimited):
        guard.attempt("d")
