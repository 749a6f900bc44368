"""What operators say of models holds against what sources say, until they take it back; on both databases."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.audit.service import AuditService
from backend.audit.tables import AuditEntry
from backend.catalog.concurrency import expected_version
from backend.catalog.edits.fields import ModelChange, NewModel, NewOffer, WholeModel
from backend.catalog.edits.service import CatalogEdits
from backend.catalog.ingest import ingest
from backend.catalog.schemas import ModelDetail, StoreQuery
from backend.catalog.service import CatalogService
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, Conflict, ModelNotFound, NotFound, PermissionDenied, PreconditionFailed
from tests.catalog.conftest import Notebook, offer

OPERATOR = system("test")


@pytest.fixture
async def book(database: Database, clock: FixedClock) -> Notebook:
    made = Notebook(offers=[offer("openai/gpt-9", "2.5", "10", context_tokens=1000, capabilities={"tools": True, "vision": False})])
    await ingest(database, clock, [made])
    return made


@pytest.fixture
async def store(database: Database, clock: FixedClock, book: Notebook) -> CatalogService:
    service = CatalogService(database, clock)
    await service.load()
    return service


@pytest.fixture
def edits(database: Database, clock: FixedClock, store: CatalogService) -> CatalogEdits:
    return CatalogEdits(database, clock, AuditService(clock), store)


async def shown(store: CatalogService, name: str) -> ModelDetail:
    found = await store.model(name)
    assert found is not None
    return found


async def read_again(database: Database, clock: FixedClock, store: CatalogService, book: Notebook, **facts: Any) -> None:
    """The source says something else of the model, a day later."""
    clock.advance(timedelta(days=1))
    book.offers = [offer("openai/gpt-9", "2.5", "10", **({"context_tokens": 2000, "capabilities": {"tools": False}} | facts))]
    await ingest(database, clock, [book])
    await store.load()


async def test_a_field_holds_until_it_is_taken_back_and_then_is_what_sources_say_by_then(
    database: Database, clock: FixedClock, book: Notebook, store: CatalogService, edits: CatalogEdits
) -> None:
    await edits.change(OPERATOR, "gpt-9", ModelChange(contextTokens=77, capabilities=["vision"], languages=["de", "pt-BR"]))
    await read_again(database, clock, store, book)
    held = await shown(store, "gpt-9")
    assert (held.summary.context_tokens, held.summary.capabilities, held.languages) == (77, ("vision",), ("de", "pt-BR"))
    states = {state.capability: state.supported for state in held.capability_matrix}
    assert (states["vision"], states["tools"]) == (True, False)
    assert ("context_tokens", "77 tokens", "operator") in [(fact.name, fact.value, fact.source) for fact in held.facts]
    assert [model.id for model in store.search(StoreQuery(languages=frozenset({"pt"}))).items] == ["gpt-9"]
    (listed,) = await edits.all(OPERATOR)
    assert (listed.id, listed.fields, listed.own, listed.hidden) == ("gpt-9", ("capabilities", "contextTokens", "languages"), False, False)
    await edits.change(OPERATOR, "gpt-9", ModelChange(reset=["contextTokens", "capabilities", "languages"]))
    back = await shown(store, "gpt-9")
    assert (back.summary.context_tokens, back.summary.capabilities, back.languages) == (2000, (), ())
    assert ("context_tokens", "notebook") in [(fact.name, fact.source) for fact in back.facts]
    assert await edits.all(OPERATOR) == []
    await read_again(database, clock, store, book, context_tokens=3000)
    assert (await shown(store, "gpt-9")).summary.context_tokens == 3000


async def test_replacing_takes_back_whatever_is_not_said_again(store: CatalogService, edits: CatalogEdits) -> None:
    await edits.change(OPERATOR, "gpt-9", ModelChange(contextTokens=77, name="Ours"))
    await edits.replace(OPERATOR, "gpt-9", WholeModel(name="Still ours"))
    after = await shown(store, "gpt-9")
    assert (after.summary.name, after.summary.context_tokens) == ("Still ours", 1000)
    await edits.replace(OPERATOR, "openai/gpt-9", WholeModel())
    assert await edits.all(OPERATOR) == []


async def test_a_deleted_model_stays_away_though_sources_name_it_and_comes_back_when_told(
    database: Database, clock: FixedClock, book: Notebook, store: CatalogService, edits: CatalogEdits
) -> None:
    await edits.delete(OPERATOR, "gpt-9")
    await read_again(database, clock, store, book)
    assert (await store.model("gpt-9"), store.search(StoreQuery()).total, store.offers_named("openai/gpt-9")) == (None, 0, [])
    assert [(model.id, model.hidden) for model in await edits.all(OPERATOR)] == [("gpt-9", True)]
    with pytest.raises(ModelNotFound):
        await edits.delete(OPERATOR, "gpt-9")
    with pytest.raises(Conflict, match="hidden=false"):
        await edits.create(OPERATOR, NewModel(name="GPT 9"))
    await edits.change(OPERATOR, "gpt-9", ModelChange(hidden=False))
    assert (await shown(store, "gpt-9")).summary.context_tokens == 2000
    assert store.offers_named("gpt-9") == [("openai", "gpt-9")]


async def test_a_model_and_an_offer_of_ones_own_go_on_though_no_source_names_them(
    database: Database, clock: FixedClock, book: Notebook, store: CatalogService, edits: CatalogEdits
) -> None:
    assert await edits.create(OPERATOR, NewModel(name="House Model 1", provider="acme", contextTokens=4096)) == "house-model-1"
    assert await edits.add_offer(OPERATOR, "house-model-1", NewOffer(provider="acme", upstreamId="House/One")) == "acme/House/One"
    await read_again(database, clock, store, book)
    own = await shown(store, "acme/house/one")
    assert (own.summary.id, own.summary.status, own.summary.price_state, own.summary.offers) == ("house-model-1", "active", "unpriced", 1)
    assert store.offers_named("house-model-1") == [("acme", "House/One")]
    # A source comes to name it: what was not said is filled in, what was said stays.
    book.offers.append(offer("acme/House/One", "1", "2", context_tokens=9999, max_output_tokens=512))
    clock.advance(timedelta(days=1))
    await ingest(database, clock, [book])
    await store.load()
    found = await shown(store, "house-model-1")
    assert (found.summary.name, found.summary.context_tokens, found.max_output_tokens) == ("House Model 1", 4096, 512)
    assert (found.summary.price_state, found.summary.input_nano) == ("priced", 10**9)


async def test_an_offer_of_ones_own_ends_and_one_of_a_source_does_not(store: CatalogService, edits: CatalogEdits) -> None:
    await edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="gpt-9"))
    with pytest.raises(Conflict):
        await edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="gpt-9"))
    with pytest.raises(Conflict):
        await edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="GPT-9"))
    await edits.end_offer(OPERATOR, "gpt-9", "acme/gpt-9")
    assert [offer.id for offer, _ in store.sold_by("acme")] == []
    with pytest.raises(NotFound):
        await edits.end_offer(OPERATOR, "gpt-9", "acme/gpt-9")
    with pytest.raises(Conflict):
        await edits.end_offer(OPERATOR, "gpt-9", "openai/gpt-9")
    await edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="gpt-9"))
    assert [offer.id for offer, _ in store.sold_by("acme")] == ["acme/gpt-9"]


async def test_what_was_said_of_an_offer_of_ones_own_holds_while_sources_name_it_and_after(
    database: Database, clock: FixedClock, book: Notebook, store: CatalogService, edits: CatalogEdits
) -> None:
    await edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="gpt-9", region="eu", contextTokens=32_000))

    async def read(*more: Any) -> tuple[Any, ...]:
        clock.advance(timedelta(days=1))
        book.offers = [offer("openai/gpt-9", "2.5", "10"), *more]
        await ingest(database, clock, [book])
        await store.load()
        [own] = [one for one in (await shown(store, "gpt-9")).offers if one.id == "acme/gpt-9"]
        return own.region, own.context_tokens, own.max_output_tokens, own.price_state, own.status

    assert await read(offer("acme/gpt-9", "1", "3", max_output_tokens=512)) == ("eu", 32_000, 512, "priced", "active")
    with pytest.raises(Conflict):
        await edits.end_offer(OPERATOR, "gpt-9", "acme/gpt-9")
    assert await read(offer("acme/gpt-9", "1", "3", context_tokens=64_000)) == ("eu", 64_000, None, "priced", "active")
    assert await read(offer("acme/gpt-9", "1", "3")) == ("eu", 32_000, None, "priced", "active")
    assert await read() == ("eu", 32_000, None, "unpriced", "active")
    await edits.end_offer(OPERATOR, "gpt-9", "acme/gpt-9")
    assert (await read())[-1] == "retired"


async def test_who_read_something_older_changes_nothing(store: CatalogService, edits: CatalogEdits) -> None:
    (await edits.change(OPERATOR, "gpt-9", ModelChange(name="One")))
    (before,) = await edits.all(OPERATOR)
    await edits.change(OPERATOR, "gpt-9", ModelChange(name="Two", version=before.version))
    with pytest.raises(Conflict) as body:
        await edits.change(OPERATOR, "gpt-9", ModelChange(name="Three", version=before.version))
    assert body.value.param == "version"
    with pytest.raises(PreconditionFailed):
        await edits.delete(OPERATOR, "gpt-9", if_match=before.version)
    assert (await shown(store, "gpt-9")).summary.name == "Two"


async def test_another_process_sees_each_change_though_its_clock_stands_still(
    database: Database, clock: FixedClock, store: CatalogService, edits: CatalogEdits
) -> None:
    other = CatalogService(database, clock)
    await other.load()
    seen = {other.version}
    for change in (
        edits.change(OPERATOR, "gpt-9", ModelChange(name="One")),
        edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="x")),
        edits.end_offer(OPERATOR, "gpt-9", "acme/x"),
        edits.delete(OPERATOR, "gpt-9"),
        edits.create(OPERATOR, NewModel(name="New")),
    ):
        await change
        await other.load()
        assert other.version == store.version
        assert other.version not in seen
        seen.add(other.version)
    assert [model.name for model in other.all(StoreQuery())] == ["New"]


async def test_of_two_changes_at_once_to_one_version_only_one_is_made(store: CatalogService, edits: CatalogEdits) -> None:
    await edits.change(OPERATOR, "gpt-9", ModelChange(name="One"))
    (before,) = await edits.all(OPERATOR)
    made = await asyncio.gather(
        *(edits.change(OPERATOR, "gpt-9", ModelChange(name=f"N{n}"), if_match=before.version) for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, PreconditionFailed) for one in made) == 3


def test_conditions_are_understood_as_reads_give_them() -> None:
    assert expected_version(None) is expected_version("*") is None
    assert expected_version('"17"') == expected_version('W/"0badcafe-17"') == 17
    for text in ("17", '""', '"x"', '"17", "18"', '"-1"'):
        with pytest.raises(BadRequest):
            expected_version(text)


async def test_each_change_is_audited_once_and_with_its_fields(database: Database, edits: CatalogEdits) -> None:
    await edits.change(OPERATOR, "gpt-9", ModelChange(name="Ours", status="preview"))
    await edits.add_offer(OPERATOR, "gpt-9", NewOffer(provider="acme", upstreamId="x"))
    await edits.delete(OPERATOR, "gpt-9")
    async with database.read() as session:
        rows = (await session.execute(sa.select(AuditEntry).order_by(sa.column("id")))).scalars().all()
    assert [(row.action, row.target) for row in rows] == [("model.change", "gpt-9"), ("offer.create", "acme/x"), ("model.delete", "gpt-9")]
    assert rows[0].facts["fields"] == ['name="Ours"', 'status="preview"']


async def test_nobody_else_may(edits: CatalogEdits) -> None:
    owner = Principal(kind="user", id="usr_1", tenant_id="ten_1", role=Role.OWNER)
    for principal in (ANONYMOUS, owner):
        for attempt in (
            edits.all(principal),
            edits.create(principal, NewModel(name="Mine")),
            edits.change(principal, "gpt-9", ModelChange(name="Mine")),
            edits.replace(principal, "gpt-9", WholeModel()),
            edits.delete(principal, "gpt-9"),
            edits.add_offer(principal, "gpt-9", NewOffer(provider="acme", upstreamId="x")),
            edits.end_offer(principal, "gpt-9", "openai/gpt-9"),
        ):
            with pytest.raises(PermissionDenied):
                await attempt


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"reset": ["name"]}, "reset"),
    ({"name": "x", "reset": ["name"]}, "reset"),
    ({"mode": "telepathy"}, "mode"),
    ({"status": "active", "deprecated": True}, "deprecated"),
    ({"description": "Authorization: Bearer abc.def"}, ""),
]


async def test_what_cannot_be_is_refused_and_changes_nothing(store: CatalogService, edits: CatalogEdits) -> None:
    before = await shown(store, "gpt-9")
    for fields, param in WRONG:
        with pytest.raises(BadRequest) as refused:
            await edits.change(OPERATOR, "gpt-9", ModelChange.model_validate(fields))
        assert (refused.value.param or "") == param, fields
    with pytest.raises(ModelNotFound):
        await edits.change(OPERATOR, "nothing-here", ModelChange(name="x"))
    assert await shown(store, "gpt-9") == before


@pytest.mark.case("W7")
async def test_one_name_is_one_model_however_it_is_written(store: CatalogService, edits: CatalogEdits) -> None:
    await edits.create(OPERATOR, NewModel(name="Caf\u00e9 Model"))
    for same in ("Cafe\u0301 Model", "CAFE MODEL", "caf\u00e9  model", "cafe\u200d model", "\uff43afe model"):
        with pytest.raises(Conflict):
            await edits.create(OPERATOR, NewModel(name=same))
    for none in ("\u30e2\u30c7\u30eb", "\U0001f680", "..", "-"):
        with pytest.raises(BadRequest):
            await edits.create(OPERATOR, NewModel(name=none))
    for other in ("CON", "a" * 255):
        assert await edits.create(OPERATOR, NewModel(name=other)) == other.lower()[:200]
    with pytest.raises(BadRequest):
        await edits.create(OPERATOR, NewModel(name="Fine", id="Not/Fine"))
