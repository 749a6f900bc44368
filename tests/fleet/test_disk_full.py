"""The disk takes nothing any more while a gateway serves: new calls are refused, what runs ends well, and nothing is lost."""

import asyncio
import resource
import sqlite3
from collections import Counter
from contextlib import closing

import pytest

from tests.budgets.witness import Witness
from tests.fakes.openai_upstream import OpenAIUpstream
from tests.fleet.conftest import ONE, USD, StartFleet, budget_of, settled
from tests.fleet.streams import CountingUpstream, Got, listen
from tests.rig.fleet import crowd, operator_of

RICH = 1_000_000 * USD


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.case("D5")
async def test_on_a_full_disk_new_calls_get_503_and_running_ones_are_charged_to_the_token(
    start_fleet: StartFleet, upstream: OpenAIUpstream
) -> None:
    """The kernel's limit on file sizes stands for the full disk. The journal's first part has room for some 250 calls at once."""
    fleet = start_fleet(ONE)
    [server] = fleet.servers
    counting = CountingUpstream(upstream, list)
    witness = Witness(fleet.database_url)
    async with operator_of(fleet.database_url) as operator, crowd() as session:
        key = await operator.key(await operator.tenant(budget=RICH), budget=RICH)
        await fleet.knows(key)
        first = Got()
        await listen(session, fleet, key, "before", 0, first, think=0, total=3)
        assert first.done
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        streams = {f"stream-{number}": Got() for number in range(400)}
        running = [
            asyncio.create_task(listen(session, fleet, key, name, 0, got, burst=1, gap=0.5, total=10_000)) for name, got in streams.items()
        ]
        await asyncio.gather(*(got.first.wait() for got in streams.values()))
        counting.enough.set()
        await asyncio.gather(*running)
        answers = Counter(got.status for got in streams.values())
        assert set(answers) == {200, 503}
        assert all(got.done for got in streams.values() if got.status == 200)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        again = Got()
        await listen(session, fleet, key, "after", 0, again, think=0, total=3)
        assert again.done
        assert await asyncio.to_thread(server.stop) == 0
        truth = await settled(witness, budget_of(witness, key.id))
    charged = dict(witness.run("SELECT end_user, charged_nano FROM call WHERE outcome = 'completed'"))
    witness.close()
    assert charged == {name: told.sent * USD // 1000 for name, told in counting.calls.items()}
    assert truth.spent == truth.ledger == sum(charged.values())
    with closing(sqlite3.connect(server.data_dir / "bourse.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
