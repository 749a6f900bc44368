from dataclasses import dataclass

from backend.kernel.events import Event, EventBus


@dataclass(frozen=True, slots=True)
class Happened(Event):
    what: str


@dataclass(frozen=True, slots=True)
class HappenedLoudly(Happened):
    pass


def test_a_subscriber_hears_every_event_of_its_kind_in_order() -> None:
    bus, heard = EventBus(), list[str]()
    bus.subscribe(Happened, lambda event: heard.append(event.what))
    bus.publish(Happened("one"))
    bus.publish(HappenedLoudly("another kind"))
    bus.publish(Happened("two"))
    assert heard == ["one", "two"]


def test_a_subscriber_that_left_hears_nothing_more() -> None:
    bus, heard = EventBus(), list[Happened]()
    leave = bus.subscribe(Happened, heard.append)
    leave()
    bus.publish(Happened("one"))
    assert heard == []


def test_a_subscriber_may_leave_while_it_is_being_told() -> None:
    bus, heard = EventBus(), list[str]()

    def once(event: Happened) -> None:
        heard.append(event.what)
        leave()

    leave = bus.subscribe(Happened, once)
    bus.subscribe(Happened, lambda event: heard.append("neighbour"))
    bus.publish(Happened("one"))
    bus.publish(Happened("two"))
    assert heard == ["one", "neighbour", "neighbour"]


def test_a_subscriber_that_fails_disturbs_nobody_and_is_counted() -> None:
    bus, heard = EventBus(), list[Happened]()

    def fail(event: Happened) -> None:
        raise RuntimeError("broken subscriber")

    bus.subscribe(Happened, fail)
    bus.subscribe(Happened, heard.append)
    bus.publish(Happened("one"))
    assert heard == [Happened("one")]
    assert bus.failures == 1
