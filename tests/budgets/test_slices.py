"""The books of one process: whatever happens in whatever order, they add up, and nothing is admitted that was not leased."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.budgets.settlement import sums_by_lease
from backend.budgets.sharing import Pot, Verdict, Wish, share_out
from backend.budgets.slices import Held, NoSlice, Reservation, Slice

amounts = st.integers(0, 10**12)


class Books(RuleBasedStateMachine):
    """Three slices of one process beside what the database would hold for them."""

    def __init__(self) -> None:
        super().__init__()
        self.slices = [Slice(f"lse_{number}", f"bud_{number}", 1, 1.0) for number in range(3)]
        self.leased = [0, 0, 0]
        self.granted = [0, 0, 0]
        self.returned = [0, 0, 0]
        self.running: list[Reservation] = []
        self.journal: list[tuple[tuple[Held, ...], int]] = []
        self.charged = 0
        self.overrun = 0

    @rule(which=st.integers(0, 2), amount=amounts)
    def grant(self, which: int, amount: int) -> None:
        self.leased[which] += amount
        self.granted[which] += amount
        self.slices[which].grant(amount)

    @rule(amount=amounts)
    def reserve(self, amount: int) -> None:
        if all(part.available >= amount for part in self.slices):
            self.running.append(Reservation(self.slices, amount))

    @precondition(lambda self: self.running)
    @rule(share=st.floats(0, 1.5), data=st.data())
    def shrink(self, share: float, data: st.DataObject) -> None:
        reservation = self.running[data.draw(st.integers(0, len(self.running) - 1))]
        before = reservation.amount
        reservation.shrink(int(before * share))
        assert reservation.amount == min(before, int(before * share))

    @precondition(lambda self: self.running)
    @rule(share=st.floats(0, 3), data=st.data())
    def settle(self, share: float, data: st.DataObject) -> None:
        reservation = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        charged = int(reservation.amount * share)
        self.journal.append((reservation.settle(charged), charged))
        assert reservation.settle(charged) == (), "a reservation ends once"
        assert reservation.overrun == max(0, charged - reservation.amount)
        self.charged += charged
        self.overrun += reservation.overrun

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        reservation = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        reservation.release()
        reservation.release()

    @rule()
    def write_the_ledger(self) -> None:
        for one in sums_by_lease(self.journal):
            which = int(one.lease_id[-1])
            assert one.covered <= self.leased[which], "the ledger never takes more from a lease than is in it"
            self.leased[which] -= one.covered
            self.slices[which].written(one.covered)
        self.journal = []

    @rule(which=st.integers(0, 2))
    def give_back(self, which: int) -> None:
        amount = self.slices[which].give_back()
        self.leased[which] -= amount
        self.returned[which] += amount

    @invariant()
    def memory_and_database_agree(self) -> None:
        assert [part.held for part in self.slices] == self.leased

    @invariant()
    def nothing_is_negative(self) -> None:
        assert all(min(part.available, part.reserved, part.unsettled) >= 0 for part in self.slices)

    @invariant()
    def what_was_charged_was_leased_but_for_overruns(self) -> None:
        running = sum(reservation.amount for reservation in self.running)
        for granted, returned in zip(self.granted, self.returned, strict=True):
            assert self.charged - self.overrun + running <= granted - returned

    def teardown(self) -> None:
        for reservation in self.running:
            reservation.release()
        self.write_the_ledger()
        for which in range(3):
            self.give_back(which)
        assert self.leased == [0, 0, 0], "everything comes back"


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_an_overrun_is_taken_from_what_else_is_there_and_never_below_zero() -> None:
    part = Slice("lse", "bud", 1, 1.0)
    part.grant(130)
    reservation = Reservation([part], 100)
    assert reservation.settle(200) == (("lse", "bud", 1, 130),)
    assert (part.available, part.reserved, part.unsettled) == (0, 0, 130)
    assert reservation.overrun == 100


def test_a_reservation_left_without_settlement_is_released() -> None:
    part = Slice("lse", "bud", 1, 1.0)
    part.grant(100)
    with pytest.raises(KeyError), Reservation([part], 60):
        raise KeyError
    assert (part.available, part.reserved) == (100, 0)


def test_not_even_a_free_call_is_admitted_without_a_slice() -> None:
    assert NoSlice().available < 0


@given(
    remaining=st.lists(st.integers(-(10**6), 10**6), min_size=3, max_size=3),
    available=st.lists(st.integers(0, 10**6), min_size=3, max_size=3),
    calls=st.lists(st.tuples(st.sets(st.integers(0, 2), min_size=1), st.integers(0, 10**6), st.floats(0, 1)), max_size=30),
)
def test_sharing_never_gives_out_more_than_there_is(
    remaining: list[int], available: list[int], calls: list[tuple[set[int], int, float]]
) -> None:
    pots = {str(number): Pot(remaining[number], available[number]) for number in range(3)}
    wishes = [Wish([str(budget) for budget in sorted(budgets)], amount, int(amount * share)) for budgets, amount, share in calls]
    answers = share_out(wishes, pots)
    for name, pot in pots.items():
        given_out = sum(answer.amount for wish, answer in zip(wishes, answers, strict=True) if name in wish.budgets)
        assert pot.taken == given_out
        assert given_out <= max(0, pot.remaining + pot.available)
        assert pot.needed + pot.advance(10**9, 1) <= max(0, pot.remaining, pot.needed)
    for wish, answer in zip(wishes, answers, strict=True):
        assert answer.verdict is not Verdict.OPEN, "nobody else holds anything"
        if answer.verdict is Verdict.ADMITTED:
            assert wish.at_least <= answer.amount <= wish.amount
        else:
            assert answer.short


def test_a_call_that_does_not_fit_does_not_hold_up_a_smaller_one() -> None:
    pots = {"a": Pot(100)}
    answers = share_out([Wish(["a"], 80, 80), Wish(["a"], 50, 50), Wish(["a"], 20, 20)], pots)
    assert [answer.verdict for answer in answers] == [Verdict.ADMITTED, Verdict.REFUSED, Verdict.ADMITTED]


def test_a_call_takes_nothing_anywhere_unless_it_fits_everywhere() -> None:
    pots = {"tenant": Pot(100), "key": Pot(10)}
    assert share_out([Wish(["tenant", "key"], 50, 50)], pots)[0].short == ("key",)
    assert (pots["tenant"].taken, pots["key"].taken) == (0, 0)


def test_what_others_hold_keeps_the_verdict_open() -> None:
    wish = Wish(["a"], 50, 50, coming={"a": 45})
    assert share_out([wish], {"a": Pot(10)})[0].verdict is Verdict.OPEN
    assert share_out([wish], {"a": Pot(4)})[0].verdict is Verdict.REFUSED


def test_near_the_limit_nothing_is_taken_in_advance() -> None:
    plenty, little = Pot(10**9, taken=1_000, largest=1_000), Pot(20_000, taken=1_000, largest=1_000)
    assert plenty.advance(16_000, 4) == 16_000
    assert little.advance(16_000, 4) == 0
