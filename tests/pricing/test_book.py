from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.catalog.repository import MODEL, OFFER, PRICE, PROVIDER, RUN
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.pricing import repository
from backend.pricing.book import PriceBook
from backend.pricing.cost import PriceLine

NOW = datetime(2026, 7, 15, tzinfo=UTC)


def price(number: int, offer: str = "acme/m", **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        ("context_above", "service_tier", "time_window", "region", "cache_ttl", "variant", "expires_at", "source_url", "reason")
    )
    row |= {"id": f"prc_{number:03}", "offer_id": offer, "component": "input", "unit": "token", "tier": "", "source": f"s{number}"}
    row |= {"amount": "1", "currency": "USD", "usd_per_million": "1", "nano_per_million": 10**9, "extra": {}}
    row |= {"effective_at": NOW, "observed_at": NOW, "status": "observed", "in_force": True, "confirmed_free": False}
    return row | more


@pytest.fixture
async def stocked(database: Database) -> Database:
    """Two offers: one with three prices in force and one beside them, one without any."""
    lists = {name: [] for name in ("capabilities", "modalities_in", "modalities_out")}
    async with database.write() as unit:
        run = unit.session.execute
        await run(sa.insert(PROVIDER), [{"id": "acme", "name": "Acme", "created_at": NOW}])
        model = lists | {"capabilities_denied": [], "supported_formats": [], "languages": [], "facts": {}}
        await run(
            sa.insert(MODEL), [model | {"id": "m", "name": "M", "mode": "chat", "status": "active", "created_at": NOW, "updated_at": NOW}]
        )
        offer = lists | {
            "model_id": "m",
            "provider_id": "acme",
            "mode": "chat",
            "status": "active",
            "price_agreement": 1,
            "price_sources": 1,
        }
        offer |= {"extra": {}, "created_at": NOW, "updated_at": NOW}
        await run(sa.insert(OFFER), [offer | {"id": "acme/m", "upstream_id": "m", "price_state": "priced"}])
        await run(sa.insert(OFFER), [offer | {"id": "acme/n", "upstream_id": "n", "price_state": "quarantined"}])
        await run(
            sa.insert(PRICE),
            [
                price(1),
                price(2, component="output", nano_per_million=4 * 10**9, context_above=200_000, tier="context_above=200000"),
                price(
                    3,
                    time_window="16:30-00:30",
                    tier="time_window=16:30-00:30",
                    cache_ttl=3600,
                    variant="v",
                    region="eu",
                    service_tier="flex",
                ),
                price(4, in_force=False),
                price(5, offer="acme/n", status="quarantined", in_force=False, reason="absurd"),
            ],
        )
    return database


async def test_the_book_gives_back_every_line_in_force_exactly(stocked: Database) -> None:
    book = PriceBook(stocked)
    await book.load()
    card = book.card("acme/m")
    assert card is not None
    assert card.state == "priced"
    assert card.lines == (
        PriceLine("prc_001", "input", "token", 10**9),
        PriceLine("prc_002", "output", "token", 4 * 10**9, context_above=200_000),
        PriceLine("prc_003", "input", "token", 10**9, None, "flex", "16:30-00:30", "eu", 3600, "v"),
    )
    assert book.card("acme/m") is card, "a card is unpacked once"


async def test_an_offer_in_quarantine_has_a_card_without_lines_and_an_unknown_one_has_none(stocked: Database) -> None:
    book = PriceBook(stocked)
    await book.load()
    card = book.card("acme/n")
    assert card is not None
    assert (card.state, card.lines) == ("quarantined", ())
    assert book.card("acme/unheard-of") is None


async def test_the_book_is_read_again_only_after_an_ingestion(stocked: Database) -> None:
    book = PriceBook(stocked)
    await book.load()
    before = book.card("acme/m")
    async with stocked.write() as unit:
        await unit.session.execute(sa.update(PRICE).where(PRICE.c.id == "prc_001").values(nano_per_million=7))
    await book.load()
    assert book.card("acme/m") is before
    async with stocked.write() as unit:
        run = {"id": "run_1", "source": "s", "content_hash": "x", "started_at": NOW, "finished_at": NOW}
        await unit.session.execute(sa.insert(RUN), [run | dict.fromkeys(("read", "kept", "merged", "quarantined"), 0)])
    await book.load()
    after = book.card("acme/m")
    assert after is not None
    assert after.lines[0].nano_per_million == 7


LATER, STILL_LATER = NOW + timedelta(days=3), NOW + timedelta(days=5)


@pytest.fixture
async def announcing(stocked: Database) -> Database:
    """s1, whose price is in force, s2 that agrees with it and s3 that does not announce prices; so does s9 for a free offer."""
    coming = {"status": "announced", "in_force": False}
    beside = {"in_force": False}
    dear, day = {"nano_per_million": 3 * 10**9}, {"effective_at": LATER}
    async with stocked.write() as unit:
        run = unit.session.execute
        await run(sa.update(OFFER).where(OFFER.c.id == "acme/n").values(price_state="free"))
        await run(
            sa.insert(PRICE),
            [
                price(11, source="s2", nano_per_million=1_002_000_000, **beside),
                price(12, source="s2", **coming, **dear, **day),
                price(13, source="s3", nano_per_million=2 * 10**9, **beside),
                price(14, source="s3", nano_per_million=8 * 10**9, **coming, **day),
                price(15, source="s1", nano_per_million=4 * 10**9, effective_at=STILL_LATER, **coming),
                price(16, source="s2", component="output", **coming, **dear, **day),
                price(17, source="s1", nano_per_million=0, effective_at=STILL_LATER + timedelta(days=1), **coming),
                price(18, offer="acme/n", source="s9", nano_per_million=0, confirmed_free=True),
                price(19, offer="acme/n", source="s9", **coming, **dear, **day),
            ],
        )
    return stocked


async def test_an_announced_price_comes_into_force_on_its_day_without_an_ingestion(announcing: Database) -> None:
    clock = FixedClock(NOW)
    book = PriceBook(announcing, clock)
    await book.load()

    def nano() -> dict[str, int]:
        card = book.card("acme/m")
        assert card is not None
        return {line.component: line.nano_per_million for line in card.lines if line.service_tier is None}

    assert nano() == {"input": 10**9, "output": 4 * 10**9}
    clock.advance(LATER - NOW - timedelta(seconds=1))
    assert nano() == {"input": 10**9, "output": 4 * 10**9}
    clock.advance(timedelta(seconds=1))
    assert nano() == {"input": 3 * 10**9, "output": 4 * 10**9}
    assert book.card("acme/m") is book.card("acme/m")
    clock.advance(timedelta(days=30))
    assert nano() == {"input": 4 * 10**9, "output": 4 * 10**9}, "a zero that nobody confirmed is no price"


async def test_a_book_that_is_read_late_knows_what_has_come_into_force(announcing: Database) -> None:
    book = PriceBook(announcing, FixedClock(LATER))
    await book.load()
    card = book.card("acme/m")
    assert card is not None
    assert PriceLine("prc_012", "input", "token", 3 * 10**9) in card.lines


async def test_a_free_offer_costs_from_the_day_on_that_was_announced(announcing: Database) -> None:
    clock = FixedClock(NOW)
    book = PriceBook(announcing, clock)
    await book.load()
    states = [book.card("acme/n")]
    clock.advance(LATER - NOW)
    states.append(book.card("acme/n"))
    assert [card.state for card in states if card is not None] == ["free", "priced"]


async def test_a_table_of_all_cards_is_out_of_date_when_an_announced_price_comes_into_force(announcing: Database) -> None:
    clock = FixedClock(NOW)
    book = PriceBook(announcing, clock)
    await book.load()
    versions = [book.version]
    assert {card.offer_id: card for card in book.cards()} == {offer: book.card(offer) for offer in ("acme/m", "acme/n")}
    clock.advance(LATER - NOW)
    versions.append(book.version)
    table = {card.offer_id: card for card in book.cards()}
    assert table["acme/n"].state == "priced"
    assert {line.component: line.nano_per_million for line in table["acme/m"].lines if line.service_tier is None}["input"] == 3 * 10**9
    # By then one card has been asked for, and took up what had come.
    assert table["acme/m"] == book.card("acme/m")
    versions.append(book.version)
    assert versions[0] != versions[1] == versions[2]
    assert {card.offer_id: card for card in book.cards()} == table


async def test_quarantine_is_listed_with_its_reason(stocked: Database) -> None:
    async with stocked.read() as session:
        rows = await repository.doubted(session, "waiting", 10, None, None)
    assert [(row["offer_id"], row["reason"]) for row in rows] == [("acme/n", "absurd")]
