"""Clearing kept answers: who may, that it is audited, that every process hears of it, and the operator's command."""

import asyncio
import json
from pathlib import Path

import pytest
import typer
from sqlmodel import select
from typer.testing import CliRunner

from backend.audit.service import AuditService
from backend.audit.tables import AuditEntry
from backend.gateway.cache import cli
from backend.gateway.cache.generations import Generations
from backend.gateway.cache.service import ClearingService
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.service import IdentityService
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import FixedClock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import NotFound, PermissionDenied
from backend.kernel.events import EventBus
from backend.settings import Settings

OPERATOR = system("test")


def member(tenant_id: str, role: Role) -> Principal:
    return Principal(kind="user", id="usr_1", tenant_id=tenant_id, role=role)


async def test_a_tenants_generation_moves_on_alone_and_that_of_all_for_all(database: Database, clock: FixedClock) -> None:
    service, known = ClearingService(database, clock, AuditService(clock)), Generations(database)
    assert await known.load() is False
    feed = ChangeFeed(database, clock)
    loaded = asyncio.Event()

    async def load() -> None:
        if await known.load():
            loaded.set()

    feed.subscribe(load)
    await feed.start(seen=await database.change_version())
    try:
        await service.clear(OPERATOR, "ten_1")
        await asyncio.wait_for(loaded.wait(), 20)
    finally:
        await feed.stop()
    assert (known.of("ten_1"), known.of("ten_2")) == ((0, 1), (0, 0))
    await service.clear(OPERATOR)
    await service.clear(OPERATOR, "ten_1")
    await known.load()
    assert (known.of("ten_1"), known.of("ten_2")) == ((1, 2), (1, 0))


async def test_an_admin_clears_his_tenant_and_nobody_elses_and_it_is_audited(sqlite_database: Database, clock: FixedClock) -> None:
    service = ClearingService(sqlite_database, clock, AuditService(clock))
    await service.clear(member("ten_1", Role.ADMIN), "ten_1")
    for principal, tenant_id, error in (
        (member("ten_1", Role.MEMBER), "ten_1", PermissionDenied),
        (member("ten_1", Role.ADMIN), "ten_2", NotFound),
        (member("ten_1", Role.ADMIN), None, PermissionDenied),
        (ANONYMOUS, None, PermissionDenied),
    ):
        with pytest.raises(error):
            await service.clear(principal, tenant_id)
    async with sqlite_database.read() as session:
        entries = (await session.execute(select(AuditEntry))).scalars().all()
    assert [(entry.action, entry.tenant_id, entry.actor) for entry in entries] == [("cache.clear", "ten_1", "usr_1")]


def test_the_operators_command_names_what_it_cleared(sqlite_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fill() -> str:
        db, clock = Database.open(sqlite_database_url, EventBus()), SystemClock()
        identity = IdentityService(db, clock, AuditService(clock), Settings.model_validate({}))
        tenant = await identity.tenants.create(OPERATOR, slug="acme")
        identity.close()
        await db.close()
        return tenant.id

    async def of(tenant_id: str) -> tuple[int, int]:
        db = Database.open(sqlite_database_url, EventBus())
        known = Generations(db)
        await known.load()
        await db.close()
        return known.of(tenant_id)

    tenant_id = asyncio.run(fill())
    (tmp_path / "bourse.yaml").write_text("{}\n")
    monkeypatch.setenv("BOURSE_CONFIG", str(tmp_path / "bourse.yaml"))
    monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
    app = typer.Typer()
    cli.mount(app)
    app.command("other")(lambda: None)
    told = [CliRunner().invoke(app, ["cache", "clear", *words, "--json"]) for words in ([], ["--tenant", "acme"], ["--tenant", "nobody"])]
    assert [result.exit_code for result in told] == [0, 0, 1]
    assert [json.loads(result.stdout)["cleared"] for result in told[:2]] == ["all tenants", "acme"]
    assert asyncio.run(of(tenant_id)) == (1, 1)
