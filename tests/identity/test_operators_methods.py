"""What operators and a tenant's admins may do with tenants, people and keys, and what nobody else may: 404 for strangers, 403 below."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from backend.identity.principal import Principal, Role, system
from backend.identity.service import IdentityService
from backend.kernel.clock import FixedClock
from backend.kernel.errors import BadRequest, BourseError, Conflict, NotFound, PermissionDenied

OPERATOR = system("test")
Ask = Callable[[Principal], Awaitable[object]]


class Acme:
    """A tenant with one person of each role, each with a key of his own."""

    def __init__(self, identity: IdentityService, tenant: str) -> None:
        self.identity = identity
        self.tenant = tenant
        self.people: dict[Role, Principal] = {}
        self.keys: dict[Role, str] = {}

    @property
    def stranger(self) -> Principal:
        return Principal(kind="user", id="usr_stranger", tenant_id="ten_elsewhere", role=Role.OWNER)


@pytest.fixture
async def acme(identity: IdentityService) -> Acme:
    tenant = await identity.tenants.create(OPERATOR, slug="acme", models=["fast", "slow"])
    made = Acme(identity, tenant.id)
    for role in (Role.OWNER, Role.ADMIN, Role.MEMBER, Role.VIEWER):
        user = await identity.create_user(OPERATOR, email=f"{role.name.lower()}@example.org")
        await identity.tenants.set_member(OPERATOR, tenant.id, email=user.email, role=role)
        made.people[role] = Principal(kind="user", id=user.id, email=user.email, tenant_id=tenant.id, role=role)
        key = await identity.keys.create(OPERATOR, tenant.id, name=role.name.lower(), owner_user_id=user.id)
        made.keys[role] = key.view.id
    return made


async def answer(ask: Ask, principal: Principal) -> str:
    try:
        await ask(principal)
    except (PermissionDenied, NotFound) as error:
        return type(error).__name__
    return "done"


def tenant_methods(acme: Acme) -> dict[str, tuple[Ask, dict[Role, str]]]:
    """Each method with who may: the lowest role, or nobody but a super admin (None)."""
    tenants, keys, tenant, key = acme.identity.tenants, acme.identity.keys, acme.tenant, acme.keys[Role.OWNER]
    lowest: dict[str, tuple[Ask, Role | None]] = {
        "get": (lambda who: tenants.get(who, "acme"), Role.VIEWER),
        "members": (lambda who: tenants.members(who, tenant), Role.VIEWER),
        "find_key": (lambda who: keys.find(who, key), Role.VIEWER),
        "rename": (lambda who: tenants.rename(who, tenant, "Acme"), Role.ADMIN),
        "change_key": (lambda who: keys.change(who, tenant, key, tags=["x"]), Role.ADMIN),
        "set_models": (lambda who: tenants.set_models(who, tenant, ["fast"]), None),
        "set_timezone": (lambda who: tenants.set_timezone(who, tenant, "Asia/Kolkata"), None),
        "set_default_model": (lambda who: tenants.set_default_model(who, tenant, "fast"), Role.ADMIN),
        "set_tier": (lambda who: tenants.set_tier(who, tenant, "premium"), None),
        "set_key_tier": (lambda who: keys.set_tier(who, tenant, key, "premium"), None),
    }
    verdicts = {}
    for name, (ask, role) in lowest.items():
        allowed = {one: "done" if role is not None and one >= role else "PermissionDenied" for one in Role}
        if name == "change_key":
            allowed[Role.OWNER] = "done"
        verdicts[name] = (ask, allowed)
    return verdicts


async def test_each_role_may_do_its_own_and_a_stranger_finds_nothing(acme: Acme) -> None:
    for name, (ask, verdicts) in tenant_methods(acme).items():
        for role, person in acme.people.items():
            assert (name, role, await answer(ask, person)) == (name, role, verdicts[role])
        expected = "PermissionDenied" if name in ("set_models", "set_timezone", "set_tier", "set_key_tier") else "NotFound"
        assert (name, await answer(ask, acme.stranger)) == (name, expected)
        assert await answer(ask, OPERATOR) == "done"


async def test_people_are_a_super_admins_affair_except_oneself(acme: Acme) -> None:
    identity, owner = acme.identity, acme.people[Role.OWNER]
    member = acme.people[Role.MEMBER]
    refused: list[Ask] = [
        identity.users,
        lambda who: identity.people(who, [member.id]),
        lambda who: identity.user(who, member.id),
        lambda who: identity.tenants_of(who, member.id),
        lambda who: identity.set_super_admin(who, who.id, True),
    ]
    for ask in refused:
        assert await answer(ask, owner) == "PermissionDenied"
    assert {one.email for one in (await identity.people(OPERATOR, [member.id, "usr_nobody"])).values()} == {member.email}
    assert (await identity.user(owner, owner.id)).email == (await identity.user(owner, owner.email)).email == "owner@example.org"
    assert [(one.slug, one.role) for one in await identity.tenants_of(owner, owner.id)] == [("acme", Role.OWNER)]


async def test_a_super_admin_cannot_demote_himself(acme: Acme) -> None:
    owner = acme.people[Role.OWNER]
    await acme.identity.set_super_admin(OPERATOR, owner.id, True)
    himself = Principal(kind="user", id=owner.id, is_super_admin=True)
    with pytest.raises(Conflict):
        await acme.identity.set_super_admin(himself, owner.id, False)
    assert (await acme.identity.user(OPERATOR, owner.id)).is_super_admin
    await acme.identity.set_super_admin(OPERATOR, owner.id, False)
    assert not (await acme.identity.user(OPERATOR, owner.id)).is_super_admin


async def test_a_member_makes_keys_for_himself_alone(acme: Acme) -> None:
    keys, member, viewer = acme.identity.keys, acme.people[Role.MEMBER], acme.people[Role.VIEWER]
    assert (await keys.create(member, acme.tenant, name="own")).view.owner_user_id == member.id
    with pytest.raises(PermissionDenied):
        await keys.create(member, acme.tenant, name="his", owner_user_id=viewer.id)
    admin = acme.people[Role.ADMIN]
    assert (await keys.create(admin, acme.tenant, name="his", owner_user_id=viewer.id)).view.owner_user_id == viewer.id
    with pytest.raises(NotFound):
        await keys.create(admin, acme.tenant, name="nobody's", owner_user_id="usr_elsewhere")


async def test_what_is_not_named_of_a_key_stays(acme: Acme, clock: FixedClock) -> None:
    keys, key = acme.identity.keys, acme.keys[Role.MEMBER]
    end = clock.now() + timedelta(days=1)
    await keys.change(OPERATOR, acme.tenant, key, models=["fast"], allowed_addresses=["10.0.0.0/8"], tags=["a"], expires_at=end)
    changed = await keys.change(acme.people[Role.MEMBER], acme.tenant, key, name="renamed")
    assert (changed.name, changed.models, changed.allowed_addresses, changed.tags, changed.expires_at) == (
        "renamed", ("fast",), ("10.0.0.0/8",), ("a",), end,
    )  # fmt: skip
    cleared = await keys.change(OPERATOR, acme.tenant, key, models=None, allowed_addresses=None, expires_at=None)
    assert (cleared.models, cleared.allowed_addresses, cleared.expires_at, cleared.name) == (None, None, None, "renamed")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"models": ["beyond"]}, PermissionDenied),
        ({"name": " "}, BadRequest),
        ({"tags": ["x" * 65]}, BadRequest),
        ({"tags": ["x"] * 33}, BadRequest),
        ({"models": ["a\nb"]}, BadRequest),
        ({"allowed_addresses": ["300.0.0.1"]}, BadRequest),
    ],
)
async def test_what_a_key_cannot_be_is_refused_and_nothing_changes(acme: Acme, changes: dict[str, Any], error: type[BourseError]) -> None:
    keys, key = acme.identity.keys, acme.keys[Role.MEMBER]
    before = await keys.find(OPERATOR, key)
    with pytest.raises(error):
        await keys.change(OPERATOR, acme.tenant, key, **changes)
    assert await keys.find(OPERATOR, key) == before


async def test_a_revoked_key_stays_as_it_is_and_an_expiry_lies_ahead(acme: Acme, clock: FixedClock) -> None:
    keys, key = acme.identity.keys, acme.keys[Role.MEMBER]
    with pytest.raises(BadRequest):
        await keys.change(OPERATOR, acme.tenant, key, expires_at=clock.now())
    await keys.revoke(OPERATOR, acme.tenant, key)
    with pytest.raises(Conflict):
        await keys.change(OPERATOR, acme.tenant, key, name="again")


async def test_a_key_may_have_auto_in_a_tenant_with_a_list_and_nothing_else_from_outside_it(acme: Acme) -> None:
    keys, member = acme.identity.keys, acme.people[Role.MEMBER]
    made = await keys.create(member, acme.tenant, name="auto", models=["auto", "fast"])
    assert made.view.models == ("auto", "fast")
    with pytest.raises(PermissionDenied):
        await keys.change(member, acme.tenant, made.view.id, models=["auto", "other"])


async def test_the_default_model_is_a_name_and_not_auto_itself(acme: Acme) -> None:
    for wrong in ("auto", "", "two\nlines"):
        with pytest.raises(BadRequest):
            await acme.identity.tenants.set_default_model(OPERATOR, acme.tenant, wrong)
