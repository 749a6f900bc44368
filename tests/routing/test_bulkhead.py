"""Places at a provider: no more than there are, in the order of those who wait, and none lost."""

import asyncio

from backend.routing.bulkhead import Bulkhead


def enter(bulkhead: Bulkhead) -> bool:
    """As whoever asks a candidate does."""
    if bulkhead.full:
        return False
    bulkhead.enter()
    return True


async def test_a_place_that_is_left_goes_to_who_waits_longest() -> None:
    bulkhead, order = Bulkhead(2, 10), []
    assert [enter(bulkhead) for _ in range(3)] == [True, True, False]

    async def waits(name: int) -> None:
        assert await bulkhead.wait(60)
        bulkhead.enter()
        order.append(name)

    tasks = [asyncio.create_task(waits(name)) for name in range(3)]
    await asyncio.sleep(0)
    assert bulkhead.waiting == 3
    for _ in range(3):
        bulkhead.leave()
        assert not enter(bulkhead), "the place is somebody's already"
    await asyncio.gather(*tasks)
    assert (order, bulkhead.running) == ([0, 1, 2], 2)
    bulkhead.leave()
    bulkhead.leave()
    assert bulkhead.running == 0


async def test_who_waits_too_long_or_goes_away_gives_its_place_back() -> None:
    bulkhead = Bulkhead(1, 10)
    assert enter(bulkhead)
    assert not await bulkhead.wait(0.01)
    gone = asyncio.create_task(bulkhead.wait(60))
    await asyncio.sleep(0)
    gone.cancel()
    given = asyncio.create_task(bulkhead.wait(60))
    await asyncio.sleep(0)
    # Given a place and cancelled at the same moment.
    bulkhead.leave()
    given.cancel()
    await asyncio.gather(gone, given, return_exceptions=True)
    assert (bulkhead.running, bulkhead.waiting) == (0, 0)


def test_room_to_wait_is_bounded_and_no_limit_is_none() -> None:
    assert not Bulkhead(1, 0).has_room_to_wait
    assert Bulkhead(1, 1).has_room_to_wait
    endless = Bulkhead()
    assert all(enter(endless) for _ in range(10_000))


async def test_other_limits_let_in_who_waits_and_nobody_beyond_them() -> None:
    bulkhead, let_in = Bulkhead(1, 10), []
    assert enter(bulkhead)

    async def waits(name: int) -> None:
        assert await bulkhead.wait(60)
        bulkhead.enter()
        let_in.append(name)

    tasks = [asyncio.create_task(waits(name)) for name in range(4)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    bulkhead.resize(3, 5)
    await asyncio.gather(tasks[0], tasks[1], tasks[2], return_exceptions=True)
    assert (let_in, bulkhead.running, bulkhead.waiting, bulkhead.queue) == ([1, 2], 3, 1, 5)
    bulkhead.resize(1, 5)
    for left in (2, 1):
        bulkhead.leave()
        assert (bulkhead.running, bulkhead.waiting) == (left, 1), "a place that is none any more is nobody's"
    bulkhead.leave()
    await tasks[3]
    assert (let_in, bulkhead.running) == ([1, 2, 3], 1)
    bulkhead.leave()
    assert bulkhead.running == 0
    bulkhead.resize(0, 0)
    assert not bulkhead.full
