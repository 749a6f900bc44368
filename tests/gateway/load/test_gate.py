"""Who begins when there is more to do than the loop can: turns of tenants, and what is refused."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from backend.gateway.load import gate as module
from backend.gateway.load.gate import STEPS, Gate
from backend.gateway.load.level import Load
from backend.identity.snapshot import KeyRecord
from backend.kernel.errors import Overloaded
from backend.observability.metrics import Metrics
from backend.settings import OverloadSettings


def key_of(tenant: str, tier: str | None = None) -> KeyRecord:
    return KeyRecord(f"key_{tenant}", tenant, "till", tenant, tenant, None, None, None, (), False, None, None, tier=tier)


class Door:
    """Calls at a gate that several tenants use; `begun` has the tenants in the order in which their calls began, `refused` those that were
    turned away."""

    def __init__(self, **settings: object) -> None:
        self.settings = OverloadSettings.model_validate(settings)
        self.load = Load(self.settings)
        self.metrics = Metrics()
        self.gate = Gate(self.settings, self.load, self.metrics)
        self.begun: list[str] = []
        self.refused: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()
        for tenant in ("somebody", "else"):
            assert self.gate.passes(tenant)

    def call(self, tenant: str, tier: str | None = None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._call(key_of(tenant, tier)))
        self.tasks.add(task)
        return task

    async def _call(self, key: KeyRecord) -> None:
        try:
            if not self.gate.passes(key.tenant_id):
                await self.gate.wait(key)
        except Overloaded:
            self.refused.append(key.tenant_id)
        else:
            self.begun.append(key.tenant_id)

    async def all_told(self) -> None:
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def overloaded(self, level: str) -> None:
        """As after a minute of such lateness."""
        for _ in range(100):
            self.load.sampled({"normal": 0.0, "high": 0.3, "degraded": 2.0}[level], 0.0)
        assert self.load.level == level


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Door]]:
    doors: list[Door] = []

    def open_door(**settings: object) -> Door:
        doors.append(Door(**settings))
        return doors[-1]

    yield open_door
    for door in doors:
        for task in door.tasks:
            task.cancel()
        await door.all_told()


async def test_a_call_that_nobody_else_disturbs_does_not_wait(opened: Callable[..., Door]) -> None:
    door = opened()
    for _ in range(20):
        assert door.gate.passes("a")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert door.gate.waiting == 0


@pytest.mark.case("L6")
async def test_a_newcomer_is_served_next_however_many_calls_of_another_tenant_wait(opened: Callable[..., Door]) -> None:
    door = opened()
    for _ in range(500):
        door.call("flood")
    while len(door.begun) < 20:
        await asyncio.sleep(0)
    before = len(door.begun)
    await door.call("modest")
    assert door.begun.index("modest") - before <= 3 * STEPS
    await door.all_told()
    assert len(door.begun) == 501
    assert door.refused == []


async def test_a_tenant_that_has_been_alone_is_not_held_up_until_another_one_comes(
    opened: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ALONE_AFTER", 3)
    door = opened()

    def passing(tenant: str) -> int:
        return sum(door.gate.passes(tenant) for _ in range(10))

    assert passing("a") == 1
    for others in ("b", "c", "d"):
        await asyncio.sleep(0)
        assert passing("a") + passing(others) == 2
        door.gate.look()
    for _ in range(3):
        await asyncio.sleep(0)
        assert passing("a") == 1, "another one may come back any moment"
        door.gate.look()
    assert passing("a") == 10
    door.overloaded("high")
    door.gate.look()
    assert passing("a") == 0, "a process that is late looks at everybody"


async def test_tenants_take_turns_and_those_shed_last_begin_twice_as_many(opened: Callable[..., Door]) -> None:
    door = opened()
    for tenant, tier in (("a", None), ("b", None), ("p", "premium")):
        for _ in range(40):
            door.call(tenant, tier)
    await door.all_told()
    settled = door.begun[3:63]
    assert {tenant: settled.count(tenant) for tenant in "abp"} == {"a": 15, "b": 15, "p": 30}


async def test_calls_of_one_tenant_begin_in_the_order_in_which_they_came(opened: Callable[..., Door]) -> None:
    door, order = opened(), []

    async def call(number: int) -> None:
        if not door.gate.passes("a"):
            await door.gate.wait(key_of("a"))
        order.append(number)

    await asyncio.gather(*(call(number) for number in range(30)))
    assert order == list(range(30))


async def test_what_goes_beyond_the_queue_is_refused_one_at_a_time_and_the_rest_is_served(opened: Callable[..., Door]) -> None:
    door = opened(queue=10)
    for _ in range(100):
        door.call("flood")
    door.call("modest")
    await door.all_told()
    assert door.begun.count("modest") == 1
    assert door.begun.count("flood") == 11
    assert door.refused == ["flood"] * 89
    assert door.begun[-1] == "flood", "refusals do not hold up who is served"
    assert door.metrics.registry.get_sample_value("bourse_shed_calls_total", {"reason": "queue"}) == 89


async def test_a_call_that_has_waited_too_long_is_refused(opened: Callable[..., Door]) -> None:
    door = opened(wait="200ms")
    for _ in range(2):
        door.call("a")
    asyncio.get_running_loop().call_soon(lambda: _stop_the_world(0.3))
    await door.all_told()
    assert (len(door.begun), len(door.refused)) == (1, 1)


def _stop_the_world(seconds: float) -> None:
    import time

    time.sleep(seconds)


async def test_a_caller_who_leaves_while_he_waits_takes_nobodys_turn(opened: Callable[..., Door]) -> None:
    door = opened()
    tasks = [door.call("a") for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[1:-1]:
        task.cancel()
    await door.all_told()
    assert len(door.begun) == 2
    assert door.gate.waiting == 0


@pytest.mark.parametrize(
    ("level", "begun"),
    [
        ("normal", {"free": 5, None: 5, "premium": 5}),
        ("high", {"free": 0, None: 5, "premium": 5}),
        ("degraded", {"free": 0, None: 1, "premium": 5}),
    ],
)
async def test_the_busier_the_process_the_more_tiers_are_refused(
    opened: Callable[..., Door], level: str, begun: dict[str | None, int]
) -> None:
    """At the worst a tenant of the middle still has one call at a time: what he would have to queue is refused."""
    door = opened()
    door.overloaded(level)
    await asyncio.sleep(0)
    door.call("other")
    await asyncio.sleep(0)
    for tier in begun:
        for _ in range(5):
            door.call(str(tier), tier)
    await door.all_told()
    assert {tier: door.begun.count(str(tier)) for tier in begun} == begun
    door.overloaded("normal")
    await door.call("free", "free")
    assert door.begun[-1] == "free"


def test_the_load_follows_lateness_slowly_and_falls_only_when_it_has_halved() -> None:
    load = Load(OverloadSettings(high=timedelta(milliseconds=100), degraded=timedelta(milliseconds=400)))
    load.sampled(0.9, 0.0)
    assert load.level == "normal", "one pause is no overload"
    for _ in range(30):
        load.sampled(0.2, 0.0)
    assert load.level == "high"
    for _ in range(50):
        load.sampled(0.06, 0.0)
    assert load.level == "high", "more than half of what it took"
    for _ in range(50):
        load.sampled(0.0, 1.0)
    assert load.level == "degraded", "tenants that wait count as much as a late loop"
    for _ in range(50):
        load.sampled(0.15, 0.0)
    assert load.level == "high"
    for _ in range(50):
        load.sampled(0.0, 0.0)
    assert load.level == "normal"


async def test_a_single_tenants_queue_is_no_load_but_that_of_several_is(opened: Callable[..., Door]) -> None:
    door = opened()
    for _ in range(50):
        door.call("a")
    await asyncio.sleep(0)
    _stop_the_world(0.002)
    assert door.gate.look() == 0.0
    for _ in range(50):
        door.call("b")
    await asyncio.sleep(0)
    _stop_the_world(0.002)
    assert door.gate.look() >= 0.002


async def test_the_loops_lateness_is_sampled(opened: Callable[..., Door]) -> None:
    door = opened()
    door.load.start()
    try:
        while not door.load.lag:
            await asyncio.sleep(0.05)
            _stop_the_world(0.15)
        assert door.load.seconds > 0
    finally:
        door.load.stop()


async def test_answers_of_a_crowded_tenant_are_worked_on_one_in_a_turn_and_before_its_calls_that_wait(
    opened: Callable[..., Door],
) -> None:
    door, order = opened(), []

    async def answered(number: int) -> None:
        assert door.gate.is_crowded("a")
        await door.gate.go_on("a")
        order.append((number, len(door.begun)))

    for _ in range(10):
        door.call("a")
    await asyncio.sleep(0)
    assert not door.gate.is_crowded("b")
    await asyncio.gather(*(answered(number) for number in range(5)))
    assert [number for number, _ in order] == [0, 1, 2, 3, 4]
    assert len({begun for _, begun in order}) == 1, "nobody began in between"
    await door.all_told()
    assert len(door.begun) == 10
    await asyncio.sleep(0)
    assert not door.gate.is_crowded("a")
    await door.gate.go_on("a")
