"""Editing routes: field by field over the file, checked, audited, and live in every process that follows the change feed."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from backend.audit.service import AuditService
from backend.credentials.book import KeyBook
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, BourseError, Conflict, ModelNotFound, NotFound, PermissionDenied
from backend.kernel.events import EventBus
from backend.providers.book import ProviderBook
from backend.providers.service import ProviderService
from backend.routing import repository
from backend.routing.edits import RouteEdits
from backend.routing.service import RouteService
from backend.routing.table import RouteTable
from backend.settings import Settings
from tests.routing.test_selection import Key
from tests.routing.test_table import Catalog

OPERATOR = system("test")
ANYBODY = Key()
FILE = {
    "providers": {"acme": {"base_url": "https://acme.example/v1"}, "cheap": {"base_url": "https://cheap.example/v1"}},
    "models": [
        {
            "alias": "fast",
            "strategy": "ordered",
            "candidates": [{"provider": "acme", "model": "a", "price": {"input": 1, "output": 2}}, {"provider": "acme", "model": "b"}],
            "timeouts": {"total": "60s", "idle": "7s"},
        },
        {"alias": "big", "candidates": [{"provider": "acme", "model": "big-1"}]},
    ],
}


class NoPrices:
    def card(self, offer_id: str) -> None:
        """The catalog's prices are no matter here."""


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(FILE)


@pytest.fixture
async def table(database: Database, settings: Settings) -> RouteTable:
    made = RouteTable(settings, Catalog(), database)
    await made.load()
    return made


@pytest.fixture
def service(database: Database, clock: FixedClock, settings: Settings, table: RouteTable) -> RouteService:
    edits = RouteEdits(database, clock, AuditService(clock), settings)
    return RouteService(settings, clock, table, NoPrices(), ProviderService(ProviderBook(settings), Catalog(), KeyBook(settings)), edits)


@pytest.fixture
async def elsewhere(database: Database, clock: FixedClock, settings: Settings) -> AsyncIterator[RouteTable]:
    """The routes of another process, which has connections and events of its own."""
    theirs = Database.open(database.url, EventBus())
    feed = ChangeFeed(theirs, clock, poll_seconds=0.1)
    made = RouteTable(settings, Catalog(), theirs)
    await made.load()
    feed.subscribe(made.load)
    await feed.start()
    yield made
    await feed.stop()
    await theirs.close()


async def audited(database: Database) -> list[tuple[str, str, Any]]:
    async with database.read() as session:
        rows = await session.execute(sa.text("SELECT action, target, facts FROM audit_entry ORDER BY id"))
        return [(action, target, facts) for action, target, facts in rows]


async def test_the_file_holds_until_a_field_is_edited_and_again_once_that_is_taken_back(
    service: RouteService, table: RouteTable, database: Database
) -> None:
    before = table.resolve("fast", ANYBODY)
    await service.edits.change(OPERATOR, "fast", {"strategy": "cheapest", "timeouts": {"total": "20s"}})
    view = await service.seen(OPERATOR, "fast")
    route = table.resolve("fast", ANYBODY)
    assert (route.strategy, route.timeouts.total, route.timeouts.idle) == ("cheapest", 20, 7)
    assert route.candidates == before.candidates
    assert (view.origin, view.edited) == ("both", ("strategy", "timeouts.total"))
    await service.edits.change(OPERATOR, "fast", {"timeouts": {"idle": "9s"}, "max_output_tokens": 50})
    await service.edits.reset(OPERATOR, "fast", ("strategy", "timeouts.total"))
    assert (await service.seen(OPERATOR, "fast")).edited == ("max_output_tokens", "timeouts.idle")
    await service.edits.reset(OPERATOR, "fast")
    assert (await service.seen(OPERATOR, "fast")).origin == "configuration"
    assert table.resolve("fast", ANYBODY) == before
    async with database.read() as session:
        assert await repository.edits(session) == {}
    assert [action for action, _, _ in await audited(database)] == ["route.change", "route.change", "route.reset", "route.reset"]


async def test_what_was_changed_is_written_down(service: RouteService, database: Database) -> None:
    await service.edits.change(OPERATOR, "fast", {"max_output_tokens": 50, "enabled": False})
    [(action, target, facts)] = await audited(database)
    facts = facts if isinstance(facts, dict) else json.loads(facts)
    assert (action, target, facts["fields"]) == ("route.change", "fast", ["enabled=false", "max_output_tokens=50"])


async def test_an_edit_is_live_in_another_process(service: RouteService, elsewhere: RouteTable) -> None:
    async def until(name: str, *, there: bool) -> None:
        while True:
            route = elsewhere.find(name)
            if (route is not None and route.enabled) is there:
                return
            await asyncio.sleep(0.01)

    untouched = elsewhere.resolve("big", ANYBODY)
    await service.edits.change(OPERATOR, "fast", {"enabled": False})
    await until("fast", there=False)
    with pytest.raises(ModelNotFound):
        elsewhere.resolve("fast", ANYBODY)
    await service.edits.create(OPERATOR, "new", {"candidates": [{"provider": "cheap", "model": "n"}]})
    await until("new", there=True)
    await service.edits.delete(OPERATOR, "new")
    await until("new", there=False)
    assert elsewhere.resolve("big", ANYBODY) is untouched


async def test_a_route_may_be_in_the_database_alone(service: RouteService, table: RouteTable) -> None:
    fields = {
        "candidates": [{"provider": "cheap", "model": "n", "weight": 2, "price": {"input": 0.15, "output": "0.60"}}],
        "smaller": "big",
    }
    await service.edits.create(OPERATOR, "mine/new", fields)
    view = await service.seen(OPERATOR, "mine/new")
    assert (view.origin, view.settings["candidates"][0]["price"]["input"], view.settings["timeouts"]["total"]) == (
        "database",
        "0.15",
        "600s",
    )
    card = table.resolve("mine/new", ANYBODY).candidates[0].card
    assert card is not None
    assert [line.nano_per_million for line in card.lines] == [150_000_000, 600_000_000]
    with pytest.raises(Conflict, match="already a route"):
        await service.edits.create(OPERATOR, "mine/new", fields)
    with pytest.raises(Conflict, match="already a route"):
        await service.edits.create(OPERATOR, "fast", fields)
    await service.edits.replace(OPERATOR, "mine/new", {"candidates": [{"provider": "acme", "model": "z"}]})
    assert (await service.seen(OPERATOR, "mine/new")).settings["smaller"] is None
    with pytest.raises(Conflict, match="in the database alone"):
        await service.edits.reset(OPERATOR, "mine/new")


async def test_what_others_name_or_the_file_has_is_not_deleted(service: RouteService) -> None:
    await service.edits.create(OPERATOR, "mini", {"candidates": [{"provider": "cheap", "model": "n"}]})
    await service.edits.change(OPERATOR, "fast", {"rules": [{"task": "code", "use": ["mini"]}]})
    with pytest.raises(Conflict, match="'fast' names this route"):
        await service.edits.delete(OPERATOR, "mini")
    with pytest.raises(Conflict, match="in the configuration file"):
        await service.edits.delete(OPERATOR, "fast")
    await service.edits.reset(OPERATOR, "fast")
    await service.edits.delete(OPERATOR, "mini")
    with pytest.raises(NotFound):
        await service.edits.delete(OPERATOR, "mini")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("new", {"candidates": [{"provider": "nobody", "model": "x"}]}, "There is no provider 'nobody'. There are: acme, cheap"),
    ("new", {"candidates": []}, "at least one candidate"),
    ("new", {"strategy": "ordered"}, "at least one candidate"),
    ("fast", {"strategy": "best"}, "strategy: Input should be 'weighted', 'ordered'"),
    ("fast", {"colour": "red"}, "colour: there is no such field"),
    ("fast", {"timeouts": {"total": "soon"}}, r"timeouts\.total: must be a duration such as 30s"),
    ("fast", {"candidates": [{"provider": "acme"}]}, r"candidates\[0\]\.model: this is needed"),
    ("fast", {"candidates": [{"provider": "acme", "model": "x", "metadata": {"aws_session_token": "y"}}]}, "a secret is a reference"),
    ("fast", {"rules": [{"task": "code"}]}, r"rules\[0\]: a rule says either whom to use or reject"),
    ("fast", {"rules": [{"use": ["gone"]}]}, "'gone' is neither a candidate of this route, as provider/model, nor another alias"),
    ("fast", {"smaller": "fast"}, "'fast' is neither a candidate"),
    ("fast", {"alias": "other"}, "stays what it is"),
    ("fast", {"candidates": [{"provider": "acme", "model": "x\x00"}]}, "control character"),
    ("fast", {"rules": [{"use": ["x" * 70_000]}]}, "64 KiB"),
    (" new", {"candidates": [{"provider": "acme", "model": "x"}]}, "begin or end with a space"),
    ("router:x", {"candidates": [{"provider": "acme", "model": "x"}]}, "those of routers"),
    ("a\nb", {"candidates": [{"provider": "acme", "model": "x"}]}, "visible characters"),
]


async def test_what_cannot_be_is_refused_with_its_field_and_changes_nothing(service: RouteService, table: RouteTable) -> None:
    before = {name: table.find(name) for name, _, _ in REFUSED}
    for name, fields, says in REFUSED:
        with pytest.raises(BadRequest, match=says):
            await service.edits.replace(OPERATOR, name, fields)
    await table.load()
    assert {name: table.find(name) for name, _, _ in REFUSED} == before


async def test_changes_at_the_same_time_lose_nothing_of_each_other(service: RouteService) -> None:
    edits = ({"strategy": "fastest"}, {"timeouts": {"total": "9s"}}, {"timeouts": {"idle": "3s"}}, {"smaller": "big"})
    await asyncio.gather(*(service.edits.change(OPERATOR, "fast", edit) for edit in edits))
    assert (await service.seen(OPERATOR, "fast")).edited == ("smaller", "strategy", "timeouts.idle", "timeouts.total")


async def test_only_a_super_admin_sees_or_changes_routes(service: RouteService) -> None:
    owner = Principal(kind="user", id="usr_1", tenant_id="ten_1", role=Role.OWNER)
    edits = service.edits
    for who in (ANONYMOUS, owner):
        for attempt in (
            edits.create(who, "x", {}),
            edits.change(who, "fast", {"enabled": False}),
            edits.replace(who, "fast", {}),
            edits.reset(who, "fast"),
            edits.delete(who, "fast"),
        ):
            with pytest.raises(PermissionDenied):
                await attempt
        with pytest.raises(BourseError):
            service.all(who)


async def test_an_alias_that_hides_a_model_of_the_catalog_is_allowed_and_said(service: RouteService) -> None:
    await service.edits.create(OPERATOR, "gpt-4o", {"candidates": [{"provider": "acme", "model": "x"}], "strategy": "smart"})
    notes = (await service.seen(OPERATOR, "gpt-4o")).notes
    assert any("goes before the model of the same name" in note for note in notes)
    assert any("smart comes in a later release" in note for note in notes)
    assert service.get(OPERATOR, "fast").notes == ()


async def test_an_edit_whose_file_has_moved_on_closes_the_name_and_says_why(
    database: Database, clock: FixedClock, service: RouteService
) -> None:
    """The file no longer has the alias, and what was edited of it is not a whole route."""
    await service.edits.change(OPERATOR, "fast", {"strategy": "weighted"})
    later = Settings.model_validate({**FILE, "models": FILE["models"][1:]})  # type: ignore[index]
    table = RouteTable(later, Catalog(), database)
    await table.load()
    with pytest.raises(ModelNotFound):
        table.resolve("fast", ANYBODY)
    assert "fast" not in [route.name for route in table.usable(ANYBODY)]
    edits = RouteEdits(database, clock, AuditService(clock), later)
    view = RouteService(later, clock, table, NoPrices(), ProviderService(ProviderBook(later), Catalog(), KeyBook(later)), edits).get(
        OPERATOR, "fast"
    )
    assert not view.usable
    assert "at least one candidate" in view.why
    await edits.delete(OPERATOR, "fast")
