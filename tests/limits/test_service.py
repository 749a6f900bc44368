"""Setting limits: who may, what is refused, and that it is audited and reaches running processes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.audit.service import AuditService
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, NotFound, PermissionDenied, QuotaExceeded
from backend.limits.book import LimitBook
from backend.limits.limiter import Limiter
from backend.limits.schemas import Limits
from backend.limits.service import LimitService
from backend.metering.tables import Call
from backend.observability.metrics import Metrics
from backend.settings import RateLimit, Settings

OPERATOR = system("test")
DEFAULT = RateLimit(requests_per_minute=100, tokens_per_minute=0, parallel=8)


@pytest.fixture
async def identity(database: Database, clock: FixedClock) -> AsyncIterator[IdentityService]:
    service = IdentityService(database, clock, AuditService(clock), Settings.model_validate({}))
    yield service
    service.close()


@pytest.fixture
def limits(database: Database, clock: FixedClock) -> LimitService:
    return LimitService(database, clock, AuditService(clock), DEFAULT)


@pytest.fixture
async def tenant(identity: IdentityService) -> str:
    return (await identity.tenants.create(OPERATOR, slug="acme", timezone="Asia/Kolkata")).id


@pytest.fixture
async def admin(identity: IdentityService, tenant: str) -> Principal:
    return await person(identity, tenant, Role.ADMIN)


async def person(identity: IdentityService, tenant: str, role: Role) -> Principal:
    user = await identity.create_user(OPERATOR, email=f"{role.name.lower()}@example.org")
    await identity.tenants.set_member(OPERATOR, tenant, email=user.email, role=role)
    return Principal(kind="user", id=user.id, tenant_id=tenant, role=role)


async def test_what_is_set_is_in_force_and_what_is_cleared_is_the_default_again(
    limits: LimitService, identity: IdentityService, tenant: str, admin: Principal
) -> None:
    key = (await identity.keys.create(admin, tenant, name="ci")).view
    assert (await limits.get(admin, tenant, "key", key.id)).in_force == Limits(100, 0, 8)
    view = await limits.set(admin, tenant, "key", key.id, {"requests_per_minute": 5, "parallel": None})
    assert (view.in_force, view.override) == (Limits(5, 0, 8), {"requests_per_minute": 5})
    assert await limits.get(admin, tenant, "key", key.id) == view
    await limits.clear(admin, tenant, "key", key.id)
    assert (await limits.get(admin, tenant, "key", key.id)).override == {}


async def test_only_a_super_admin_sets_a_tenants_limits_or_gives_a_key_more_than_the_default(
    limits: LimitService, identity: IdentityService, tenant: str, admin: Principal
) -> None:
    key = (await identity.keys.create(admin, tenant, name="ci")).view.id
    for scope, scope_id, wanted in (
        ("tenant", tenant, {"requests_per_minute": 5}),
        ("key", key, {"requests_per_minute": 101}),
        ("key", key, {"requests_per_minute": 0}),
        ("key", key, {"parallel": 9}),
    ):
        with pytest.raises(PermissionDenied):
            await limits.set(admin, tenant, scope, scope_id, wanted)  # type: ignore[arg-type]
        await limits.set(OPERATOR, tenant, scope, scope_id, wanted)  # type: ignore[arg-type]
    await limits.set(admin, tenant, "user", admin.id, {"requests_per_minute": 10**6})


async def test_a_new_key_cannot_have_more_than_the_default_either(identity: IdentityService, tenant: str, admin: Principal) -> None:
    with pytest.raises(PermissionDenied):
        await identity.keys.create(admin, tenant, name="greedy", rate_limit={"requests_per_minute": 0})
    with pytest.raises(BadRequest):
        await identity.keys.create(admin, tenant, name="odd", rate_limit={"requests_per_second": 1})
    await identity.keys.create(admin, tenant, name="modest", rate_limit={"requests_per_minute": 10})
    await identity.keys.create(OPERATOR, tenant, name="free", rate_limit={"requests_per_minute": 0})


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
async def test_members_look_and_do_not_touch(
    limits: LimitService, identity: IdentityService, tenant: str, admin: Principal, role: Role
) -> None:
    member = await person(identity, tenant, role)
    await limits.get(member, tenant, "user", admin.id)
    with pytest.raises(PermissionDenied):
        await limits.set(member, tenant, "user", admin.id, {"requests_per_minute": 1})


async def test_another_tenants_things_do_not_exist(limits: LimitService, identity: IdentityService, tenant: str, admin: Principal) -> None:
    other = (await identity.tenants.create(OPERATOR, slug="other")).id
    key = (await identity.keys.create(OPERATOR, other, name="theirs")).view.id
    for principal, where, scope, scope_id in (
        (admin, other, "key", key),
        (admin, tenant, "key", key),
        (admin, tenant, "user", "usr_nobody"),
        (OPERATOR, tenant, "tenant", other),
        (OPERATOR, "ten_nowhere", "tenant", "ten_nowhere"),
        (ANONYMOUS, tenant, "tenant", tenant),
        (Principal(kind="key", id="key_1", tenant_id=tenant), tenant, "tenant", tenant),
    ):
        with pytest.raises((NotFound, PermissionDenied)):
            await limits.set(principal, where, scope, scope_id, {"requests_per_minute": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_minute": -1},
        {"requests_per_minute": 1.5},
        {"parallel": True},
        {"tokens_per_minute": "60"},
        {"tokens_per_minute": 10**13},
        {"per_second": 5},
        {"quota": "strict"},
    ],
)
async def test_a_limit_that_cannot_be_meant_is_refused(limits: LimitService, tenant: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        await limits.set(OPERATOR, tenant, "tenant", tenant, wrong)


async def test_every_change_is_audited_with_what_was_before(limits: LimitService, tenant: str, database: Database) -> None:
    await limits.set(OPERATOR, tenant, "tenant", tenant, {"tokens_per_minute": 1000, "quota": "soft"})
    await limits.clear(OPERATOR, tenant, "tenant", tenant)
    async with database.read() as session:
        query = "SELECT action, facts FROM audit_entry WHERE action LIKE 'limit.%' ORDER BY id"
        found = [tuple(row) for row in await session.execute(sa.text(query))]
    assert [action for action, _ in found] == ["limit.set", "limit.clear"]
    assert "tokens_per_minute=1000" in str(found[0][1])
    assert "tokens_per_minute=1000" in str(found[1][1])


async def test_a_change_reaches_a_running_process_by_the_change_feed(
    limits: LimitService, identity: IdentityService, tenant: str, admin: Principal, database: Database, clock: FixedClock
) -> None:
    key = await identity.keys.create(admin, tenant, name="ci")
    auth = AuthSnapshot(database, clock, demo_allowed=True)
    book = LimitBook(database, DEFAULT)
    feed = ChangeFeed(database, clock)
    for load in (auth.load, book.load):
        await load()
        feed.subscribe(load)
    limiter = Limiter(book, database, clock, Metrics())

    async def admit() -> Any:
        return await limiter.admit(auth.authenticate(f"Bearer {key.text}", address=""), 10)

    assert (await admit()).requests_limit == 100
    await limits.set(admin, tenant, "key", key.view.id, {"requests_per_minute": 50})
    await limits.set(OPERATOR, tenant, "tenant", tenant, {"requests_per_minute": 20, "requests_per_day": 3})
    await limits.set(admin, tenant, "user", admin.id, {"tokens_per_minute": 70})
    await feed.check()
    admission = await admit()
    assert (admission.requests_limit, admission.tokens_limit) == (20, 70)
    await admit()
    await admit()
    with pytest.raises(QuotaExceeded) as refused:
        await admit()
    assert refused.value.retry_after == 6.5 * 3600, "midnight in the tenant's zone"


async def test_after_a_restart_the_day_goes_on_where_the_ledger_is(
    limits: LimitService, identity: IdentityService, tenant: str, admin: Principal, database: Database, clock: FixedClock
) -> None:
    key = await identity.keys.create(admin, tenant, name="ci")
    await limits.set(OPERATOR, tenant, "tenant", tenant, {"requests_per_day": 5})
    await limits.set(admin, tenant, "key", key.view.id, {"tokens_per_day": 1000})
    midnight = datetime(2026, 7, 14, 18, 30, tzinfo=UTC)  # in Kolkata
    calls = [
        (midnight - timedelta(seconds=1), "completed", key.view.id),
        (midnight, "completed", key.view.id),
        (midnight + timedelta(hours=11), "client_closed", key.view.id),
        (midnight + timedelta(hours=12), "refused", key.view.id),
        (midnight + timedelta(hours=13), "completed", "key_another"),
    ]
    async with database.write() as unit:
        for number, (created, outcome, key_id) in enumerate(calls):
            unit.session.add(a_call(number, tenant_id=tenant, key_id=key_id, created_at=created, outcome=outcome))
    auth, book = AuthSnapshot(database, clock, demo_allowed=True), LimitBook(database, DEFAULT)
    await auth.load()
    await book.load()
    limiter = Limiter(book, database, clock, Metrics())
    record = auth.authenticate(f"Bearer {key.text}", address="")
    (await limiter.admit(record, 400)).settle(400)
    with pytest.raises(QuotaExceeded) as refused:
        await limiter.admit(record, 1)
    assert refused.value.details == {"scope": "key", "limit": "tokens_per_day"}
    await limits.clear(admin, tenant, "key", key.view.id)
    await auth.load()
    record = auth.authenticate(f"Bearer {key.text}", address="")
    await limiter.admit(record, 1)
    with pytest.raises(QuotaExceeded) as refused:
        await limiter.admit(record, 1)
    assert refused.value.details == {"scope": "tenant", "limit": "requests_per_day"}


def a_call(number: int, **columns: Any) -> Call:
    """A call of 300 tokens."""
    return Call(
        id=f"evt_{number}",
        request_id=f"req_{number}",
        endpoint="chat.completions",
        requested_model="m",
        status=200,
        input_tokens=200,
        output_tokens=100,
        **columns,
    )
