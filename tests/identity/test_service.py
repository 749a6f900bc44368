"""People: signing in, being throttled, the first admin, and what a password or a cookie leaves behind."""

import asyncio
import inspect
import sqlite3
import statistics
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from backend.identity import passwords as passwords_module
from backend.identity.first_run import announce_setup
from backend.identity.passwords import MAX_WAITING, POOL_THREADS, Passwords
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.service import SESSION_IDLE, SESSION_LIFETIME, IdentityService
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, BourseError, Conflict, NotFound, PermissionDenied, RateLimited, SignInRequired
from tests.identity.conftest import MakeIdentity

OPERATOR = system("test")
ANN, PASSWORD = "ann@example.org", "correct horse battery"


@pytest.fixture
async def ann(identity: IdentityService) -> str:
    """The id of a person who is in no tenant."""
    return (await identity.create_user(OPERATOR, email=ANN, password=PASSWORD, name="Ann")).id


async def test_a_person_signs_in_and_her_cookie_stands_for_her(identity: IdentityService, ann: str) -> None:
    session = await identity.sign_in(ANN, PASSWORD)
    who = (await identity.session(session.cookie)).principal
    assert (who.kind, who.id, who.email, who.name) == ("user", ann, ANN, "Ann")
    assert who.role is None


@pytest.mark.parametrize("spelling", ["ANN@Example.ORG", "  ann@example.org ", "ａｎｎ@example.org"])
async def test_the_address_may_be_typed_in_any_spelling(identity: IdentityService, ann: str, spelling: str) -> None:
    assert (await identity.sign_in(spelling, PASSWORD)).user_id == ann


@pytest.mark.parametrize("cookie", [None, "", "unknown", "x" * 1000, "\x00", "\udcff"])
async def test_a_cookie_that_stands_for_nothing_stands_for_nobody(identity: IdentityService, cookie: str | None) -> None:
    view = await identity.session(cookie)
    assert view.principal is ANONYMOUS
    assert not view.signed_in


async def test_a_session_ends_on_signing_out(identity: IdentityService, ann: str) -> None:
    session = await identity.sign_in(ANN, PASSWORD)
    await identity.sign_out(session.cookie)
    await identity.sign_out(session.cookie)
    assert not (await identity.session(session.cookie)).signed_in


async def test_a_session_ends_when_it_is_too_old_or_unused(identity: IdentityService, ann: str, clock: FixedClock) -> None:
    unused = await identity.sign_in(ANN, PASSWORD)
    used = await identity.sign_in(ANN, PASSWORD)
    step = SESSION_IDLE - timedelta(hours=1)
    age = timedelta(0)
    while age + step < SESSION_LIFETIME:
        clock.advance(step)
        age += step
        assert (await identity.session(used.cookie)).signed_in
    assert not (await identity.session(unused.cookie)).signed_in
    clock.advance(SESSION_LIFETIME - age)
    assert not (await identity.session(used.cookie)).signed_in


@pytest.mark.case("A6")
async def test_a_new_password_and_a_disabled_account_end_every_session_at_once(identity: IdentityService, ann: str) -> None:
    first = await identity.sign_in(ANN, PASSWORD)
    who = (await identity.session(first.cookie)).principal
    await identity.set_password(who, ann, "another long one")
    assert not (await identity.session(first.cookie)).signed_in
    with pytest.raises(SignInRequired):
        await identity.sign_in(ANN, PASSWORD)
    second = await identity.sign_in(ANN, "another long one")
    await identity.set_user_status(OPERATOR, ann, "disabled")
    assert not (await identity.session(second.cookie)).signed_in
    with pytest.raises(SignInRequired):
        await identity.sign_in(ANN, "another long one")


async def test_the_role_is_read_anew_each_time(identity: IdentityService, ann: str) -> None:
    [tenant] = await identity.tenants.of(OPERATOR)
    session = await identity.sign_in(ANN, PASSWORD)
    for role in (Role.VIEWER, Role.ADMIN, None):
        await identity.tenants.set_member(OPERATOR, tenant.id, email=ANN, role=role)
        assert (await identity.session(session.cookie)).principal.role == role


async def test_a_person_in_two_tenants_acts_in_the_first_by_name_or_the_one_he_names(identity: IdentityService, ann: str) -> None:
    for slug, name in (("zeta", "Zeta"), ("acme", "Acme")):
        tenant = await identity.tenants.create(OPERATOR, slug=slug, name=name)
        await identity.tenants.set_member(OPERATOR, tenant.id, email=ANN, role=Role.MEMBER)
    cookie = (await identity.sign_in(ANN, PASSWORD)).cookie
    assert (await identity.session(cookie)).tenant_name == "Acme"
    assert (await identity.session(cookie, tenant="zeta")).tenant_name == "Zeta"
    assert (await identity.session(cookie, tenant="demo")).tenant_name == "Acme"


# Guessing ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.case("A3")
async def test_unknown_disabled_passwordless_and_wrong_are_one_answer(identity: IdentityService, ann: str) -> None:
    gone = await identity.create_user(OPERATOR, email="gone@example.org", password=PASSWORD)
    await identity.set_user_status(OPERATOR, gone.id, "disabled")
    await identity.create_user(OPERATOR, email="sso@example.org")
    answers = set()
    for email, password in (
        (ANN, "wrong"),
        ("nobody@example.org", PASSWORD),
        ("gone@example.org", PASSWORD),
        ("sso@example.org", PASSWORD),
        ("no address", PASSWORD),
        ("", ""),
        ("a\x00@example.org", "\udcff\x00"),
    ):
        with pytest.raises(SignInRequired) as caught:
            await identity.sign_in(email, password)
        answers.add((caught.value.status, caught.value.code, caught.value.message))
    assert len(answers) == 1


@pytest.mark.case("A3")
async def test_an_unknown_account_costs_one_argon2_like_a_known_one(
    real_password_cost: None, identity: IdentityService, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = passwords_module._verify

    def counting(password: bytes, stored: str) -> bool:
        checked.append(stored.rsplit("$", 2)[0])
        return real(password, stored)

    monkeypatch.setattr(passwords_module, "_verify", counting)
    for email in (ANN, "nobody@example.org", "no address"):
        with pytest.raises(SignInRequired):
            await identity.sign_in(email, "wrong")
    assert checked == ["$argon2id$v=19$m=47104,t=1,p=1"] * 3


@pytest.mark.soak
@pytest.mark.case("A3")
async def test_the_time_of_a_failed_sign_in_does_not_tell_who_has_an_account(
    real_password_cost: None, identity: IdentityService, ann: str
) -> None:
    times: dict[str, list[float]] = {ANN: [], "bob@example.org": []}
    for number in range(200):
        for email, taken in times.items():
            begin = time.perf_counter()
            with pytest.raises(SignInRequired):
                await identity.sign_in(email, "wrong", address=f"{number}")
            taken.append(time.perf_counter() - begin)
    known, unknown = (statistics.median(taken) for taken in times.values())
    assert abs(known - unknown) <= 0.05 * known, (known, unknown)


@pytest.mark.case("A8")
async def test_ten_wrong_guesses_in_five_minutes_are_enough(identity: IdentityService, ann: str, clock: FixedClock) -> None:
    for _ in range(10):
        with pytest.raises(SignInRequired):
            await identity.sign_in(ANN, "wrong", address="192.0.2.7")
    with pytest.raises(RateLimited) as caught:
        await identity.sign_in(ANN, PASSWORD, address="192.0.2.7")
    assert caught.value.retry_after == 300
    # The owner of the account, elsewhere, is not locked out; and the guesser may come back.
    assert await identity.sign_in(ANN, PASSWORD, address="198.51.100.1")
    clock.advance(timedelta(seconds=300))
    assert await identity.sign_in(ANN, PASSWORD, address="192.0.2.7")


@pytest.mark.case("A8")
async def test_guessing_at_once_does_not_slip_past_the_count(identity: IdentityService, ann: str) -> None:
    answers = await asyncio.gather(*(identity.sign_in(ANN, "wrong", address="192.0.2.7") for _ in range(30)), return_exceptions=True)
    assert sum(isinstance(answer, SignInRequired) for answer in answers) == 10
    assert sum(isinstance(answer, RateLimited) for answer in answers) == 20


@pytest.mark.case("A8")
async def test_one_address_cannot_try_many_accounts(identity: IdentityService) -> None:
    async def guess(number: int) -> type[BaseException]:
        with pytest.raises(BourseError) as caught:
            await identity.sign_in(f"user{number}@example.org", "wrong", address="192.0.2.7")
        return caught.type

    kinds = [await guess(number) for number in range(101)]
    assert kinds == [SignInRequired] * 100 + [RateLimited]


@pytest.mark.case("A8")
async def test_an_office_behind_one_address_may_sign_in_as_often_as_it_likes(identity: IdentityService, ann: str) -> None:
    for _ in range(105):
        await identity.sign_in(ANN, PASSWORD, address="192.0.2.7")


@pytest.mark.case("C9")
async def test_at_most_four_passwords_are_hashed_at_once_and_the_excess_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    lock, release = threading.Lock(), threading.Event()

    def slow(_password: bytes, _stored: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        release.wait(30)
        with lock:
            running -= 1
        return False

    monkeypatch.setattr(passwords_module, "_verify", slow)
    passwords = Passwords()
    try:
        tasks = [asyncio.create_task(passwords.verify("x", None)) for _ in range(200)]
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        assert all(isinstance(task.exception(), RateLimited) for task in done)
        assert len(waiting) == POOL_THREADS + MAX_WAITING
        release.set()
        assert await asyncio.gather(*waiting) == [False] * len(waiting)
        assert most == POOL_THREADS
    finally:
        release.set()
        passwords.close()


# Passwords and people ------------------------------------------------------------------------------------------------------------------


async def test_passwords_are_stored_as_argon2id_with_46_mib(
    real_password_cost: None, identity: IdentityService, ann: str, database: Database
) -> None:
    async with database.read() as session:
        stored = (await session.execute(sa.text('SELECT password_hash FROM "user"'))).scalar_one()
    assert stored.startswith("$argon2id$v=19$m=47104,t=1,p=1$")


@pytest.mark.parametrize("password", ["", "short", "1234567", "x" * 1025])
async def test_a_password_that_is_too_short_or_long_is_refused(identity: IdentityService, password: str) -> None:
    with pytest.raises(BadRequest):
        await identity.create_user(OPERATOR, email=ANN, password=password)


async def test_a_password_typed_with_other_code_points_is_the_same(identity: IdentityService) -> None:
    await identity.create_user(OPERATOR, email=ANN, password="straße ﬁnal é")
    assert await identity.sign_in(ANN, "straße final é")


@pytest.mark.case("W7")
async def test_one_address_in_two_spellings_is_one_account(identity: IdentityService, ann: str) -> None:
    with pytest.raises(Conflict):
        await identity.create_user(OPERATOR, email="Ann@EXAMPLE.org", password=PASSWORD)


async def test_only_a_super_admin_makes_and_disables_people(identity: IdentityService, ann: str) -> None:
    owner = Principal(kind="user", id=ann, tenant_id="ten_x", role=Role.OWNER)
    for who in (ANONYMOUS, owner, Principal(kind="key", id="key_x", tenant_id="ten_x")):
        with pytest.raises(PermissionDenied):
            await identity.create_user(who, email="new@example.org", password=PASSWORD)
        with pytest.raises(PermissionDenied):
            await identity.set_user_status(who, ann, "disabled")
    with pytest.raises(PermissionDenied):
        await identity.set_password(Principal(kind="user", id="usr_other"), ann, PASSWORD)
    with pytest.raises(PermissionDenied):
        # A key is not the person whose id it might carry.
        await identity.set_password(Principal(kind="key", id=ann), ann, PASSWORD)


async def test_nobody_disables_himself(identity: IdentityService) -> None:
    boss = await identity.create_user(OPERATOR, email="boss@example.org", password=PASSWORD, is_super_admin=True)
    who = (await identity.session((await identity.sign_in("boss@example.org", PASSWORD)).cookie)).principal
    with pytest.raises(Conflict):
        await identity.set_user_status(who, boss.id, "disabled")


async def test_a_person_who_is_not_there_is_not_found(identity: IdentityService) -> None:
    with pytest.raises(NotFound):
        await identity.set_user_status(OPERATOR, "usr_none", "disabled")
    with pytest.raises(NotFound):
        await identity.set_password(OPERATOR, "usr_none", PASSWORD)


# First run -----------------------------------------------------------------------------------------------------------------------------


async def test_the_setup_token_makes_one_super_admin_who_owns_the_demo_tenant(identity: IdentityService) -> None:
    token = await identity.open_setup()
    assert token is not None
    assert await identity.setup_is_open()
    session = await identity.complete_setup(token, ANN, PASSWORD)
    view = await identity.session(session.cookie)
    assert view.principal.is_super_admin
    assert (view.tenant_slug, view.principal.role) == ("demo", Role.OWNER)
    assert not await identity.setup_is_open()
    assert await identity.open_setup() is None
    with pytest.raises(PermissionDenied):
        await identity.complete_setup(token, "eve@example.org", PASSWORD)


async def test_a_restart_makes_the_earlier_token_worthless(identity: IdentityService) -> None:
    earlier, later = await identity.open_setup(), await identity.open_setup()
    assert earlier is not None
    assert later is not None
    with pytest.raises(PermissionDenied):
        await identity.complete_setup(earlier, ANN, PASSWORD)
    assert await identity.complete_setup(later, ANN, PASSWORD)


@pytest.mark.parametrize("token", ["", "guess", "\udcff"])
async def test_a_wrong_setup_token_is_refused_before_any_work(
    identity: IdentityService, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await identity.open_setup()
    monkeypatch.setattr(passwords_module, "_hash", lambda _password: pytest.fail("a password was hashed for a wrong token"))
    with pytest.raises(PermissionDenied):
        await identity.complete_setup(token, ANN, PASSWORD)


async def test_without_an_open_setup_an_empty_token_is_no_way_in(identity: IdentityService) -> None:
    with pytest.raises(PermissionDenied):
        await identity.complete_setup("", ANN, PASSWORD)


async def test_a_refused_password_does_not_use_up_the_token(identity: IdentityService) -> None:
    token = await identity.open_setup()
    assert token is not None
    with pytest.raises(BadRequest):
        await identity.complete_setup(token, ANN, "short")
    assert await identity.complete_setup(token, ANN, PASSWORD)


@pytest.mark.case("A11")
async def test_a_race_for_the_first_admin_has_one_winner(identity: IdentityService, database: Database) -> None:
    token = await identity.open_setup()
    assert token is not None
    answers = await asyncio.gather(
        *(identity.complete_setup(token, f"user{number}@example.org", PASSWORD) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, PermissionDenied) for answer in answers) == 7
    async with database.read() as session:
        assert (await session.execute(sa.text('SELECT count(*) FROM "user" WHERE is_super_admin'))).scalar_one() == 1


@pytest.mark.case("A11")
async def test_there_is_no_default_password(identity: IdentityService, database: Database) -> None:
    async with database.read() as session:
        assert (await session.execute(sa.text('SELECT count(*) FROM "user"'))).scalar_one() == 0
    for parameter in inspect.signature(IdentityService.create_user).parameters.values():
        assert parameter.name != "password" or parameter.default is None


async def test_the_link_is_written_to_the_console_once_and_only_its_hash_is_kept(identity: IdentityService, tmp_path: Path) -> None:
    console = (tmp_path / "console").open("w+")
    assert await announce_setup(identity, "http://localhost:3000/", console)
    console.seek(0)
    text = console.read()
    assert text.count("http://localhost:3000/setup#token=") == 1
    token = text.split("#token=")[1].split()[0]
    session = await identity.complete_setup(token, ANN, PASSWORD)
    assert (await identity.session(session.cookie)).signed_in
    assert not await announce_setup(identity, "http://localhost:3000", console)
    console.close()


# What is left behind (S2) --------------------------------------------------------------------------------------------------------------


@pytest.mark.case("S2")
async def test_no_secret_is_in_a_dump_of_the_database(make_identity: MakeIdentity, database: Database) -> None:
    service = make_identity(
        bootstrap={
            "admin_users": [{"email": "ops@example.org", "password": "bootstrap-password-canary"}],
            "api_keys": [{"tenant": "demo", "name": "ci", "key": "sk-ci.key-canary"}],
        }
    )
    setup_token = await service.open_setup()
    await service.bootstrap()
    assert await service.open_setup() is None
    await service.create_user(OPERATOR, email=ANN, password="person-password-canary")
    session = await service.sign_in(ANN, "person-password-canary", user_agent="Browser")
    with pytest.raises(SignInRequired):
        await service.sign_in(ANN, "wrong-password-canary")
    [tenant] = await service.tenants.of(OPERATOR)
    key = await service.keys.create(OPERATOR, tenant.id, name="made here")
    text = await dump(database)
    assert "sign_in_session" in text
    assert ANN in text
    secrets = [session.cookie, key.text, key.text.partition(".")[2], setup_token, "canary", "my-secret"]
    for secret in secrets:
        assert secret is not None
        assert secret not in text


async def dump(database: Database) -> str:
    """Every row of every table as text."""
    lines = []
    async with database.read() as session:
        connection = await session.connection()
        names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
        for name in names:
            for row in await session.execute(sa.text(f'SELECT * FROM "{name}"')):
                lines.append(f"{name} {tuple(row)}")
    if database.dialect == "sqlite":
        path = sa.make_url(database.url).database
        assert path is not None
        with sqlite3.connect(path) as direct:
            lines += list(direct.iterdump())
    return "\n".join(lines)
