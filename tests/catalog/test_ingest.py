import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.catalog import repository
from backend.catalog.ingest import ingest, ingest_bundled, is_current
from backend.catalog.records import AliasRecord
from backend.catalog.repository import ALIAS, MODEL, OFFER, PRICE, RUN
from backend.catalog.service import CatalogService
from backend.catalog.sources.genai_prices import SINCE_ALWAYS
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database, sync_url
from backend.kernel.events import EventBus
from backend.pricing.tiers import Tier
from tests.catalog.conftest import Notebook, offer, quote
from tests.rig.catalog_copy import copy_catalog

DAY = timedelta(days=1)
TABLES = (repository.PROVIDER, MODEL, OFFER, ALIAS, PRICE)


async def everything(db: Database) -> dict[str, list[dict[str, Any]]]:
    async with db.read() as session:
        found = {table.name: await repository.rows(session, table) for table in TABLES}
    return {name: sorted(rows, key=str) for name, rows in found.items()}


async def prices(db: Database, component: str = "input") -> list[tuple[str, str, bool]]:
    query = (
        sa.select(PRICE.c.usd_per_million, PRICE.c.status, PRICE.c.in_force)
        .where(PRICE.c.component == component)
        .order_by(PRICE.c.effective_at, PRICE.c.id)
    )
    async with db.read() as session:
        return [tuple(row) for row in (await session.execute(query)).all()]


async def offer_row(db: Database, offer_id: str) -> dict[str, Any]:
    async with db.read() as session:
        return dict((await session.execute(sa.select(OFFER).where(OFFER.c.id == offer_id))).mappings().one())


async def test_offers_models_prices_and_names_are_stored(database: Database, clock: FixedClock) -> None:
    book = Notebook(
        offers=[offer("openai/gpt-9", "2.5", "10"), offer("azure/eu/GPT-9", "2.75", "11")],
        aliases=[AliasRecord("GPT Nine", "openai/gpt-9")],
    )
    (report,) = await ingest(database, clock, [book])
    assert (report.read, report.kept, report.prices, report.quarantined, report.skipped) == (2, 2, 4, 0, False)
    row = await offer_row(database, "openai/gpt-9")
    assert (row["model_id"], row["price_state"], row["input_nano"], row["output_nano"]) == (
        "gpt-9",
        "priced",
        2_500_000_000,
        10_000_000_000,
    )
    stored = await everything(database)
    assert {(a["name"], a["kind"], a["target"]) for a in stored["alias"]} == {
        ("gpt nine", "model", "gpt-9"), ("azure/eu/gpt-9", "offer", "azure/eu/GPT-9"),
    }  # fmt: skip


@pytest.mark.case("S6")
async def test_the_same_input_twice_changes_nothing(database: Database, clock: FixedClock) -> None:
    book = Notebook(
        offers=[offer("openai/gpt-9", "2.5", "10", quote("input", "5", Tier(context_above=200_000))), offer("azure/gpt-9", "0")]
    )
    await ingest(database, clock, [book])
    before = await everything(database)
    version = await database.change_version()
    clock.advance(DAY)
    (report,) = await ingest(database, clock, [book])
    assert (report.skipped, book.reads) == (True, 1)
    await ingest(database, clock, [book], force=True)
    assert book.reads == 2
    assert await everything(database) == before
    assert await database.change_version() == version + 1, "only the forced reading was announced"


@pytest.mark.case("S6")
async def test_two_readers_at_once_do_the_work_once(database_url: str, clock: FixedClock) -> None:
    both = [Database.open(database_url, EventBus()) for _ in range(2)]
    offers = [offer(f"acme/model-{n}", "1", "2") for n in range(50)]
    reports = await asyncio.gather(*(ingest(db, clock, [Notebook(offers=offers)]) for db in both))
    assert sorted(report.skipped for (report,) in reports) == [False, True]
    stored = await everything(both[0])
    assert (len(stored["offer"]), len(stored["price"])) == (50, 100)
    for db in both:
        await db.close()


async def test_a_new_price_is_a_new_row_and_ends_the_old_one(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-9", "10", "40")])
    await ingest(database, clock, [book])
    clock.advance(DAY)
    book.offers = [offer("openai/gpt-9", "2", "40")]
    await ingest(database, clock, [book])
    assert await prices(database) == [("10", "observed", False), ("2", "observed", True)]
    assert len(await prices(database, "output")) == 1, "what did not change has no new row"
    async with database.read() as session:
        old = (await session.execute(sa.select(PRICE).where(PRICE.c.usd_per_million == "10"))).mappings().one()
    assert (old["expires_at"], old["reason"]) == (clock.now(), "no longer stated")
    assert (await offer_row(database, "openai/gpt-9"))["updated_at"] == clock.now()


@pytest.mark.case("S6")
async def test_a_jump_waits_in_quarantine_while_the_old_price_goes_on(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-9", "2.5", "10")])
    await ingest(database, clock, [book])
    clock.advance(DAY)
    book.offers = [offer("openai/gpt-9", "2500", "10")]
    (report,) = await ingest(database, clock, [book])
    assert report.quarantined == 1
    for _ in range(2):
        assert await prices(database) == [("2.5", "observed", True), ("2500", "quarantined", False)]
        assert (await offer_row(database, "openai/gpt-9"))["input_nano"] == 2_500_000_000
        before = await everything(database)
        await ingest(database, clock, [book], force=True)
        assert await everything(database) == before


@pytest.mark.case("S6")
async def test_a_jump_within_the_possible_waits_too_and_ends_when_it_is_taken_back(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-9", "2.5", "10")])
    await ingest(database, clock, [book])
    book.offers = [offer("openai/gpt-9", "30", "30")]
    clock.advance(DAY)
    await ingest(database, clock, [book])
    assert (await offer_row(database, "openai/gpt-9"))["input_nano"] == 2_500_000_000
    assert (await offer_row(database, "openai/gpt-9"))["output_nano"] == 30_000_000_000
    book.offers = [offer("openai/gpt-9", "2.5", "30")]
    clock.advance(DAY)
    await ingest(database, clock, [book])
    row = await offer_row(database, "openai/gpt-9")
    assert (row["input_nano"], row["price_state"]) == (2_500_000_000, "priced")


@pytest.mark.case("S6")
async def test_a_hostile_feed_prices_nothing_and_breaks_nothing(database: Database, clock: FixedClock) -> None:
    hostile = Notebook(
        offers=[
            offer("acme/<script>alert(1)</script>", "1", "2", name="<script>alert(1)</script>" * 20),
            offer("acme/negative", "-1", "-2"),
            offer("acme/huge", "1e30", "1e30"),
            offer("acme/" + "x" * 250, "1", "2"),
            offer("acme/  ", "1", "2"),
            offer("acme/nul\x00inside", "1", "2"),
            offer("acme/fine", "1", "2"),
        ]
    )
    (report,) = await ingest(database, clock, [hostile])
    states = {row["upstream_id"]: row["price_state"] for row in (await everything(database))["offer"]}
    assert states["fine"] == "priced"
    assert states["negative"] == "quarantined"
    assert states["huge"] != "priced"
    assert len(states) < report.read, "names that cannot be stored are left out"


async def test_an_announced_price_comes_into_force_on_its_day_without_a_new_reading(database: Database, clock: FixedClock) -> None:
    change = clock.now() + 2 * DAY
    dated = [quote("input", "2", effective_at=SINCE_ALWAYS, expires_at=change), quote("input", "1", effective_at=change)]
    book = Notebook(offers=[replace(offer("openai/gpt-9"), quotes=tuple(dated))])
    await ingest(database, clock, [book])
    assert await prices(database) == [("2", "observed", True), ("1", "announced", False)]
    (report,) = await ingest(database, clock, [book])
    assert report.skipped
    clock.advance(2 * DAY)
    (report,) = await ingest(database, clock, [book])
    assert not report.skipped
    assert await prices(database) == [("2", "observed", False), ("1", "observed", True)]
    (report,) = await ingest(database, clock, [book])
    assert report.skipped


async def test_a_price_to_come_that_is_announced_anew_still_comes_on_its_day_and_once(database: Database, clock: FixedClock) -> None:
    change = clock.now() + 2 * DAY
    book = Notebook(offers=[])
    for amount in ("1", "1.5"):
        dated = (quote("input", "2", effective_at=SINCE_ALWAYS, expires_at=change), quote("input", amount, effective_at=change))
        book.offers = [replace(offer("openai/gpt-9"), quotes=dated)]
        await ingest(database, clock, [book])
        assert await prices(database) == [("2", "observed", True), (amount, "announced", False)]
        clock.advance(DAY / 2)
    (report,) = await ingest(database, clock, [book])
    assert report.skipped, "what was written again is known"
    clock.advance(2 * DAY)
    await ingest(database, clock, [book])
    assert await prices(database) == [("2", "observed", False), ("1.5", "observed", True)]


async def test_an_offer_retires_on_its_last_day_without_a_new_reading(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-9", "1", "2", deprecation_date=(clock.now() + DAY).date())])
    await ingest(database, clock, [book])
    assert (await offer_row(database, "openai/gpt-9"))["status"] == "deprecated"
    (report,) = await ingest(database, clock, [book])
    assert report.skipped
    clock.advance(DAY)
    await ingest(database, clock, [book])
    assert (await offer_row(database, "openai/gpt-9"))["status"] == "retired"
    (report,) = await ingest(database, clock, [book])
    assert report.skipped


async def test_what_no_source_names_any_more_is_retired_but_stays(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-8", "1", "2"), offer("openai/gpt-9", "1", "2")])
    await ingest(database, clock, [book])
    book.offers = book.offers[1:]
    clock.advance(DAY)
    await ingest(database, clock, [book])
    gone = await offer_row(database, "openai/gpt-8")
    async with database.read() as session:
        model = await repository.model_row(session, "gpt-8")
    assert model is not None
    assert model["status"] == "retired"
    assert (gone["status"], gone["price_state"], gone["input_nano"]) == ("retired", "unpriced", None)
    before = await everything(database)
    await ingest(database, clock, [book], force=True)
    assert await everything(database) == before


async def test_sources_agree_disagree_and_are_counted(database: Database, clock: FixedClock) -> None:
    one = Notebook("one", offers=[offer("openai/gpt-9", "2.5", "10")])
    two = Notebook("two", offers=[offer("openai/gpt-9", "2.5", "12")], day=date(2026, 1, 1))
    reports = await ingest(database, clock, [one, two])
    assert [report.merged for report in reports] == [1, 1]
    row = await offer_row(database, "openai/gpt-9")
    assert (row["price_agreement"], row["price_sources"], row["output_nano"]) == (2, 2, 10_000_000_000)


async def test_a_source_that_is_not_read_keeps_its_voice(database: Database, clock: FixedClock) -> None:
    one, two = (Notebook(name, offers=[offer("openai/gpt-9", "2.5", "10")]) for name in ("one", "two"))
    await ingest(database, clock, [one, two])
    clock.advance(DAY)
    three = Notebook("three", offers=[offer("openai/gpt-9", "3", "10")])
    await ingest(database, clock, [three])
    assert (await offer_row(database, "openai/gpt-9"))["input_nano"] == 2_500_000_000, "two agree against a newer one"


async def test_a_column_that_an_operator_set_is_never_overwritten(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-9", "1", "2", name="GPT-9 Turbo", context_tokens=1000)])
    await ingest(database, clock, [book])
    async with database.write() as unit:
        mine = {"name": "Our favourite", "facts": {"name": "operator", "context_tokens": "notebook"}}
        await unit.session.execute(sa.update(MODEL).where(MODEL.c.id == "gpt-9").values(**mine))
    book.offers = [offer("openai/gpt-9", "1", "2", name="GPT-9 Turbo II", context_tokens=2000)]
    await ingest(database, clock, [book])
    async with database.read() as session:
        row = await repository.model_row(session, "gpt-9")
    assert row is not None
    assert (row["name"], row["context_tokens"], row["facts"]["name"]) == ("Our favourite", 2000, "operator")


async def test_a_change_that_arrives_while_the_plan_is_made_is_not_overwritten(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("openai/gpt-9", "1", "2", name="GPT-9 Turbo")])
    await ingest(database, clock, [book])
    book.offers = [offer("openai/gpt-9", "1", "2", name="GPT-9 Turbo II")]
    other = sa.create_engine(sync_url(database.url))
    stages: list[str] = []

    def meanwhile(stage: str, _done: int, _total: int) -> None:
        stages.append(stage)
        if stages.count("writing") == 1 and stage == "writing":
            with other.begin() as connection:
                connection.execute(sa.update(MODEL).values(name="Ours", facts={"name": "operator"}))
                connection.execute(sa.text("UPDATE change SET version = version + 1"))

    await ingest(database, clock, [book], meanwhile)
    other.dispose()
    assert stages.count("comparing with the store") == 2
    async with database.read() as session:
        row = await repository.model_row(session, "gpt-9")
    assert row is not None
    assert row["name"] == "Ours"


async def test_a_run_is_recorded_per_source(database: Database, clock: FixedClock) -> None:
    await ingest(database, clock, [Notebook("one", offers=[offer("a/m", "1", "2")], day=date(2026, 7, 2)), Notebook("two")])
    async with database.read() as session:
        runs = {run["source"]: run for run in await repository.runs(session)}
    assert (runs["one"]["kept"], runs["one"]["data_date"], runs["one"]["finished_at"]) == (
        1,
        date(2026, 7, 2),
        datetime(2026, 7, 15, 12, tzinfo=UTC),
    )
    assert runs["two"]["kept"] == 0


async def test_progress_is_told_in_order(database: Database, clock: FixedClock) -> None:
    told: list[tuple[int, int]] = []
    await ingest(database, clock, [Notebook(offers=[offer("a/m", "1", "2")])], lambda _stage, done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len(told) > 3
    assert told[-1][0] == told[-1][1]


async def test_a_reading_that_fails_leaves_the_store_as_it_was(database: Database, clock: FixedClock) -> None:
    book = Notebook(offers=[offer("a/m", "1", "2")])
    await ingest(database, clock, [book])
    before = await everything(database)

    class Torn(Notebook):
        def read(self) -> Any:
            raise OSError("half a file")

    with pytest.raises(OSError, match="half a file"):
        await ingest(database, clock, [book, Torn("torn")])
    assert await everything(database) == before
    async with database.read() as session:
        assert len((await session.execute(sa.select(RUN))).all()) == 1


async def test_everything_that_ships_fits_into_postgresql(postgres_url: str, catalog_file: Path, clock: FixedClock) -> None:
    """SQLite takes any length and any character; PostgreSQL holds both to the schema. Rows are copied: reading them anew is the soak's."""
    await asyncio.to_thread(copy_catalog, catalog_file, postgres_url)
    database = Database.open(postgres_url, EventBus())
    catalog = CatalogService(database, clock)
    assert await catalog.load()
    assert catalog.freshness().offers > 4000
    detail = await catalog.model("gpt-4o")
    assert detail is not None
    assert detail.offers[0].price_state == "priced"
    await database.close()


@pytest.mark.soak
async def test_everything_that_ships_is_read_into_postgresql_and_then_known(postgres_database: Database, clock: FixedClock) -> None:
    """SQLite takes any length and any character; PostgreSQL holds both to the schema."""
    assert not await is_current(postgres_database, clock)
    reports = await ingest_bundled(postgres_database, clock)
    assert await is_current(postgres_database, clock)
    assert all(report.unknown == {} for report in reports)
    assert sum(report.prices for report in reports) > 30_000
    again = await ingest_bundled(postgres_database, clock, force=True)
    assert sum(report.prices for report in again) == 0
    catalog = CatalogService(postgres_database, clock)
    assert await catalog.load()
    assert catalog.freshness().offers > 4000
    detail = await catalog.model("gpt-4o")
    assert detail is not None
    assert detail.offers[0].price_state == "priced"
