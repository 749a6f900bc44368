"""Budgets for operators: who may, what it does, and what is on record of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from backend.audit.service import AuditService
from backend.budgets.service import BudgetService
from backend.identity.principal import Principal, Role, system
from backend.kernel.clock import FixedClock, SystemClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, BudgetExceeded, Conflict, NotFound, PermissionDenied
from backend.settings import Settings
from tests.budgets.till import Payer, open_till
from tests.budgets.witness import Witness

USD = 1_000_000_000
OPERATOR = system("test")


@pytest.fixture
def service(database: Database) -> BudgetService:
    clock = SystemClock()
    return BudgetService(database, clock, AuditService(clock), Settings.model_validate({"budgets": {"default": {"limit_usd": 7}}}))


@pytest.fixture
def payer(witness: Witness) -> Payer:
    """A tenant with a person and a key that exist."""
    payer = witness.tenant()
    witness.run(
        "INSERT INTO membership (tenant_id, user_id, role, created_at)"
        " SELECT :tenant, id, 'member', created_at FROM \"user\" WHERE id = :user",
        tenant=payer.tenant_id,
        user=payer.user_id,
    )
    witness.run(
        "INSERT INTO api_key (id, public_id, secret_sha256, tenant_id, name, status, tags, plain_bodies, created_at)"
        " SELECT :key, :key, '00', id, 'K', 'active', '[]', :no, created_at FROM tenant WHERE id = :tenant",
        key=payer.key_id,
        tenant=payer.tenant_id,
        no=False,
    )
    return payer


def person(payer: Payer, role: Role) -> Principal:
    return Principal(kind="user", id="usr_admin", tenant_id=payer.tenant_id, role=role)


async def test_a_budget_is_set_read_and_deleted_with_a_record_of_each(service: BudgetService, payer: Payer, witness: Witness) -> None:
    admin = person(payer, Role.ADMIN)
    await service.set(admin, payer.tenant_id, "key", payer.key_id, limit_nano=5 * USD, window="calendar_day", warn_at=[0.5])
    view = await service.get(admin, payer.tenant_id, "key", payer.key_id)
    assert (view.limit_nano, view.window, view.warn_at, view.spent_nano, view.leased_nano) == (5 * USD, "calendar_day", (0.5,), 0, 0)
    await service.set(admin, payer.tenant_id, "key", payer.key_id, limit_nano=6 * USD)
    view = await service.get(admin, payer.tenant_id, "key", payer.key_id)
    assert (view.limit_nano, view.window, view.warn_at) == (6 * USD, "calendar_day", (0.5,))
    await service.delete(admin, payer.tenant_id, "key", payer.key_id)
    assert await service.of_tenant(admin, payer.tenant_id) == []
    actions = [row[0] for row in witness.run("SELECT action FROM audit_entry ORDER BY id")]
    assert actions == ["budget.set", "budget.set", "budget.delete"]
    assert witness.run("SELECT version FROM change")[0][0] == 4


@pytest.mark.parametrize("scope", ["key", "user", "tenant"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
async def test_who_is_no_admin_changes_nothing(service: BudgetService, payer: Payer, scope: str, role: Role) -> None:
    scope_id = {"key": payer.key_id, "user": payer.user_id, "tenant": payer.tenant_id}[scope] or ""
    with pytest.raises(PermissionDenied):
        await service.set(person(payer, role), payer.tenant_id, scope, scope_id, limit_nano=USD)
    with pytest.raises(PermissionDenied):
        await service.delete(person(payer, role), payer.tenant_id, scope, scope_id)


async def test_a_tenants_own_budget_is_the_operators_to_set(service: BudgetService, payer: Payer) -> None:
    with pytest.raises(PermissionDenied):
        await service.set(person(payer, Role.OWNER), payer.tenant_id, "tenant", payer.tenant_id, limit_nano=USD)
    await service.set(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id, limit_nano=USD)


async def test_another_tenants_budgets_do_not_exist(service: BudgetService, payer: Payer, witness: Witness) -> None:
    other = witness.tenant()
    owner = person(payer, Role.OWNER)
    with pytest.raises(NotFound):
        await service.of_tenant(owner, other.tenant_id)
    with pytest.raises(NotFound):
        await service.set(owner, other.tenant_id, "key", other.key_id, limit_nano=USD)
    with pytest.raises(NotFound):
        await service.set(owner, payer.tenant_id, "key", other.key_id, limit_nano=USD)
    for refused in (service.holders(owner), service.release(owner, "run_1")):
        with pytest.raises(PermissionDenied):
            await refused


@pytest.mark.parametrize(
    "wrong", [{"limit_nano": -1}, {"limit_nano": 2**62 + 1}, {"window": "hourly"}, {"warn_at": [0.0]}, {"warn_at": [1.1]}]
)
async def test_what_cannot_be_is_refused(service: BudgetService, payer: Payer, wrong: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        await service.set(OPERATOR, payer.tenant_id, "key", payer.key_id, **({"limit_nano": USD} | wrong))  # type: ignore[arg-type]


async def test_a_raise_ends_by_itself(sqlite_witness: Witness, sqlite_database_url: str, tmp_path: Path, clock: FixedClock) -> None:
    payer = sqlite_witness.tenant()
    sqlite_witness.budget(payer, "tenant", USD)
    async with open_till(sqlite_database_url, tmp_path, clock=clock) as till:
        service = BudgetService(till.db, clock, AuditService(clock), Settings())
        assert (await till.call(payer, USD, USD)).admitted
        with pytest.raises(BudgetExceeded):
            await till.reserve(payer, USD)
        until = clock.now() + timedelta(hours=1)
        await service.raise_for_a_while(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id, by_nano=1_000 * USD, until=until)
        for _ in range(2):
            assert (await till.call(payer, USD, USD)).admitted
        assert till.keeper.try_reserve(payer, USD // 1000) is not None, "there is more in advance"
        clock.advance(timedelta(hours=1))
        with pytest.raises(BudgetExceeded):
            await till.reserve(payer, USD // 1000)
        with pytest.raises(BadRequest):
            await service.raise_for_a_while(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id, by_nano=USD, until=until)


async def test_a_lower_limit_recalls_what_processes_hold(
    witness: Witness, database_url: str, tmp_path: Path, service: BudgetService
) -> None:
    payer = witness.tenant()
    budget = witness.budget(payer, "tenant", 1_000 * USD)
    async with open_till(database_url, tmp_path) as till:
        await till.call(payer, USD, USD)
        assert till.keeper.try_reserve(payer, USD) is not None
        await service.set(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id, limit_nano=2 * USD)
        await till.keeper.load()
        await till.keeper._desk.beat()
        assert till.keeper.try_reserve(payer, USD) is None
        assert witness.truth(budget).leased <= 2 * USD
        with pytest.raises(BudgetExceeded):
            await till.reserve(payer, USD)


async def test_a_lower_default_recalls_what_processes_hold(
    witness: Witness, database_url: str, tmp_path: Path, service: BudgetService, payer: Payer
) -> None:
    """The service's default is 7 USD."""
    async with open_till(database_url, tmp_path, budgets={"default": {"limit_usd": 1000}}) as till:
        await till.call(payer, USD, USD)
        assert till.keeper.try_reserve(payer, USD) is not None
        await service.follow_default()
        await till.keeper.load()
        await till.keeper._desk.beat()
        assert till.keeper.try_reserve(payer, USD) is None
        budget = (await service.get(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id)).id
        assert witness.truth(budget).leased <= 2 * USD
    assert witness.run("SELECT count(*) FROM audit_entry WHERE action = 'budget.set' AND actor = 'system:configuration'") == [(1,)]


async def test_a_tenant_whose_budget_is_ended_has_the_default_at_once(service: BudgetService, payer: Payer, witness: Witness) -> None:
    before = witness.budget(payer, "tenant", 100 * USD)
    await service.delete(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id)
    view = await service.get(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id)
    assert (view.limit_nano, view.is_default, view.id != before) == (7 * USD, True, True)


async def test_budgets_that_nobody_set_follow_the_configuration(
    service: BudgetService, payer: Payer, database_url: str, tmp_path: Path
) -> None:
    async with open_till(database_url, tmp_path, budgets={"default": {"limit_usd": 3}}) as till:
        await till.call(payer, USD, USD)
    assert (await service.get(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id)).limit_nano == 3 * USD
    await service.follow_default()
    assert (await service.get(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id)).limit_nano == 7 * USD
    await service.set(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id, limit_nano=USD)
    await service.follow_default()
    assert (await service.get(OPERATOR, payer.tenant_id, "tenant", payer.tenant_id)).limit_nano == USD


async def test_what_a_key_may_still_spend(
    service: BudgetService, payer: Payer, witness: Witness, database_url: str, tmp_path: Path
) -> None:
    witness.budget(payer, "tenant", 100 * USD)
    witness.budget(payer, "key", 2 * USD)
    async with open_till(database_url, tmp_path) as till:
        await till.call(payer, USD, USD // 2)
        await till.metering.flush()
    views = await service.of_payer(payer)
    assert [(view.scope, view.spent_nano, view.leased_nano, view.remaining_nano) for view in views] == [
        ("key", USD // 2, 0, 3 * USD // 2),
        ("tenant", USD // 2, 0, 199 * USD // 2),
    ]


async def test_only_what_a_process_held_that_is_surely_dead_is_released(service: BudgetService, payer: Payer, witness: Witness) -> None:
    budget = witness.budget(payer, "tenant", 100 * USD)
    clock = SystemClock()
    for name, seconds in (("run_alive", 30), ("run_dead", -1)):
        at = clock.now() + timedelta(seconds=seconds)
        stamp = at.replace(tzinfo=None).isoformat(" ", "microseconds") if witness.engine.dialect.name == "sqlite" else at
        witness.run("INSERT INTO budget_holder (id, started_at, expires_at) VALUES (:id, :at, :at)", id=name, at=stamp)
        witness.run(
            "INSERT INTO budget_lease (id, budget_id, day, holder_id, amount_nano, answered) VALUES (:id, :budget, :day, :id, :amount, 0)",
            id=name,
            budget=budget,
            day=clock.now().date().isoformat() if witness.engine.dialect.name == "sqlite" else clock.now().date(),
            amount=10 * USD,
        )
    assert [(view.id, view.expired, view.held_nano) for view in await service.holders(OPERATOR)] == [
        ("run_alive", False, 10 * USD),
        ("run_dead", True, 10 * USD),
    ]
    with pytest.raises(Conflict, match="may be alive"):
        await service.release(OPERATOR, "run_alive")
    assert await service.release(OPERATOR, "run_dead") == 10 * USD
    with pytest.raises(NotFound):
        await service.release(OPERATOR, "run_dead")
    assert witness.truth(budget).leased == 10 * USD
