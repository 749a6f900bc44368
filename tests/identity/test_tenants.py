"""Tenants, members and keys: who may do what, and that another tenant's things do not exist."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.identity.keys import has_valid_checksum, parse_key
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.service import IdentityService
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, Conflict, NotFound, PermissionDenied, StorageUnavailable

OPERATOR = system("test")


@pytest.fixture
async def tenant(identity: IdentityService) -> str:
    return (await identity.tenants.create(OPERATOR, slug="acme", name="Acme")).id


async def person(identity: IdentityService, tenant: str, role: Role | None, name: str) -> Principal:
    """Somebody with that role in the tenant; without a password, which no rule here asks for."""
    user = await identity.create_user(OPERATOR, email=f"{name}@example.org")
    if role is not None:
        await identity.tenants.set_member(OPERATOR, tenant, email=user.email, role=role)
    return Principal(kind="user", id=user.id, tenant_id=tenant if role else None, role=role, email=user.email)


async def rows(database: Database, query: str) -> list[Any]:
    async with database.read() as session:
        return [tuple(row) for row in await session.execute(sa.text(query))]


async def test_a_new_tenant_has_the_default_budget(identity: IdentityService, tenant: str, database: Database) -> None:
    [(limit, window)] = await rows(database, f"SELECT limit_nano, \"window\" FROM budget WHERE scope_id = '{tenant}'")
    assert (limit, window) == (100_000_000_000, "calendar_month")


async def test_a_slug_is_taken_once_in_any_spelling(identity: IdentityService, tenant: str) -> None:
    with pytest.raises(Conflict):
        await identity.tenants.create(OPERATOR, slug="ACME")


async def test_only_a_super_admin_creates_and_suspends_tenants(identity: IdentityService, tenant: str) -> None:
    owner = await person(identity, tenant, Role.OWNER, "owner")
    for who in (ANONYMOUS, owner):
        with pytest.raises(PermissionDenied):
            await identity.tenants.create(who, slug="mine")
        with pytest.raises(PermissionDenied):
            await identity.tenants.set_status(who, tenant, "suspended")


async def test_a_person_sees_his_own_tenants_only(identity: IdentityService, tenant: str) -> None:
    member = await person(identity, tenant, Role.MEMBER, "member")
    assert [(one.slug, one.role) for one in await identity.tenants.of(member)] == [("acme", Role.MEMBER)]
    with pytest.raises(PermissionDenied):
        await identity.tenants.of(ANONYMOUS)
    with pytest.raises(PermissionDenied):
        await identity.tenants.of(Principal(kind="key", id="key_x", tenant_id=tenant))


@pytest.mark.parametrize("role", [None, Role.VIEWER, Role.MEMBER, Role.ADMIN, Role.OWNER])
@pytest.mark.parametrize("given_role", list(Role))
async def test_nobody_gives_more_than_he_has(identity: IdentityService, tenant: str, role: Role | None, given_role: Role) -> None:
    who = await person(identity, tenant, role, "giver")
    await identity.create_user(OPERATOR, email="new@example.org")
    if role is not None and role >= Role.ADMIN and given_role <= role:
        await identity.tenants.set_member(who, tenant, email="new@example.org", role=given_role)
    else:
        with pytest.raises((PermissionDenied, NotFound)):
            await identity.tenants.set_member(who, tenant, email="new@example.org", role=given_role)


async def test_an_admin_cannot_demote_an_owner_and_the_last_owner_stays(identity: IdentityService, tenant: str) -> None:
    owner, admin = await person(identity, tenant, Role.OWNER, "owner"), await person(identity, tenant, Role.ADMIN, "admin")
    with pytest.raises(PermissionDenied):
        await identity.tenants.set_member(admin, tenant, email=owner.email, role=Role.VIEWER)
    for role in (Role.ADMIN, None):
        with pytest.raises(Conflict):
            await identity.tenants.set_member(owner, tenant, email=owner.email, role=role)
    await identity.tenants.set_member(owner, tenant, email=admin.email, role=Role.OWNER)
    await identity.tenants.set_member(owner, tenant, email=owner.email, role=None)


# Keys ----------------------------------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_carries_a_checksum(identity: IdentityService, tenant: str) -> None:
    member = await person(identity, tenant, Role.MEMBER, "member")
    made = await identity.keys.create(member, tenant, name="ci", tags=["web"])
    assert has_valid_checksum(parse_key(made.text))
    assert made.text not in repr(made)
    [listed] = await identity.keys.of_tenant(member, tenant)
    assert (listed.name, listed.owner_user_id, listed.status) == ("ci", member.id, "active")
    assert not hasattr(listed, "secret_sha256")


@pytest.mark.parametrize("role", [None, Role.VIEWER])
async def test_who_is_no_member_makes_no_key(identity: IdentityService, tenant: str, role: Role | None) -> None:
    with pytest.raises((PermissionDenied, NotFound)):
        await identity.keys.create(await person(identity, tenant, role, "him"), tenant, name="ci")


async def test_a_key_revokes_its_owner_or_an_admin_and_twice_is_once(identity: IdentityService, tenant: str, database: Database) -> None:
    member, other, admin = [
        await person(identity, tenant, role, name)
        for role, name in ((Role.MEMBER, "member"), (Role.MEMBER, "other"), (Role.ADMIN, "admin"))
    ]
    first, second = [(await identity.keys.create(member, tenant, name=name)).view.id for name in ("one", "two")]
    with pytest.raises(PermissionDenied):
        await identity.keys.revoke(other, tenant, first)
    await identity.keys.revoke(member, tenant, first)
    await identity.keys.revoke(admin, tenant, second)
    await identity.keys.revoke(admin, tenant, second)
    assert {key.status for key in await identity.keys.of_tenant(member, tenant)} == {"revoked"}
    assert len(await rows(database, "SELECT id FROM audit_entry WHERE action = 'api_key.revoke'")) == 2


async def test_who_leaves_a_tenant_leaves_without_his_keys(identity: IdentityService, tenant: str, database: Database) -> None:
    member, owner = await person(identity, tenant, Role.MEMBER, "member"), await person(identity, tenant, Role.OWNER, "owner")
    await identity.keys.create(member, tenant, name="his")
    await identity.keys.create(owner, tenant, name="hers")
    await identity.tenants.set_member(owner, tenant, email="member@example.org", role=None)
    assert {key.name: key.status for key in await identity.keys.of_tenant(owner, tenant)} == {"his": "revoked", "hers": "active"}
    assert len(await rows(database, "SELECT id FROM audit_entry WHERE action = 'api_key.revoke'")) == 1


@pytest.mark.case("Z3")
async def test_another_tenants_key_does_not_exist(identity: IdentityService, tenant: str) -> None:
    other = await identity.tenants.create(OPERATOR, slug="other")
    theirs = (await identity.keys.create(OPERATOR, other.id, name="theirs")).view.id
    owner = await person(identity, tenant, Role.OWNER, "owner")
    answers = set()
    for attempt in (
        identity.keys.revoke(owner, other.id, theirs),
        identity.keys.of_tenant(owner, other.id),
        identity.keys.of_tenant(owner, "ten_none"),
        identity.keys.create(owner, other.id, name="x"),
        identity.tenants.set_member(owner, other.id, email=owner.email, role=Role.OWNER),
    ):
        with pytest.raises(NotFound) as caught:
            await attempt
        answers.add(caught.value.message)
    assert len(answers) == 1
    # In his own tenant, but with the other's key: the same as a key that never was.
    for key_id in (theirs, "key_none"):
        with pytest.raises(NotFound, match="no such key"):
            await identity.keys.revoke(owner, tenant, key_id)


async def test_a_key_cannot_use_models_beyond_its_tenants(identity: IdentityService) -> None:
    narrow = await identity.tenants.create(OPERATOR, slug="narrow", models=["fast"])
    assert (await identity.keys.create(OPERATOR, narrow.id, name="ok", models=["fast"])).view.models == ("fast",)
    with pytest.raises(PermissionDenied):
        await identity.keys.create(OPERATOR, narrow.id, name="no", models=["fast", "dear"])


async def test_impossible_keys_are_refused(identity: IdentityService, tenant: str, clock: FixedClock) -> None:
    for wrong in (
        {"name": ""},
        {"name": "x", "expires_at": clock.now()},
        {"name": "x", "expires_at": clock.now() - timedelta(days=1)},
        {"name": "x", "allowed_addresses": ["somewhere"]},
    ):
        with pytest.raises(BadRequest):
            await identity.keys.create(OPERATOR, tenant, **wrong)


# Every change is on the record and on the change feed ------------------------------------------------------------------------------------


async def test_every_change_is_audited_and_moves_the_change_feed(identity: IdentityService, database: Database) -> None:
    await identity.create_user(OPERATOR, email="ann@example.org")
    tenant = (await identity.tenants.create(OPERATOR, slug="acme")).id
    key = (await identity.keys.create(OPERATOR, tenant, name="ci")).view.id
    before = await database.change_version()
    await identity.tenants.set_member(OPERATOR, tenant, email="ann@example.org", role=Role.ADMIN)
    await identity.keys.revoke(OPERATOR, tenant, key)
    await identity.tenants.set_status(OPERATOR, tenant, "suspended")
    assert await database.change_version() == before + 3
    written = await rows(database, "SELECT action, actor, tenant_id FROM audit_entry WHERE actor = 'system:test' ORDER BY id")
    assert [action for action, _, _ in written] == [
        "user.create",
        "tenant.create",
        "api_key.create",
        "membership.set",
        "api_key.revoke",
        "tenant.set_status",
    ]
    assert {tenant_id for action, _, tenant_id in written if action != "user.create"} == {tenant}


@pytest.mark.case("S4")
async def test_where_the_audit_log_cannot_be_written_nothing_changes(identity: IdentityService, tenant: str, database: Database) -> None:
    key = (await identity.keys.create(OPERATOR, tenant, name="ci")).view.id
    before = await database.change_version()
    async with database.write() as unit:
        await unit.session.execute(sa.text("ALTER TABLE audit_entry RENAME TO hidden"))
    with pytest.raises(StorageUnavailable):
        await identity.keys.revoke(OPERATOR, tenant, key)
    with pytest.raises(StorageUnavailable):
        await identity.tenants.create(OPERATOR, slug="unseen")
    assert [one.status for one in await identity.keys.of_tenant(OPERATOR, tenant)] == ["active"]
    assert "unseen" not in [one.slug for one in await identity.tenants.of(OPERATOR)]
    assert await database.change_version() == before
