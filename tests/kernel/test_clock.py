from datetime import UTC, datetime, timedelta

from backend.kernel.clock import FixedClock, SystemClock


def test_the_system_clock_speaks_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_a_fixed_clock_stands_still_until_it_is_moved() -> None:
    clock = FixedClock(datetime(2026, 1, 31, 23, 59, tzinfo=UTC))
    assert (clock.now(), clock.monotonic()) == (clock.now(), clock.monotonic())
    clock.advance(timedelta(minutes=1))
    assert clock.now() == datetime(2026, 2, 1, tzinfo=UTC)
    assert clock.monotonic() == 60


def test_a_fixed_clock_moved_in_small_steps_is_where_one_step_would_have_put_it() -> None:
    clock = FixedClock(datetime(2026, 1, 31, tzinfo=UTC))
    for seconds in (59.9, 59.9, 0.1, 0.1):
        clock.advance(timedelta(seconds=seconds))
    assert clock.monotonic() == 120
