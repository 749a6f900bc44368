"""What ships with Bourse, held to its promises."""

from decimal import Decimal

import sqlalchemy as sa

from backend.catalog.repository import OFFER, PRICE
from backend.catalog.schemas import StoreQuery
from backend.catalog.service import CatalogService
from backend.catalog.sold import OfferEntry
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.pricing.book import PriceBook
from backend.pricing.cost import cost_of_call
from backend.pricing.outliers import ABSURD_TOKENS
from backend.pricing.service import PricingService
from backend.pricing.usage import Usage
from backend.pricing.workload import Workload
from tests.conftest import START

BAD_ROWS = (
    "azure_ai/jais-30b-chat", "watsonx/core42/jais-13b-chat", "evroc/mistralai/Voxtral-Small-24B-2507", "evroc/openai/whisper-large-v3",
    "scaleway/whisper-large-v3", "helicone/mistral-nemo", "oci/cohere.command-a-translate-08-2025",
    "fireworks_ai/accounts/fireworks/models/SSD-1B",
)  # fmt: skip


def offer_of(catalog: CatalogService, offer_id: str) -> OfferEntry | None:
    position = catalog._index.model_of_offer.get(offer_id)
    return None if position is None else next(offer for offer in catalog._index.offers[position] if offer.id == offer_id)


async def test_the_store_is_as_large_as_promised(catalog: CatalogService) -> None:
    freshness = catalog.freshness()
    assert freshness.offers >= 4000
    assert freshness.models >= 2500
    assert freshness.providers >= 140
    assert {source.source for source in freshness.sources} >= {"sandbox", "litellm", "genai-prices", "models.dev", "aliases"}


async def test_vision_tools_a_dollar_and_a_long_context_is_one_question(catalog: CatalogService) -> None:
    query = StoreQuery(capabilities=frozenset({"vision", "tools"}), input_max=10**9, context_min=128_000)
    page = catalog.search(query)
    assert page.total > 100
    assert (
        page.headline == f"{page.total} models call tools, see images, cost at most $1 per million tokens in and hold at least 128k tokens"
    )
    for model in page.items:
        assert model.input_nano is not None
        assert model.input_nano <= 10**9
        assert model.context_tokens is not None
        assert model.context_tokens >= 128_000


async def test_the_known_bad_rows_are_in_quarantine_and_priced_nowhere(catalog: CatalogService, catalog_database_url: str) -> None:
    db = Database.open(catalog_database_url, EventBus())
    book = PriceBook(db)
    await book.load()
    for offer_id in BAD_ROWS:
        entry = offer_of(catalog, offer_id)
        assert entry is not None
        assert (entry.price_state, entry.input_nano, entry.blend) == ("quarantined", None, None)
        card = book.card(offer_id)
        assert card is not None
        assert (card.state, card.lines) == ("quarantined", ())
        assert cost_of_call(Usage(input=1), card, at=START).state == "unpriced"
        detail = await catalog.model(offer_id)
        assert detail is not None
        view = next(offer for offer in detail.offers if offer.id == offer_id)
        assert {line.status for line in view.prices if line.component in ("input", "output")} == {"quarantined"}
        assert not any(line.in_force for line in view.prices)
    await db.close()


async def test_quarantine_holds_few_rows_each_with_a_reason(catalog_database_url: str) -> None:
    db = Database.open(catalog_database_url, EventBus())
    async with db.read() as session:
        rows = (await session.execute(sa.select(PRICE.c.reason, PRICE.c.in_force).where(PRICE.c.status == "quarantined"))).all()
    await db.close()
    assert 4 <= len(rows) <= 90, "a gate that closes on hundreds of rows is wrong about them"
    assert all(row.reason and not row.in_force for row in rows)


async def test_no_price_in_force_is_absurd_or_an_unconfirmed_zero(catalog_database_url: str) -> None:
    db = Database.open(catalog_database_url, EventBus())
    columns = (PRICE.c.component, PRICE.c.unit, PRICE.c.usd_per_million, PRICE.c.confirmed_free)
    async with db.read() as session:
        rows = (await session.execute(sa.select(*columns).where(PRICE.c.in_force))).all()
    await db.close()
    assert len(rows) > 20_000
    for component, unit, usd, free in rows:
        amount = Decimal(usd)
        assert amount > 0 or (amount == 0 and free)
        if unit == "token" and component in ABSURD_TOKENS:
            assert amount <= ABSURD_TOKENS[component]


async def test_at_most_one_row_per_place_is_in_force_and_lists_repeat_it(catalog_database_url: str) -> None:
    db = Database.open(catalog_database_url, EventBus())
    place = (PRICE.c.offer_id, PRICE.c.component, PRICE.c.unit, PRICE.c.tier)
    async with db.read() as session:
        double = (await session.execute(sa.select(*place).where(PRICE.c.in_force).group_by(*place).having(sa.func.count() > 1))).all()
        base = sa.and_(
            PRICE.c.offer_id == OFFER.c.id, PRICE.c.in_force, PRICE.c.unit == "token", PRICE.c.tier == "", PRICE.c.component == "input"
        )
        differing = (
            await session.execute(
                sa.select(OFFER.c.id).outerjoin(PRICE, base).where(OFFER.c.input_nano.is_distinct_from(PRICE.c.nano_per_million))
            )
        ).all()
    await db.close()
    assert double == []
    assert differing == []


async def test_prices_that_everybody_knows_are_right(catalog: CatalogService) -> None:
    for offer_id, paid, made in (
        ("openai/gpt-4o", "2.5", "10"),
        ("openai/gpt-4o-mini", "0.15", "0.6"),
        ("anthropic/claude-sonnet-4-5", "3", "15"),
        ("anthropic/claude-haiku-4-5", "1", "5"),
        ("sandbox/chat", "0.5", "1.5"),
    ):
        entry = offer_of(catalog, offer_id)
        assert entry is not None, offer_id
        assert (entry.input_nano, entry.output_nano) == (int(Decimal(paid) * 10**9), int(Decimal(made) * 10**9)), offer_id


async def test_every_name_leads_somewhere(catalog: CatalogService) -> None:
    found = {
        name: catalog._index.resolve(name)
        for name in ("gpt-4o", "GPT-4O", "openai/gpt-4o", "Claude Opus 4.5", "sandbox/chat", "no-such-model", "", "\x00")
    }
    assert {name: (catalog._index.models[place[0]].id, place[1]) for name, place in found.items() if place} == {
        "gpt-4o": ("gpt-4o", None),
        "GPT-4O": ("gpt-4o", None),
        "openai/gpt-4o": ("gpt-4o", "openai/gpt-4o"),
        "Claude Opus 4.5": ("claude-opus-4-5", None),
        "sandbox/chat": ("sandbox-chat", "sandbox/chat"),
    }
    assert catalog.offers_named("openai/gpt-4o") == [("openai", "gpt-4o")]
    assert ("openai", "gpt-4o") in catalog.offers_named("gpt-4o")
    assert ("azure", "gpt-4o") in catalog.offers_named("gpt-4o")
    assert catalog.offers_named("no-such-model") == []


async def test_a_models_page_shows_evidence_tiers_and_three_valued_capabilities(catalog: CatalogService) -> None:
    detail = await catalog.model("openai/gpt-5.4")
    assert detail is not None
    own = next(offer for offer in detail.offers if offer.id == "openai/gpt-5.4")
    assert own.price_sources >= 2
    assert any(line.tier_label == "above 272k tokens" and line.in_force for line in own.prices)
    assert any(line.tier_label == "batch" and line.in_force for line in own.prices)
    assert {state.supported for state in detail.capability_matrix} >= {True, None}
    assert all(fact.source for fact in detail.facts)
    assert own.batch_input_nano is not None
    assert own.input_nano is not None
    assert own.batch_input_nano < own.input_nano
    prices = [offer.input_nano for offer in detail.offers if offer.price_state == "priced" and offer.input_nano and offer.output_nano]
    assert prices[0] <= prices[-1]


async def test_loading_again_without_news_keeps_the_index(catalog: CatalogService) -> None:
    before = catalog._index
    assert await catalog.load()
    assert catalog._index is before


async def test_a_doubtful_price_is_shown_last_and_never_stands_for_its_model(catalog: CatalogService) -> None:
    known = offer_of(catalog, "qihang-ai/claude-sonnet-4-5-20250929")
    assert known is not None
    assert known.doubt == "one source only, 86 % below the maker's price"
    doubtful = 0
    for model, offers in catalog.sold():
        confirmed = [
            number for number, offer in enumerate(offers) if offer.price_state == "priced" and not offer.retired and not offer.doubt
        ]
        for number, offer in enumerate(offers):
            if offer.doubt is None:
                continue
            doubtful += 1
            assert offer.sources <= 2
            assert model.cheapest_offer != offer.id
            assert any(place < number for place in confirmed), f"{offer.id} is all that stands for its model"
    assert 40 <= doubtful <= 250, "a rule that doubts hundreds of prices is wrong about them"
    detail = await catalog.model("claude-sonnet-4-5")
    assert detail is not None
    [shown] = [view for view in detail.offers if view.doubt]
    assert (shown.id, shown.input_nano, shown.price_source) == (known.id, 430_000_000, "models.dev")
    on_sale = [view.id for view in detail.offers if view.price_state == "priced" and view.status != "retired"]
    assert on_sale[-1] == shown.id
    assert "$0.43" not in detail.headline
    assert shown.price_as_of is not None


async def test_in_a_comparison_a_doubtful_offer_never_stands_for_its_model(
    catalog: CatalogService, catalog_database_url: str, clock: FixedClock
) -> None:
    half = offer_of(catalog, "frogbot/gpt-5-5")
    assert half is not None
    assert half.doubt == "one source only, 50 % below the maker's price"
    db = Database.open(catalog_database_url, EventBus())
    book = PriceBook(db, clock)
    await book.load()
    pricing = PricingService(db, clock, book, catalog)
    doubted = [model.id for model, offers in catalog.sold() if any(offer.doubt for offer in offers)]
    assert "gpt-5.5" in doubted
    for start in range(0, len(doubted), 6):
        for model in (await pricing.compare(doubted[start : start + 6], Workload())).models:
            doubts = [offer.doubt is not None for offer in model.offers if offer.state == "priced"]
            assert doubts == sorted(doubts), f"{model.model_id}: confirmed ones come first"
            assert not doubts or not doubts[0], f"{model.model_id}: a doubtful one stands for it"
    await db.close()


async def test_every_price_in_force_says_whose_word_it_is_and_of_which_day(catalog: CatalogService) -> None:
    for _, offers in catalog.sold():
        for offer in offers:
            if offer.price_state in ("priced", "free"):
                assert offer.source is not None, offer.id
                assert catalog.origin(offer.id).as_of is not None
