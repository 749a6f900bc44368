"""Access tokens: whom they stand for, when they end, and that they open the REST surface and nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated

import httpx
import pytest
import sqlalchemy as sa
from fastapi import Depends

from backend.audit.tables import AuditEntry
from backend.identity.api import require_reader, signed_in
from backend.identity.principal import Principal, system
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.identity.tables import AccessToken
from backend.identity.tokens import LIFETIME, LONGEST, NewToken
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, InvalidApiKey, NotFound, PermissionDenied, SignInRequired
from backend.settings import Settings
from tests.identity.test_api import serve

OPERATOR = system("test")
BOB = Principal(kind="user", id="usr_bob")


@pytest.fixture
async def ann(identity: IdentityService) -> str:
    """The id of a super admin."""
    return (await identity.create_user(OPERATOR, email="ann@example.org", name="Ann", is_super_admin=True)).id


@pytest.fixture
async def token(identity: IdentityService, ann: str) -> NewToken:
    return await identity.tokens.create(OPERATOR, ann, name="nightly prices")


async def stands(identity: IdentityService, token: NewToken) -> bool:
    try:
        return bool((await identity.tokens.owner(f"Bearer {token.text}")).id)
    except SignInRequired:
        return False


async def test_a_token_stands_for_its_super_admin_and_only_its_hash_is_kept(
    identity: IdentityService, database: Database, ann: str, token: NewToken
) -> None:
    who = await identity.tokens.owner(f"bearer {token.text}", address="192.0.2.1", request_id="req_1")
    assert (who.kind, who.id, who.is_super_admin, who.via, who.tenant_id) == ("user", ann, True, token.view.id, None)
    assert token.text.startswith(f"bt-{token.view.public_id}.")
    assert token.text not in repr(token)
    async with database.read() as session:
        (row,) = (await session.execute(sa.select(AccessToken.__table__))).mappings().all()  # type: ignore[attr-defined]
        entries = (await session.execute(sa.select(AuditEntry.action, AuditEntry.facts))).all()  # type: ignore[call-overload]
    secret = token.text.partition(".")[2]
    assert not [value for value in row.values() if isinstance(value, str) and secret in value]
    assert row["last_used_at"] is not None
    assert [(entry.action, entry.facts["name"]) for entry in entries if entry.action.startswith("access.")] == [
        ("access.create", "nightly prices")
    ]


async def test_a_change_that_it_made_says_so_in_the_audit_log(identity: IdentityService, database: Database, token: NewToken) -> None:
    who = await identity.tokens.owner(f"Bearer {token.text}")
    await identity.create_user(who, email="eve@example.org")
    async with database.read() as session:
        rows = (await session.execute(sa.select(AuditEntry.facts).where(AuditEntry.actor == who.id))).scalars().all()  # type: ignore[call-overload]
    assert [facts["via"] for facts in rows] == [token.view.id]


async def test_it_ends_by_itself_and_when_it_is_revoked(identity: IdentityService, clock: FixedClock, ann: str, token: NewToken) -> None:
    short = await identity.tokens.create(OPERATOR, ann, name="short", expires_at=clock.now() + timedelta(hours=1))
    assert await stands(identity, short)
    clock.advance(timedelta(hours=1))
    assert (await stands(identity, short), await stands(identity, token)) == (False, True)
    assert (await identity.tokens.revoke(OPERATOR, token.view.public_id)).status == "revoked"
    assert not await stands(identity, token)
    assert (await identity.tokens.revoke(OPERATOR, token.view.id)).status == "revoked", "once more changes nothing"
    assert [(one.name, one.status) for one in await identity.tokens.of_user(OPERATOR, ann)] == [
        ("short", "expired"),
        ("nightly prices", "revoked"),
    ]


async def test_it_is_worth_what_its_owner_is_at_every_request(identity: IdentityService, ann: str, token: NewToken) -> None:
    await identity.set_super_admin(OPERATOR, ann, False)
    assert not await stands(identity, token)
    await identity.set_super_admin(OPERATOR, ann, True)
    assert await stands(identity, token)
    await identity.set_user_status(OPERATOR, ann, "disabled")
    assert not await stands(identity, token)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer bt-x.y", "Bearer sk-demo.my-secret", "Basic bt-x.y", "Bearer bt-" + "x" * 600, "bt-x"]
)
async def test_anything_else_is_refused_with_one_answer(identity: IdentityService, token: NewToken, header: str) -> None:
    with pytest.raises(SignInRequired, match="access token of a super admin"):
        await identity.tokens.owner(header)
    with pytest.raises(SignInRequired):
        await identity.tokens.owner(f"Bearer {token.text[:-1]}")


async def test_tokens_are_for_super_admins_by_super_admins_and_not_for_ever(
    identity: IdentityService, clock: FixedClock, ann: str, token: NewToken
) -> None:
    carl = (await identity.create_user(OPERATOR, email="carl@example.org")).id
    for refused in (
        identity.tokens.create(BOB, ann, name="x"), identity.tokens.of_user(BOB, ann), identity.tokens.revoke(BOB, token.view.id),
    ):  # fmt: skip
        with pytest.raises(PermissionDenied):
            await refused
    with pytest.raises(BadRequest, match="super admins"):
        await identity.tokens.create(OPERATOR, carl, name="x")
    for days in (timedelta(0), LONGEST + timedelta(days=1)):
        with pytest.raises(BadRequest, match="within a year"):
            await identity.tokens.create(OPERATOR, ann, name="x", expires_at=clock.now() + days)
    with pytest.raises(NotFound):
        await identity.tokens.create(OPERATOR, "usr_nobody", name="x")
    with pytest.raises(NotFound):
        await identity.tokens.revoke(OPERATOR, "acc_nobody")
    assert token.view.expires_at == clock.now() + LIFETIME


async def test_it_opens_nothing_on_the_gateway(auth: AuthSnapshot, token: NewToken) -> None:
    await auth.load()
    for text in (token.text, f"sk-{token.text.removeprefix('bt-')}"):
        with pytest.raises(InvalidApiKey):
            auth.authenticate(f"Bearer {text}", address="127.0.0.1")


class TestOverHttp:
    @pytest.fixture
    async def client(self, identity: IdentityService, auth: AuthSnapshot) -> AsyncIterator[httpx.AsyncClient]:
        settings = Settings()
        app = serve(identity, settings)
        person = signed_in(identity, settings)

        @app.post("/who")
        async def who(principal: Annotated[Principal, Depends(person)]) -> dict[str, str]:
            return {"id": principal.id, "via": principal.via}

        @app.get("/store", dependencies=[Depends(require_reader(identity, auth, settings))])
        async def store() -> str:
            return "read"

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost:3000") as client:
            yield client

    async def test_a_token_writes_and_reads_where_a_session_would(self, client: httpx.AsyncClient, ann: str, token: NewToken) -> None:
        good = {"authorization": f"Bearer {token.text}"}
        assert (await client.post("/who", headers=good)).json() == {"id": ann, "via": token.view.id}
        assert (await client.get("/store", headers=good)).status_code == 200
        assert (await client.get("/store", headers={"authorization": "Bearer bt-no.no"})).status_code == 401
        assert (await client.post("/who")).status_code == 401

    async def test_a_bad_token_is_refused_although_there_is_a_session(
        self, client: httpx.AsyncClient, identity: IdentityService, ann: str
    ) -> None:
        await identity.set_password(OPERATOR, ann, "correct horse battery")
        signed = await client.post("/auth/sign-in", json={"email": "ann@example.org", "password": "correct horse battery"})
        cookie = {"cookie": signed.headers["set-cookie"].partition(";")[0]}
        assert (await client.post("/who", headers=cookie)).status_code == 200
        for header in ("Bearer bt-no.no", "Bearer sk-demo.my-secret", "Basic YTpi"):
            answer = await client.post("/who", headers=cookie | {"authorization": header})
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_access")
