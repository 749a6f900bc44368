"""Lists from the index against the plainest reading of what the filters mean, over the whole catalog."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backend.catalog.names import fold
from backend.catalog.schemas import SORTS, Evidence, ModelSummary, StoreQuery
from backend.catalog.service import CatalogService
from backend.catalog.sold import OfferEntry
from backend.catalog.taxonomy import CAPABILITIES, MODALITIES, MODES, STATUSES
from backend.catalog.value import value_for_money
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from tests.conftest import START
from tests.rig.schema import sqlite_url

USD = 10**9


@pytest.fixture(scope="module")
def catalog(catalog_file: Path, tmp_path_factory: pytest.TempPathFactory) -> CatalogService:
    """Lists are answered from memory, so one loaded service serves all these tests, its database already closed."""
    copy = shutil.copy(catalog_file, tmp_path_factory.mktemp("search") / "bourse.db")

    async def loaded() -> CatalogService:
        db = Database.open(sqlite_url(Path(copy)), EventBus())
        service = CatalogService(db, FixedClock(START))
        assert await service.load()
        await db.close()
        return service

    return asyncio.run(loaded())


@pytest.mark.parametrize("query", [StoreQuery(), StoreQuery(providers=frozenset({"openrouter"})), StoreQuery(input_max=USD)])
def test_value_goes_by_the_price_that_the_row_shows_and_what_has_none_comes_last(catalog: CatalogService, query: StoreQuery) -> None:
    at_least = {model.id: 40.0 + number % 50 for number, model in enumerate(catalog.all(StoreQuery())) if number % 3}
    found = catalog.all(replace(query, sort="value"), Evidence(at_least, at_least=at_least))
    values = [
        value_for_money(at_least[model.id], model.known_blend_nano) if model.id in at_least and model.status != "retired" else None
        for model in found
    ]
    known = [value for value in values if value is not None]
    assert 100 < len(known) < len(values)
    assert known == sorted(known, reverse=True)
    assert values[: len(known)] == known
    assert {model.id for model in found} == {model.id for model in catalog.all(query)}
    turned = catalog.all(replace(query, sort="value", descending=True), Evidence(at_least, at_least=at_least))
    assert {model.id for model in turned[: len(known)]} == {model.id for model in found[: len(known)]}


@pytest.mark.parametrize("query", [StoreQuery(), StoreQuery(providers=frozenset({"openai", "azure"})), StoreQuery(sort="input")])
def test_how_many_prices_are_agreed_on_is_of_the_prices_that_are_shown(catalog: CatalogService, query: StoreQuery) -> None:
    query = replace(query, search="gpt")
    found, page = catalog.all(query), catalog.search(query)
    offers = {offer.id: offer for model in found for offer in offers_of(catalog, model.id)}
    shown = [offers[model.known_offer] for model in found if model.known_offer]
    assert page.priced == len(shown)
    assert page.agreed == sum(offer.agree > 1 for offer in shown)
    assert 0 < page.agreed < page.priced


def offers_of(catalog: CatalogService, model_id: str) -> tuple[OfferEntry, ...]:
    return catalog._index.offers[catalog._index.position[model_id]]


WORDS = ("", "gpt", "claude sonnet", "llama 70b", "qwén", "MINI", "openai", "bedrock", "%", "_", "no such thing")
PROVIDERS = ("openai", "anthropic", "gemini", "bedrock", "azure", "openrouter", "groq", "sandbox", "unheard-of")
PRICES = st.sampled_from([None, 0, USD // 10, USD, 3 * USD, 20 * USD])


def some(words: object) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(list(words)), max_size=2)  # type: ignore[call-overload]


QUERIES = st.builds(
    StoreQuery,
    search=st.sampled_from(WORDS),
    modalities_in=some(MODALITIES),
    modalities_out=some(MODALITIES),
    capabilities=some(CAPABILITIES),
    providers=some(PROVIDERS),
    modes=some(MODES),
    statuses=some(STATUSES),
    open_weights=st.sampled_from([None, None, True, False]),
    input_min=PRICES,
    input_max=PRICES,
    output_min=PRICES,
    output_max=PRICES,
    context_min=st.sampled_from([None, None, 8_000, 128_000, 1_000_000]),
    sort=st.sampled_from(SORTS),
    descending=st.booleans(),
    limit=st.just(200),
)


def plain(catalog: CatalogService, query: StoreQuery) -> set[str]:
    """Every model that the query's words ask for, one condition after the other."""
    return {model.id for model in catalog._index.models if _asked_for(catalog, model, query)}


def _asked_for(catalog: CatalogService, model: ModelSummary, query: StoreQuery) -> bool:
    offers = offers_of(catalog, model.id)
    held = (
        query.modalities_in <= set(model.modalities_in)
        and query.modalities_out <= set(model.modalities_out)
        and query.capabilities <= set(model.capabilities)
        and (not query.modes or model.mode in query.modes)
        and (not query.statuses or model.status in query.statuses)
        and (query.open_weights is None or model.open_weights is query.open_weights)
        and (query.context_min is None or (model.context_tokens or 0) >= query.context_min)
        and (not query.providers or any(offer.provider in query.providers for offer in offers))
    )
    return held and _priced_within(offers, query) and all(_mentions(catalog, model, word) for word in fold(query.search).split())


def _priced_within(offers: tuple[OfferEntry, ...], query: StoreQuery) -> bool:
    bounds = ((query.input_min, query.input_max), (query.output_min, query.output_max))
    if bounds == ((None, None), (None, None)):
        return True
    sold = [offer for offer in offers if not query.providers or offer.provider in query.providers]
    if not sold or sold[0].blend is None:
        return False
    for amount, (low, high) in zip((sold[0].input_nano, sold[0].output_nano), bounds, strict=True):
        if (low is not None or high is not None) and (amount is None or amount < (low or 0) or (high is not None and amount > high)):
            return False
    return True


def _mentions(catalog: CatalogService, model: ModelSummary, word: str) -> bool:
    index = catalog._index
    sellers = {offer.provider for offer in offers_of(catalog, model.id)}
    return word in index._texts[index.position[model.id]] or any(word in p or word in fold(index.providers[p]) for p in sellers)


def pages(catalog: CatalogService, query: StoreQuery) -> Iterator[ModelSummary]:
    offset = 0
    while page := catalog.search(replace(query, offset=offset)).items:
        yield from page
        offset += len(page)


@settings(max_examples=60, deadline=None)
@given(query=QUERIES)
def test_a_search_finds_exactly_what_its_words_ask_for(catalog: CatalogService, query: StoreQuery) -> None:
    expected = plain(catalog, query)
    listed = [model.id for model in pages(catalog, query)]
    assert len(listed) == len(set(listed)) == catalog.search(query).total
    assert set(listed) == expected


@example(query=StoreQuery(providers=frozenset({"openai", "azure"}), input_max=USD, limit=200))
@example(query=StoreQuery(search="gpt", modes=frozenset({"chat"}), output_max=USD, open_weights=True, limit=200))
@settings(max_examples=25, deadline=None)
@given(query=QUERIES)
def test_every_count_is_what_choosing_the_value_leads_to(catalog: CatalogService, query: StoreQuery) -> None:
    page = catalog.search(query)
    for facet, field, adds in (
        ("capability", "capabilities", True),
        ("modality_in", "modalities_in", True),
        ("modality_out", "modalities_out", True),
        ("mode", "modes", False),
        ("status", "statuses", False),
        ("provider", "providers", False),
    ):
        for value in page.facets[facet][:4]:
            chosen = getattr(query, field) | {value.value} if adds else frozenset({value.value})
            assert value.count == catalog.search(replace(query, **{field: chosen})).total, (facet, value)
            assert value.selected == (value.value in getattr(query, field))
    for value in page.facets["open_weights"]:
        assert value.count == catalog.search(replace(query, open_weights=value.value == "yes")).total


@pytest.mark.parametrize(
    ("sort", "field"), [("input", "input_nano"), ("output", "output_nano"), ("context", "context_tokens"), ("released", "release_date")]
)
@pytest.mark.parametrize("providers", [frozenset(), frozenset({"openrouter", "groq"})])
def test_sorting_keeps_the_unknown_last_whichever_way_it_runs(
    catalog: CatalogService, sort: str, field: str, providers: frozenset[str]
) -> None:
    for descending in (False, True):
        query = StoreQuery(sort=sort, descending=descending, providers=providers, limit=200)
        values = [getattr(model, field) for model in pages(catalog, query)]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=descending)
        assert values[: len(known)] == known


def test_a_page_beyond_the_end_is_empty_and_limits_are_capped(catalog: CatalogService) -> None:
    assert catalog.search(StoreQuery(offset=10**9)).items == ()
    assert len(catalog.search(StoreQuery(limit=10**9)).items) == 200
    assert len(catalog.search(StoreQuery(limit=-5, offset=-7)).items) == 1


HOSTILE = ("%" * 1000, "_", "(a+)+$" * 100, "\\", "'", '"', "\x00", "\u202e", "a" * 10_000, "💥" * 500)


@pytest.mark.case("C8")
def test_a_hostile_search_text_is_only_text(catalog: CatalogService) -> None:
    for text in HOSTILE:
        page = catalog.search(StoreQuery(search=text))
        assert page.total == len(plain(catalog, StoreQuery(search=" ".join(fold(text[:200]).split()[:8])))), text
        assert len(catalog.palette(text, 5)) <= 5


def test_names_are_found_however_they_are_typed(catalog: CatalogService) -> None:
    for typed, first in (
        ("gpt4o", "gpt-4o"),
        ("GPT-4O", "gpt-4o"),
        ("gpt 4o", "gpt-4o"),
        ("sandbox", "sandbox-chat"),
        ("claude opus 4.5", "claude-opus-4-5"),
    ):
        assert catalog.search(StoreQuery(search=typed)).items[0].id == first, typed


def test_a_filter_by_provider_shows_that_providers_price(catalog: CatalogService) -> None:
    by_openai = StoreQuery(search="gpt-4o", providers=frozenset({"openai"}))
    shown = next(model for model in catalog.search(by_openai).items if model.id == "gpt-4o")
    assert (shown.cheapest_offer, shown.input_nano, shown.output_nano) == ("openai/gpt-4o", 2_500_000_000, 10_000_000_000)


def test_people_recognise_the_first_screen(catalog: CatalogService) -> None:
    first = catalog.search(StoreQuery()).items
    assert len(first) == 24
    assert all(model.price_state == "priced" and model.status == "active" and model.mode == "chat" for model in first)
    makers = [model.creator for model in first]
    assert {"openai", "anthropic", "google", "deepseek", "xai", "alibaba"} <= set(makers)
    assert max(makers.count(maker) for maker in makers) <= 6


def test_the_palette_names_the_page_that_it_opens(catalog: CatalogService) -> None:
    hit = catalog.palette("gpt-4o", 3)[0]
    assert (hit.label, hit.href) == ("GPT-4o", "/models/gpt-4o")
    assert "OpenAI" in hit.hint
    assert catalog.palette("  ") == []


def test_the_palette_tells_two_models_of_one_name_apart(catalog: CatalogService) -> None:
    hits = catalog.palette("o3 mini", 8)
    twins = [hit for hit in hits if sum(other.label == hit.label for other in hits) > 1]
    assert len(twins) > 1
    assert all(hit.hint.startswith(f"{hit.href.removeprefix('/models/')} · ") for hit in twins)
    assert not any(hit.hint.startswith(hit.href.removeprefix("/models/")) for hit in hits if hit not in twins)


def test_a_model_is_known_by_its_maker_s_price_and_asked_about_by_the_cheapest(catalog: CatalogService) -> None:
    def row(**query: object) -> ModelSummary:
        page = catalog.search(StoreQuery(search="gpt-5.5", limit=200, **query))  # type: ignore[arg-type]
        return next(item for item in page.items if item.id == "gpt-5.5")

    browsing = row()
    assert browsing.own_offer == "openai/gpt-5.5"
    assert browsing.own_input_nano is not None
    assert browsing.input_nano is not None
    assert browsing.input_nano <= browsing.own_input_nano
    for question in ({"input_max": browsing.own_input_nano}, {"sort": "input"}, {"providers": frozenset({"azure"})}):
        assert row(**question).own_offer is None
