"""Rounds: who is in which, and what becomes of those that fail."""

import asyncio
from collections.abc import Sequence

import pytest

from backend.gateway.replay import repository
from backend.gateway.replay.repository import Granted, Wish
from backend.gateway.rounds import LATER, Later, Rounds
from backend.kernel.db import Database
from backend.kernel.errors import StorageUnavailable


class Work:
    """Notes its rounds. What is asked for is its size, of which a round has room for so much."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.rounds: list[list[str]] = []
        self.room = room
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def __call__(self, wishes: Sequence[tuple[str, int]]) -> list[str | Later]:
        await self.may_go_on.wait()
        left, fates = self.room, list[str | Later]()
        for name, size in wishes:
            fits = size <= left or not fates
            left -= size if fits else 0
            fates.append(name if fits else LATER)
        self.rounds.append([fate for fate in fates if isinstance(fate, str)])
        return fates


async def test_a_round_takes_one_of_each_line_in_turn() -> None:
    work = Work()
    rounds: Rounds[tuple[str, int], str] = Rounds(work, most=4)
    flood = [rounds.grant((f"flood {number}", 1), line="flood") for number in range(20)]
    others = [rounds.grant((name, 1), line=name) for name in ("one", "two")]
    assert await asyncio.gather(*flood, *others) == [*(f"flood {number}" for number in range(20)), "one", "two"]
    assert work.rounds[0] == ["flood 0", "one", "two", "flood 1"]
    assert [name for names in work.rounds for name in names if name.startswith("flood")] == [f"flood {number}" for number in range(20)]


async def test_who_asks_during_a_flood_is_in_the_next_round() -> None:
    work = Work()
    rounds: Rounds[tuple[str, int], str] = Rounds(work, most=4)
    work.may_go_on.clear()
    flood = [asyncio.create_task(rounds.grant((f"flood {number}", 1), line="flood")) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = asyncio.create_task(rounds.grant(("late", 1), line="other"))
    await asyncio.sleep(0)
    work.may_go_on.set()
    await asyncio.gather(*flood, late)
    assert "late" in work.rounds[1]


async def test_what_has_no_room_comes_first_the_next_time() -> None:
    work = Work(room=10)
    rounds: Rounds[tuple[str, int], str] = Rounds(work)
    asks = [("large", 9), ("larger", 12), ("small", 1), ("large too", 9)]
    assert await asyncio.gather(*[rounds.grant(ask, line=ask[0]) for ask in asks]) == [name for name, _ in asks]
    assert work.rounds == [["large", "small"], ["larger"], ["large too"]]


async def test_who_comes_alone_does_not_wait_and_who_comes_after_shares_a_round() -> None:
    work = Work()
    rounds: Rounds[tuple[str, int], str] = Rounds(work, gather=0.05)
    assert await rounds.grant(("alone", 1)) == "alone"
    later = []
    for name in ("a", "b", "c"):
        later.append(asyncio.create_task(rounds.grant((name, 1))))
        await asyncio.sleep(0)
    await asyncio.gather(*later)
    assert work.rounds == [["alone"], ["a", "b", "c"]]
    patient: Rounds[tuple[str, int], str] = Rounds(work, gather=3600)
    assert await patient.grant(("first", 1)) == "first"


async def test_who_has_gone_is_not_asked_for() -> None:
    work = Work()
    rounds: Rounds[tuple[str, int], str] = Rounds(work, most=1)
    gone = asyncio.create_task(rounds.grant(("gone", 1)))
    await asyncio.sleep(0)
    gone.cancel()
    assert await rounds.grant(("here", 1)) == "here"
    assert work.rounds == [["here"]]


async def test_silence_is_everybodys() -> None:
    async def silent(_wishes: Sequence[str]) -> list[str | Later]:
        raise StorageUnavailable(retry_after=2)

    rounds: Rounds[str, str] = Rounds(silent)
    found = await asyncio.gather(rounds.grant("a"), rounds.grant("b"), return_exceptions=True)
    assert [type(one) for one in found] == [StorageUnavailable] * 2


async def test_a_wish_that_cannot_be_granted_fails_alone(sqlite_database: Database) -> None:
    async def grant(wishes: Sequence[Wish]) -> list[Granted]:
        return await repository.grant(sqlite_database, wishes)

    rounds: Rounds[Wish, Granted] = Rounds(grant)
    good, bad = Wish("a", (("SELECT 1", ()),)), Wish("b", (("SELECT ?", (object(),)),))
    found = await asyncio.gather(rounds.grant(good), rounds.grant(bad), rounds.grant(good), return_exceptions=True)
    assert found[0] == found[2] == (0, (1,))
    assert isinstance(found[1], Exception)


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_of_a_transaction_that_fails_stays(database: Database, fails: bool) -> None:
    wishes = [Wish("a", (("DELETE FROM change WHERE id = ? RETURNING id", (1,)),)), Wish("b", (("SELECT nothing", ()),))]
    if fails:
        with pytest.raises(Exception, match="nothing"):
            await repository.grant(database, wishes)
        assert await database.change_version() == 1
    else:
        assert await repository.grant(database, wishes[:1]) == [(0, (1,))]
        with pytest.raises(Exception, match="No row"):
            await database.change_version()
