"""The first rows: created once, never updated, refused as a whole."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from backend.identity.bootstrap import BootstrapRefused
from backend.identity.keys import parse_key
from backend.identity.principal import Role, system
from backend.identity.service import IdentityService
from backend.kernel.db import Database
from tests.identity.conftest import MakeIdentity

OPERATOR = system("test")
OPS = {"email": "Ops@Example.org", "password": "env:ADMIN_PASSWORD"}
FULL: dict[str, Any] = {
    "admin_users": [OPS],
    "tenants": [{"slug": "acme", "name": "Acme", "budget": {"limit_usd": 50, "window": "rolling_7d"}, "models": ["fast"]}],
    "memberships": [{"tenant": "acme", "email": "ops@example.org", "role": "owner"}],
    "api_keys": [
        {
            "tenant": "acme",
            "name": "ci",
            "key": "env:CI_KEY",
            "budget": {"limit_usd": "0.000001", "window": "calendar_day"},
            "rate_limit": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 2},
        }
    ],
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "from the environment")
    monkeypatch.setenv("CI_KEY", "sk-ci.from-the-environment")


async def everything(database: Database) -> dict[str, list[Any]]:
    found = {}
    async with database.read() as session:
        for table, columns in {
            '"user"': "email, is_super_admin",
            "tenant": "slug, name",
            "membership": "role",
            "api_key": "public_id, name",
            "budget": 'scope, limit_nano, "window"',
        }.items():
            found[table] = sorted(tuple(row) for row in await session.execute(sa.text(f"SELECT {columns} FROM {table}")))
    return found


async def test_what_the_configuration_names_is_made(make_identity: MakeIdentity, database: Database) -> None:
    service = make_identity(env="production", bootstrap=FULL)
    await service.bootstrap()
    assert await everything(database) == {
        '"user"': [("ops@example.org", True)],
        "tenant": [("acme", "Acme")],
        "membership": [("owner",)],
        "api_key": [("ci", "ci")],
        "budget": [("key", 1000, "calendar_day"), ("tenant", 50_000_000_000, "rolling_7d")],
    }
    session = await service.sign_in("ops@example.org", "from the environment")
    view = await service.session(session.cookie)
    assert (view.tenant_slug, view.principal.role, view.principal.is_super_admin) == ("acme", Role.OWNER, True)


async def test_starting_again_changes_nothing_and_does_not_move_the_change_feed(make_identity: MakeIdentity, database: Database) -> None:
    await make_identity(bootstrap=FULL).bootstrap()
    before, version = await everything(database), await database.change_version()
    await make_identity(bootstrap=FULL).bootstrap()
    assert await everything(database) == before
    assert await database.change_version() == version


async def test_what_somebody_changed_stays_changed(make_identity: MakeIdentity, database: Database) -> None:
    service = make_identity(bootstrap=FULL)
    await service.bootstrap()
    acme = next(one for one in await service.tenants.of(OPERATOR) if one.slug == "acme")
    [key] = await service.keys.of_tenant(OPERATOR, acme.id)
    await service.keys.revoke(OPERATOR, acme.id, key.id)
    user = (await service.sign_in("ops@example.org", "from the environment")).user_id
    await service.set_password(OPERATOR, user, "her own choice")
    await make_identity(bootstrap=FULL).bootstrap()
    assert [one.status for one in await service.keys.of_tenant(OPERATOR, acme.id)] == ["revoked"]
    assert await service.sign_in("ops@example.org", "her own choice")


async def test_development_has_a_demo_tenant_with_a_budget_and_production_has_not(make_identity: MakeIdentity, database: Database) -> None:
    await make_identity(env="production").bootstrap()
    assert (await everything(database))["tenant"] == []
    await make_identity().bootstrap()
    found = await everything(database)
    assert found["tenant"] == [("demo", "Demo")]
    assert found["api_key"] == [("demo", "demo")]
    assert found["budget"] == [("tenant", 100_000_000_000, "calendar_month")]


async def test_the_first_admin_of_the_configuration_owns_the_demo_tenant(make_identity: MakeIdentity) -> None:
    service = make_identity(bootstrap={"admin_users": [OPS]})
    await service.bootstrap()
    view = await service.session((await service.sign_in("ops@example.org", "from the environment")).cookie)
    assert (view.tenant_slug, view.principal.role) == ("demo", Role.OWNER)


@pytest.mark.parametrize(
    ("bootstrap", "says"),
    [
        ({"api_keys": [{"tenant": "demo", "name": "ci", "key": "not a key"}]}, "the key 'ci'"),
        ({"api_keys": [{"tenant": "nowhere", "name": "ci", "key": "sk-ci.x"}]}, "no tenant 'nowhere'"),
        ({"api_keys": [{"tenant": "demo", "name": "ci", "key": "env:UNSET_VARIABLE"}]}, "env:UNSET_VARIABLE"),
        ({"api_keys": [{"tenant": "demo", "name": "ci", "key": "sk-ci.x", "owner": "nobody@example.org"}]}, "nobody@example.org"),
        ({"memberships": [{"tenant": "demo", "email": "nobody@example.org"}]}, "nobody@example.org"),
        ({"tenants": [{"slug": "x", "name": "a\u202eb"}]}, "visible characters"),
        ({"admin_users": [{"email": "no address", "password": "long enough"}]}, "no address"),
        ({"admin_users": [{"email": "a@example.org", "password": "env:UNSET_VARIABLE"}]}, "env:UNSET_VARIABLE"),
    ],
)
async def test_what_cannot_be_made_is_named_and_nothing_is_left_behind(
    make_identity: MakeIdentity, database: Database, bootstrap: dict[str, Any], says: str
) -> None:
    with pytest.raises(BootstrapRefused, match=says) as caught:
        await make_identity(bootstrap=bootstrap).bootstrap()
    assert "not a key" not in str(caught.value)
    assert (await everything(database))["tenant"] == []


@pytest.mark.case("A11")
async def test_production_refuses_the_demo_secret_and_a_short_password(
    make_identity: MakeIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI_KEY", "sk-anything.my-secret")
    with pytest.raises(BootstrapRefused, match="demo key"):
        await make_identity(env="production", bootstrap=FULL).bootstrap()
    monkeypatch.setenv("CI_KEY", "sk-ci.fine")
    monkeypatch.setenv("ADMIN_PASSWORD", "short")
    with pytest.raises(BootstrapRefused, match="at least 8"):
        await make_identity(env="production", bootstrap=FULL).bootstrap()


async def test_another_secret_for_a_key_that_exists_changes_nothing_and_is_said(
    make_identity: MakeIdentity, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await make_identity(bootstrap=FULL).bootstrap()
    monkeypatch.setenv("CI_KEY", "sk-ci.another-secret")
    await make_identity(bootstrap=FULL).bootstrap()
    async with database.read() as session:
        stored = (await session.execute(sa.text("SELECT secret_sha256 FROM api_key WHERE public_id = 'ci'"))).scalar_one()
    assert stored == parse_key("sk-ci.from-the-environment").secret_sha256
    said = capsys.readouterr()
    assert "bootstrap.key_kept" in said.out + said.err
    assert "another-secret" not in said.out + said.err


async def test_replicas_that_start_together_make_everything_once(make_identity: MakeIdentity, database: Database) -> None:
    await asyncio.gather(*(make_identity(bootstrap=FULL).bootstrap() for _ in range(4)))
    assert len((await everything(database))["api_key"]) == 2
    assert len((await everything(database))['"user"']) == 1


async def test_a_key_made_from_the_configuration_is_not_shown_by_the_service(identity: IdentityService) -> None:
    [tenant] = await identity.tenants.of(OPERATOR)
    assert "my-secret" not in repr(await identity.keys.of_tenant(OPERATOR, tenant.id))
