"""Ingestions from the network and from hand: what they bring, what they refuse, and that nothing is lost."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.catalog.ingest import is_current
from backend.catalog.repository import OFFER, PRICE
from backend.catalog.sources import feed as sources_feed
from backend.jobs import repository
from backend.jobs.run import Ask, is_due, run
from backend.jobs.sources import Feed, KeptCopy, in_force
from backend.kernel.clock import FixedClock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import Conflict
from backend.kernel.events import EventBus
from backend.kernel.http import OutboundClient
from tests.fakes.feed_server import FeedServer
from tests.jobs.conftest import Ingest, feed_of

LIST = b"provider,model,input,output\nacme,acme-large,2.5,10\nacme,acme-small,0.1,0.4\n"


async def prices(db: Database) -> dict[str, tuple[int | None, int | None, str]]:
    """Offer → nano-dollars per million in and out, and status."""
    query = sa.select(OFFER.c.id, OFFER.c.input_nano, OFFER.c.output_nano, OFFER.c.status)
    async with db.read() as session:
        return {row.id: (row.input_nano, row.output_nano, row.status) for row in await session.execute(query)}


async def quarantined(db: Database) -> set[tuple[str, str]]:
    query = sa.select(PRICE.c.offer_id, PRICE.c.usd_per_million).where(PRICE.c.status == "quarantined")
    async with db.read() as session:
        return {(row.offer_id, row.usd_per_million) for row in await session.execute(query)}


def outcome(report: Any, source: str = "ours") -> tuple[str, str | None]:
    (one,) = (one for one in report.sources if one["source"] == source)
    return one["outcome"], one["why"]


@pytest.mark.case("S6")
async def test_the_same_list_twice_changes_nothing(ingest: Ingest, server: FeedServer, sqlite_database: Database) -> None:
    server.texts["/list"] = LIST
    first = await ingest(feed_of(server, "/list"))
    assert (first.outcome, outcome(first)) == ("changed", ("new", None))
    assert first.difference["new_offers"]["count"] == 5
    before, version = await prices(sqlite_database), await sqlite_database.change_version()
    assert before["acme/acme-large"] == (2_500_000_000, 10_000_000_000, "active")
    again = await ingest(feed_of(server, "/list"))
    assert (again.outcome, outcome(again)) == ("unchanged", ("unchanged", None))
    assert [headers.get("if-none-match") is not None for _, headers in server.asked] == [False, True]
    assert (await prices(sqlite_database), await sqlite_database.change_version()) == (before, version)


async def test_a_run_says_what_changed(ingest: Ingest, server: FeedServer, sqlite_database: Database) -> None:
    server.texts["/list"] = LIST
    await ingest(feed_of(server, "/list"))
    server.texts["/list"] = b"provider,model,input,output,colour\nacme,acme-large,5,9,red\nacme,acme-new,1,2,blue\n"
    changed = (await ingest(feed_of(server, "/list"))).difference
    assert changed["new_offers"] == {"count": 1, "some": ["acme/acme-new"]}
    assert changed["retired_offers"] == {"count": 1, "some": ["acme/acme-small"]}
    assert (changed["prices_up"], changed["prices_down"]) == (1, 1)
    assert changed["largest"][0] == {"offer": "acme/acme-large", "component": "input", "before": "2.5", "after": "5"}
    async with sqlite_database.read() as session:
        newest = (await repository.reports(session, before=None, limit=1, changed_only=True))[0]
    assert newest.difference == changed
    assert newest.sources[0]["unknown_fields"] == {"colour": 2}


@pytest.mark.case("S6")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"acme/big-1": {"litellm_provider": "acme", "input_cost_per_tok', "this is neither CSV"),
        (b"<html><body>Sign in to the hotel's network</body></html>", "neither CSV|no list of models"),
        (b"[" * 200_000, "nested more than 20"),
        (b"{" * 200_000, "nested more than 20"),
        (b"- " * 200_000, "nested more than 20"),
        (b'{"data": ' + b"[" * 200_000, "nested more than 20"),
        (b"provider,model,input\n", "no model that can be read"),
        (b"provider,model,input\nacme,a,free\nacme,b,cheap\nacme,c,1\n", "2 of its 3 entries cannot be read"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
async def test_what_cannot_be_right_is_refused_and_loses_nothing(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, text: bytes, says: str
) -> None:
    server.texts["/list"] = LIST
    await ingest(feed_of(server, "/list"))
    before = await prices(sqlite_database)
    server.texts["/list"] = text
    report = await ingest(feed_of(server, "/list"))
    assert (report.outcome, outcome(report)[0]) == ("failed", "refused")
    assert re.search(says, outcome(report)[1] or "")
    assert await prices(sqlite_database) == before
    server.texts["/list"] = LIST
    assert outcome(await ingest(feed_of(server, "/list"))) == ("unchanged", None)


@pytest.mark.case("S6")
async def test_a_million_models_are_refused(ingest: Ingest, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    # As many as a text of 32 MiB may hold would be read as well; what counts is that the rule is asked before anything is written.
    monkeypatch.setattr(sources_feed, "MOST_ENTRIES", 5_000)
    flood = b"provider,model,input,output\n" + b"".join(b"acme,m%d,1,2\n" % n for n in range(5_001))
    report = await ingest(uploads=[("ours", flood)])
    assert outcome(report) == ("refused", "it has more than 5,000 entries")
    assert await prices(sqlite_database) == {"sandbox/chat": (500_000_000, 1_500_000_000, "active")} | {
        name: one for name, one in (await prices(sqlite_database)).items() if name in ("openai/gpt-9", "acme/big-1")
    }


@pytest.mark.case("S6")
async def test_a_list_that_lost_half_of_its_models_waits_for_a_person(ingest: Ingest, sqlite_database: Database) -> None:
    rows = [f"acme,model-{n},1,2" for n in range(100)]

    def listed(count: int) -> bytes:
        return "\n".join(["provider,model,input,output", *rows[:count]]).encode()

    await ingest(uploads=[("ours", listed(100))])
    report = await ingest(uploads=[("ours", listed(40))])
    assert outcome(report) == ("refused", "it names 40 offers where it named 100 before; say that this is right (force) if it is")
    assert len(await prices(sqlite_database)) == 103
    assert outcome(await ingest(uploads=[("ours", listed(40))], force=True)) == ("new", None)
    assert sum(status == "retired" for *_, status in (await prices(sqlite_database)).values()) == 60


@pytest.mark.case("S6")
async def test_hostile_prices_wait_in_quarantine_and_price_nothing(ingest: Ingest, sqlite_database: Database, clock: FixedClock) -> None:
    await ingest(uploads=[("ours", LIST)])
    clock.advance(timedelta(days=1))
    hostile = (
        b"provider,model,name,input,output,source_url\n"
        b"acme,acme-large,,2500,10,\n"
        b"acme,acme-small,,-0.1,0.4,javascript:alert(1)\n"
        b"acme,acme-x,<script>alert(1)</script>,1e400,1,\n"
        b"acme,acme-y,<img src=x onerror=alert(1)>,1,2,javascript:alert(1)\n"
    )
    report = await ingest(uploads=[("ours", hostile)], force=True)
    assert report.outcome == "changed"
    now = await prices(sqlite_database)
    assert now["acme/acme-large"][0] == 2_500_000_000, "a price ×1000 needs a person; what was before goes on"
    assert ("acme/acme-large", "2500") in await quarantined(sqlite_database)
    assert now["acme/acme-small"][0] is None or now["acme/acme-small"][0] > 0
    assert {"acme/acme-small"} <= {offer for offer, _ in await quarantined(sqlite_database)}
    async with sqlite_database.read() as session:
        urls = {row.source_url for row in await session.execute(sa.select(PRICE.c.source_url))}
    assert not any(url and url.startswith("javascript") for url in urls)
    assert report.sources[0]["refused_entries"] == {"line 4, acme/acme-x": "input is no price: '1e400'"}


async def test_a_public_list_replaces_what_was_shipped_until_it_is_taken_away(
    ingest: Ingest, server: FeedServer, sqlite_database: Database, shipped: Any, clock: FixedClock
) -> None:
    await ingest(uploads=[("ours", LIST)])
    map_of = {"openai/gpt-9": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 3e-6, "output_cost_per_token": 1e-5}}
    map_of["acme/big-1"] = {"litellm_provider": "acme", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    server.texts["/map"] = json.dumps(map_of).encode()
    await ingest(feed_of(server, "/map", "litellm", format="litellm"))
    assert (await prices(sqlite_database))["openai/gpt-9"][0] == 3_000_000_000
    names = [source.name for source in in_force(await _copies(sqlite_database), shipped)]
    assert names == ["sandbox", "litellm", "ours"]
    assert await is_current(sqlite_database, clock, in_force(await _copies(sqlite_database), shipped))
    report = await ingest(removed="litellm")
    assert report.outcome == "changed"
    assert (await prices(sqlite_database))["openai/gpt-9"][0] == 2_500_000_000
    await ingest(removed="ours")
    assert (await prices(sqlite_database))["acme/acme-large"] == (None, None, "retired")


async def test_what_ships_later_than_a_copy_counts(ingest: Ingest, sqlite_database: Database, shipped: Any) -> None:
    await ingest(uploads=[("litellm", b"provider,model,input\nopenai,gpt-9,7\n")])
    copies = await _copies(sqlite_database)
    assert in_force(copies, shipped)[1].content_hash() == copies[0].content_hash()
    shipped[1].day = copies[0].data_date() + timedelta(days=1)
    assert in_force(copies, shipped)[1] is shipped[1]


async def _copies(db: Database) -> list[Any]:
    async with db.read() as session:
        return [KeptCopy(row) for row in await repository.copies(session, with_text=False)]


async def test_a_dry_run_says_it_all_and_writes_nothing(ingest: Ingest, sqlite_database: Database) -> None:
    await ingest(uploads=[("ours", LIST)])
    before, version = await prices(sqlite_database), await sqlite_database.change_version()
    report = await ingest(uploads=[("ours", LIST.replace(b"2.5", b"3"))], dry_run=True)
    assert report.difference["largest"] == [{"offer": "acme/acme-large", "component": "input", "before": "2.5", "after": "3"}]
    assert (await prices(sqlite_database), await sqlite_database.change_version()) == (before, version)
    async with sqlite_database.read() as session:
        assert len(await repository.reports(session, before=None, limit=10, changed_only=False)) == 1


async def test_a_refused_upload_leaves_no_source(ingest: Ingest, sqlite_database: Database) -> None:
    report = await ingest(uploads=[("ours", b"nonsense")])
    assert (report.outcome, outcome(report)[0]) == ("failed", "refused")
    assert await _copies(sqlite_database) == []


async def test_a_source_that_cannot_be_had_does_not_hold_up_the_others(ingest: Ingest, server: FeedServer) -> None:
    server.texts["/list"] = LIST
    report = await ingest(feed_of(server, "/list"), feed_of(server, "/none", "theirs"))
    assert (report.outcome, outcome(report), outcome(report, "theirs")) == ("partly", ("new", None), ("failed", "it answers 404"))


def test_when_a_source_is_looked_at_again(clock: FixedClock) -> None:
    feed, now = Feed("ours", "http://x", None, 3600.0, enabled=True), clock.now()

    def row(ago: float, failures: int = 0) -> dict[str, Any]:
        return {"tried_at": now - timedelta(seconds=ago), "failures": failures}

    assert is_due(feed, None, now, 0)
    assert not is_due(Feed("ours", "http://x", None, 3600.0, enabled=False), None, now, 0)
    assert [is_due(feed, row(ago), now, 0) for ago in (3599, 3600)] == [False, True]
    assert [is_due(feed, row(ago, failures=1), now, 0) for ago in (299, 300)] == [False, True]
    assert [is_due(feed, row(ago, failures=3), now, 0) for ago in (1199, 1200)] == [False, True]
    assert [is_due(feed, row(ago, failures=99), now, 0) for ago in (3599, 3600)] == [False, True]
    late = {is_due(Feed(f"n{n}", "http://x", None, 3600.0, enabled=True), row(3600 + 450), now, 900) for n in range(20)}
    assert late == {False, True}, "by chance some come later, each replica the same"


async def test_of_two_replicas_one_fetches_what_is_due(database_url: str, server: FeedServer, http: OutboundClient, shipped: Any) -> None:
    server.texts["/list"] = LIST
    replicas = [Database.open(database_url, EventBus()) for _ in range(2)]
    ask = Ask("schedule", "system:ingestion", feeds=(feed_of(server, "/list"),), due_only=True)

    async def look(db: Database) -> str:
        try:
            report = await run(db, SystemClock(), http, ask, shipped=shipped)
        except Conflict:
            return "another is at it"
        return "nothing due" if report is None else report.outcome

    said = sorted(await asyncio.gather(*(look(db) for db in replicas)))
    assert said in (["another is at it", "changed"], ["changed", "nothing due"])
    assert await look(replicas[1]) == "nothing due"
    assert len(server.asked) == 1
    for db in replicas:
        await db.close()


async def test_a_look_that_ends_its_process_is_not_tried_again_at_once(
    server: FeedServer, sqlite_database: Database, clock: FixedClock, http: OutboundClient, shipped: Any
) -> None:
    class Killed(BaseException):
        pass

    async def die(_: float) -> None:
        raise Killed

    server.ill["/list"] = [(503, {})]
    ask = Ask("schedule", "system:ingestion", feeds=(feed_of(server, "/list"),), due_only=True)
    with pytest.raises(Killed):
        await run(sqlite_database, clock, http, ask, pause=die, shipped=shipped)
    async with sqlite_database.read() as session:
        (row,) = await repository.copies(session, with_text=False)
    assert (row["failures"], row["error"]) == (1, "the last look at it did not come to an end")
    clock.advance(timedelta(minutes=2))
    assert await run(sqlite_database, clock, http, ask, shipped=shipped) is None
    clock.advance(timedelta(minutes=4))
    server.texts["/list"] = LIST
    report = await run(sqlite_database, clock, http, ask, shipped=shipped)
    assert report is not None
    assert report.outcome == "changed"
