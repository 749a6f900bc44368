from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from backend.audit.service import AuditService
from backend.catalog.ingest import ingest
from backend.catalog.repository import is_day_due
from backend.identity.principal import Principal, system
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, Conflict, NotFound, PermissionDenied
from backend.pricing.book import PriceBook
from backend.pricing.edits import OwnPrice, PriceEdits, PriceUnlikely
from backend.pricing.schemas import DoubtedPrice
from backend.pricing.tiers import Tier
from tests.catalog.conftest import Notebook, offer, quote

ADMIN = system("test")
BOB = Principal(kind="user", id="user_bob")
DAY = timedelta(days=1)
Read = Callable[..., Awaitable[None]]


@pytest.fixture
def notebook() -> Notebook:
    return Notebook(offers=[offer("acme/m", "2", "8", quote("input", "1", Tier(service_tier="batch"))), offer("beta/m", "2.2", "8.8")])


@pytest.fixture
async def edits(database: Database, clock: FixedClock, notebook: Notebook) -> PriceEdits:
    await ingest(database, clock, [notebook])
    return PriceEdits(database, clock, AuditService(clock))


@pytest.fixture
def again(database: Database, clock: FixedClock, notebook: Notebook) -> Read:
    """The sources read anew, as a day later."""

    async def read(*offers: Any) -> None:
        clock.advance(DAY)
        if offers:
            notebook.offers = list(offers)
        await ingest(database, clock, [notebook], force=True)

    return read


async def in_force(database: Database, clock: FixedClock, offer_id: str = "acme/m") -> dict[tuple[str, str], int]:
    """What the gateway would charge: nano-dollars per 1M by component and tier."""
    book = PriceBook(database, clock)
    await book.load()
    card = book.card(offer_id)
    assert card is not None
    return {(line.component, line.service_tier or ""): line.nano_per_million for line in card.lines}


def own(amount: str, component: str = "input", **more: Any) -> OwnPrice:
    return OwnPrice(component, Decimal(amount), **more)


async def test_an_operators_price_is_in_force_now_and_after_every_ingestion(
    edits: PriceEdits, database: Database, clock: FixedClock, again: Read
) -> None:
    book = PriceBook(database, clock)
    await book.load()
    [stated] = await edits.ingest(ADMIN, "acme/m", [own("1.5")])
    assert (stated.in_force, stated.reason, stated.usd_per_million) == (True, "set by an operator", "1.5")
    await book.load()
    card = book.card("acme/m")
    assert card is not None
    assert {line.nano_per_million for line in card.lines if line.component == "input"} == {1_500_000_000}
    expected = {("input", ""): 1_500_000_000, ("output", ""): 8_000_000_000}
    assert await in_force(database, clock) == expected
    await again(offer("acme/m", "2.1", "8", quote("input", "1.05", Tier(service_tier="batch"))), offer("beta/m", "2.2", "8.8"))
    assert await in_force(database, clock) == expected


async def test_the_list_prices_tiers_count_again_where_its_base_price_is_the_operators(
    edits: PriceEdits, database: Database, clock: FixedClock
) -> None:
    await edits.ingest(ADMIN, "acme/m", [own("2")])
    assert (await in_force(database, clock))["input", "batch"] == 1_000_000_000


async def test_nothing_is_free_unless_an_operator_says_so(edits: PriceEdits, database: Database, clock: FixedClock, again: Read) -> None:
    await edits.ingest(ADMIN, "acme/m", [own("0"), own("0", "output")])
    for _ in range(2):
        book = PriceBook(database, clock)
        await book.load()
        card = book.card("acme/m")
        assert card is not None
        assert card.state == "free"
        await again()


async def test_a_wrong_unit_is_refused_until_the_operator_insists(edits: PriceEdits, database: Database, clock: FixedClock) -> None:
    with pytest.raises(PriceUnlikely) as refused:
        await edits.ingest(ADMIN, "acme/m", [own("2000"), own("8", "output")])
    assert "absurd" in refused.value.details["objections"][0]
    with pytest.raises(PriceUnlikely, match=r"\$0.02 per 1M, where \$2 is in force"):
        await edits.ingest(ADMIN, "acme/m", [own("0.02")])
    with pytest.raises(PriceUnlikely, match="the least that anybody asks"):
        await edits.ingest(ADMIN, "acme/m", [own("0.002")])
    assert (await in_force(database, clock))["input", ""] == 2_000_000_000
    await edits.ingest(ADMIN, "acme/m", [own("0.002")], override=True, note="a promotion")
    assert (await in_force(database, clock))["input", ""] == 2_000_000


async def test_euros_are_converted_at_the_rate_of_the_day_and_kept(edits: PriceEdits, database: Database) -> None:
    begins = datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
    [stated] = await edits.ingest(ADMIN, "acme/m", [own("2", currency="eur", effective_at=begins)])
    assert (stated.amount, stated.currency, stated.effective_at) == ("2", "EUR", begins)
    assert stated.conversion is not None
    assert stated.conversion.startswith("1 EUR = 1.")
    assert stated.conversion.endswith("ECB reference rate of 2026-07-01")
    rate = Decimal(stated.conversion.split()[3])
    assert Decimal(stated.usd_per_million) == 2 * rate


async def test_an_announced_price_comes_into_force_on_its_day(
    edits: PriceEdits, database: Database, clock: FixedClock, again: Read
) -> None:
    await edits.ingest(ADMIN, "acme/m", [own("2")])
    clock.advance(timedelta(hours=1))
    [coming] = await edits.ingest(ADMIN, "acme/m", [own("1.8", effective_at=clock.now() + timedelta(hours=12))])
    assert coming.status == "announced"
    assert (await in_force(database, clock))["input", ""] == 2_000_000_000
    await again()
    assert (await in_force(database, clock))["input", ""] == 1_800_000_000


async def test_an_operators_price_ends_on_its_day_and_the_sources_count_again(
    edits: PriceEdits, database: Database, clock: FixedClock, again: Read
) -> None:
    await edits.ingest(ADMIN, "acme/m", [own("1.5", expires_at=clock.now() + timedelta(hours=12))])
    await again()
    async with database.read() as session:
        found = await session.execute(sa.text("SELECT source FROM price WHERE in_force AND component = 'input' AND offer_id = 'acme/m'"))
        assert sorted(found.scalars()) == ["notebook", "notebook"]
    assert await in_force(database, clock) == {("input", ""): 2_000_000_000, ("input", "batch"): 10**9, ("output", ""): 8 * 10**9}


async def test_an_offer_that_no_source_names_any_more_keeps_the_operators_price(
    edits: PriceEdits, database: Database, clock: FixedClock, again: Read
) -> None:
    await edits.ingest(ADMIN, "acme/m", [own("2.2"), own("2.1", effective_at=clock.now() + timedelta(hours=12))])
    await again(offer("beta/m", "2.2", "8.8"))
    assert (await in_force(database, clock))["input", ""] == 2_100_000_000
    async with database.read() as session:
        assert not await is_day_due(session, clock.now())


async def test_the_same_price_again_changes_nothing(edits: PriceEdits, database: Database, clock: FixedClock) -> None:
    [first] = await edits.ingest(ADMIN, "acme/m", [own("1.5")])
    clock.advance(DAY)
    seen = await database.change_version()
    [second] = await edits.ingest(ADMIN, "acme/m", [own("1.5")])
    assert second.id == first.id
    assert await database.change_version() == seen


async def test_what_is_withdrawn_leaves_the_field_to_the_sources(edits: PriceEdits, database: Database, clock: FixedClock) -> None:
    begins = clock.now() - DAY
    [stated] = await edits.ingest(ADMIN, "acme/m", [own("1.5", effective_at=begins)])
    await edits.withdraw(ADMIN, stated.id)
    assert (await in_force(database, clock))["input", ""] == 2_000_000_000
    with pytest.raises(Conflict):
        await edits.ingest(ADMIN, "acme/m", [own("1.6", effective_at=begins)])
    with pytest.raises(NotFound):
        await edits.withdraw(ADMIN, stated.id)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        (own("-1"), "price"),
        (own("NaN"), "price"),
        (own("1", "inputs"), "component"),
        (own("1", unit="parsec"), "unit"),
        (own("1", currency="XXX"), "currency"),
        (own("1", tier=Tier(time_window="noon")), "timeWindow"),
        (own("1", expires_at=datetime(2026, 7, 1, tzinfo=UTC)), "expiresAt"),
    ],
)
async def test_a_price_that_cannot_be_read_is_refused_by_field(edits: PriceEdits, wrong: OwnPrice, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await edits.ingest(ADMIN, "acme/m", [wrong])
    assert refused.value.param == param


async def test_only_super_admins_decide_and_every_decision_is_in_the_audit_log(edits: PriceEdits, database: Database) -> None:
    for forbidden in (
        edits.ingest(BOB, "acme/m", [own("1")]),
        edits.doubted(BOB),
        edits.accept(BOB, "x"),
        edits.withdraw(BOB, "x"),
        edits.waiting(BOB),
        edits.beside(BOB, []),
    ):
        with pytest.raises(PermissionDenied):
            await forbidden
    [stated] = await edits.ingest(ADMIN, "acme/m", [own("1.5")], note="our contract")
    await edits.withdraw(ADMIN, stated.id)
    async with database.read() as session:
        rows = (await session.execute(sa.text("SELECT action, target FROM audit_entry ORDER BY id"))).all()
    assert [tuple(row) for row in rows] == [("price.ingest", "acme/m"), ("price.withdraw", "acme/m")]


class Quarantine:
    """An offer whose price jumped ×1000 a day later, so that it waits."""

    async def held(self, edits: PriceEdits, again: Read) -> DoubtedPrice:
        await again(offer("acme/m", "2000", "8"), offer("beta/m", "2.2", "8.8"))
        [waiting] = [one for one in (await edits.doubted(ADMIN)).items if one.price.component == "input"]
        assert (waiting.offer_id, waiting.verdict) == ("acme/m", None)
        return waiting


class TestQuarantine(Quarantine):
    async def test_an_accepted_price_is_in_force_at_once_and_stays(
        self, edits: PriceEdits, database: Database, clock: FixedClock, again: Read
    ) -> None:
        waiting = await self.held(edits, again)
        assert (await in_force(database, clock))["input", ""] == 2_000_000_000
        await edits.accept(ADMIN, waiting.price.id, note="they mean it", together=True)
        for _ in range(3):
            assert (await in_force(database, clock))["input", ""] == 2_000_000_000_000
            assert not (await edits.doubted(ADMIN)).items
            await again()
        [accepted] = (await edits.doubted(ADMIN, "accepted")).items
        assert (accepted.verdict, accepted.decided_by, accepted.note) == ("accept", ADMIN.id, "they mean it")
        assert "absurd" in accepted.doubt

    async def test_beside_a_doubted_price_stands_what_it_would_replace(self, edits: PriceEdits, again: Read) -> None:
        waiting = await self.held(edits, again)
        others, kin = (await edits.beside(ADMIN, [waiting]))[waiting.price.id]
        assert [(one.usd_per_million, one.in_force) for one in others] == [("2", True)]
        everything = (await edits.doubted(ADMIN)).items
        assert (await edits.waiting(ADMIN), kin) == (len(everything), sum(one.offer_id == "acme/m" for one in everything) - 1)

    async def test_a_rejected_price_counts_nowhere_and_stays_out(
        self, edits: PriceEdits, database: Database, clock: FixedClock, again: Read
    ) -> None:
        waiting = await self.held(edits, again)
        await edits.reject(ADMIN, waiting.price.id, note="a typing error")
        for _ in range(3):
            assert (await in_force(database, clock))["input", ""] == 2_000_000_000
            assert [one.price.id for one in (await edits.doubted(ADMIN, "rejected")).items] == [waiting.price.id]
            assert not [one for one in (await edits.doubted(ADMIN)).items if one.price.component == "input"]
            await again()

    async def test_another_amount_of_the_source_is_judged_anew(
        self, edits: PriceEdits, database: Database, clock: FixedClock, again: Read
    ) -> None:
        waiting = await self.held(edits, again)
        await edits.reject(ADMIN, waiting.price.id)
        await again(offer("acme/m", "2.5", "8"), offer("beta/m", "2.2", "8.8"))
        assert (await in_force(database, clock))["input", ""] == 2_500_000_000

    async def test_a_decision_can_be_turned_round(self, edits: PriceEdits, database: Database, clock: FixedClock, again: Read) -> None:
        waiting = await self.held(edits, again)
        await edits.reject(ADMIN, waiting.price.id)
        with pytest.raises(NotFound):
            await edits.reject(ADMIN, waiting.price.id)
        await edits.accept(ADMIN, waiting.price.id)
        assert (await in_force(database, clock))["input", ""] == 2_000_000_000_000

    async def test_the_list_goes_from_page_to_page_dearest_first(self, edits: PriceEdits, again: Read) -> None:
        await again(*(offer(f"acme/m{n}", f"{n}000", f"{n}000") for n in range(4, 9)))
        everything = (await edits.doubted(ADMIN, limit=200)).items
        assert len(everything) == 10
        page, seen = await edits.doubted(ADMIN, limit=3), []
        while True:
            seen += [one.price.id for one in page.items]
            if page.next_cursor is None:
                break
            page = await edits.doubted(ADMIN, limit=3, cursor=page.next_cursor)
        assert seen == [one.price.id for one in everything]
        amounts = [one.price.nano_per_million for one in everything]
        assert amounts == sorted(amounts, reverse=True)
