"""The hot path's question: whose key is this?"""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa

from backend.identity.keys import generate_key
from backend.identity.principal import Role, system
from backend.identity.service import IdentityService
from backend.identity.snapshot import AuthSnapshot
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import AddressNotAllowed, InvalidApiKey, TenantSuspended
from tests.identity.conftest import MakeIdentity

OPERATOR = system("test")
HERE = "192.0.2.7"


async def demo_tenant(identity: IdentityService) -> str:
    return next(one.id for one in await identity.tenants.of(OPERATOR) if one.slug == "demo")


async def test_the_demo_key_opens_the_demo_tenant_in_development(auth: AuthSnapshot) -> None:
    key = auth.authenticate("Bearer sk-demo.my-secret", address=HERE)
    assert (key.public_id, key.name, key.tenant_slug) == ("demo", "demo", "demo")
    assert key.models is None
    assert key.tenant_models is None


@pytest.mark.parametrize("header", ["bearer sk-demo.my-secret", "BEARER sk-demo.my-secret"], ids=["lower", "upper"])
async def test_the_scheme_is_read_in_any_case(auth: AuthSnapshot, header: str) -> None:
    assert auth.authenticate(header, address=HERE).public_id == "demo"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer sk-",
        "Bearer sk-demo",
        "Bearer sk-demo.",
        "Bearer sk-demo.wrong",
        "Bearer sk-nobody.my-secret",
        "Bearer sk-.my-secret",
        "Bearer sk-demo.my-secret ",
        "Bearer  sk-demo.my-secret",
        "Basic sk-demo.my-secret",
        "Bearer SK-demo.my-secret",
        "sk-demo.my-secret",
        "Bearer sk-demo.my-secret\x00",
        "Bearer sk-\udcff.\udcff",
        "Bearer sk-demo." + "x" * 10_000,
        # The stored hash is no key (pass the hash).
        "Bearer sk-demo." + "186ef76e9d6a723ecb570d4d9c287487d001e5d35f7ed4a313350a407950318e",
    ],
)
async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(auth: AuthSnapshot, header: str | None) -> None:
    with pytest.raises(InvalidApiKey) as caught:
        auth.authenticate(header, address=HERE)
    assert caught.value.message == InvalidApiKey.default_message


async def test_expired_and_revoked_keys_answer_like_unknown_ones(auth: AuthSnapshot, identity: IdentityService, clock: FixedClock) -> None:
    tenant = await demo_tenant(identity)
    expiring = await identity.keys.create(OPERATOR, tenant, name="soon", expires_at=clock.now() + timedelta(hours=1))
    revoked = await identity.keys.create(OPERATOR, tenant, name="gone")
    await auth.load()
    assert auth.authenticate(f"Bearer {expiring.text}", address=HERE).name == "soon"
    assert auth.authenticate(f"Bearer {revoked.text}", address=HERE).name == "gone"
    clock.advance(timedelta(hours=1))
    await identity.keys.revoke(OPERATOR, tenant, revoked.view.id)
    await auth.load()
    for text in (expiring.text, revoked.text):
        with pytest.raises(InvalidApiKey) as caught:
            auth.authenticate(f"Bearer {text}", address=HERE)
        assert caught.value.message == InvalidApiKey.default_message


async def test_a_suspended_tenant_is_told_so_but_only_with_a_right_key(auth: AuthSnapshot, identity: IdentityService) -> None:
    await identity.tenants.set_status(OPERATOR, await demo_tenant(identity), "suspended")
    await auth.load()
    with pytest.raises(TenantSuspended):
        auth.authenticate("Bearer sk-demo.my-secret", address=HERE)
    with pytest.raises(InvalidApiKey):
        auth.authenticate("Bearer sk-demo.guess", address=HERE)


async def test_the_key_of_a_disabled_person_is_unknown(auth: AuthSnapshot, identity: IdentityService) -> None:
    tenant = await demo_tenant(identity)
    ann = await identity.create_user(OPERATOR, email="ann@example.org", password="correct horse")
    await identity.tenants.set_member(OPERATOR, tenant, email="ann@example.org", role=None)
    session = await identity.sign_in("ann@example.org", "correct horse")
    await identity.tenants.set_member(OPERATOR, tenant, email="ann@example.org", role=Role.MEMBER)
    who = (await identity.session(session.cookie)).principal
    key = await identity.keys.create(who, tenant, name="hers")
    await auth.load()
    assert auth.authenticate(f"Bearer {key.text}", address=HERE).user_id == ann.id
    await identity.set_user_status(OPERATOR, ann.id, "disabled")
    await auth.load()
    with pytest.raises(InvalidApiKey):
        auth.authenticate(f"Bearer {key.text}", address=HERE)


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["192.0.2.0/24"], "192.0.2.7", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.7", True),
        (["192.0.2.0/24"], "198.51.100.1", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32", "192.0.2.7"], "192.0.2.7", True),
        ([], "192.0.2.7", False),
        (["0.0.0.0/0"], "not an address", False),
    ],
)
async def test_a_key_is_used_only_from_its_addresses(
    auth: AuthSnapshot, identity: IdentityService, networks: list[str], address: str, allowed: bool
) -> None:
    key = await identity.keys.create(OPERATOR, await demo_tenant(identity), name="here", allowed_addresses=networks)
    await auth.load()
    if allowed:
        assert auth.authenticate(f"Bearer {key.text}", address=address).name == "here"
    else:
        with pytest.raises(AddressNotAllowed):
            auth.authenticate(f"Bearer {key.text}", address=address)


async def test_two_keys_may_share_a_secret_and_stay_two_keys(database: Database, clock: FixedClock, make_identity: MakeIdentity) -> None:
    keys = [{"tenant": "demo", "name": name, "key": f"sk-{name}.same"} for name in ("one", "two")]
    await make_identity(bootstrap={"api_keys": keys}).bootstrap()
    snapshot = AuthSnapshot(database, clock, demo_allowed=True)
    await snapshot.load()
    assert [snapshot.authenticate(f"Bearer sk-{name}.same", address=HERE).name for name in ("one", "two")] == ["one", "two"]


async def test_the_demo_secret_is_refused_where_it_is_not_allowed_even_if_it_was_left_behind(
    database: Database, clock: FixedClock, identity: IdentityService
) -> None:
    production = AuthSnapshot(database, clock, demo_allowed=False)
    await production.load()
    with pytest.raises(InvalidApiKey):
        production.authenticate("Bearer sk-demo.my-secret", address=HERE)


async def test_a_revoked_key_is_refused_after_the_change_feed_moved(
    database: Database, auth: AuthSnapshot, identity: IdentityService, clock: FixedClock
) -> None:
    feed = ChangeFeed(database, clock)
    feed.subscribe(auth.load)
    tenant = await demo_tenant(identity)
    key = await identity.keys.create(OPERATOR, tenant, name="short-lived")
    await feed.check()
    assert auth.authenticate(f"Bearer {key.text}", address=HERE).name == "short-lived"
    await identity.keys.revoke(OPERATOR, tenant, key.view.id)
    await feed.check()
    with pytest.raises(InvalidApiKey):
        auth.authenticate(f"Bearer {key.text}", address=HERE)


async def test_what_changes_between_loading_and_the_first_look_is_noticed(
    database: Database, auth: AuthSnapshot, identity: IdentityService, clock: FixedClock
) -> None:
    feed = ChangeFeed(database, clock)
    feed.subscribe(auth.load)
    seen = await database.change_version()
    await auth.load()
    key = await identity.keys.create(OPERATOR, await demo_tenant(identity), name="in between")
    await feed.start(seen=seen)
    try:
        await feed.check()
        assert auth.authenticate(f"Bearer {key.text}", address=HERE).name == "in between"
    finally:
        await feed.stop()


async def test_a_failed_reload_leaves_the_old_snapshot_in_force(auth: AuthSnapshot, database: Database) -> None:
    async with database.write() as unit:
        await unit.session.execute(sa.text("ALTER TABLE api_key RENAME TO hidden"))
    with pytest.raises(Exception, match="api_key"):
        await auth.load()
    assert auth.authenticate("Bearer sk-demo.my-secret", address=HERE).public_id == "demo"


# A2: knowing an id gains nothing -----------------------------------------------------------------------------------------------------


async def many_keys(identity: IdentityService, auth: AuthSnapshot, count: int) -> list[str]:
    tenant = await demo_tenant(identity)
    made = [await identity.keys.create(OPERATOR, tenant, name=f"key {number}") for number in range(count)]
    await auth.load()
    return [key.view.public_id for key in made]


@pytest.mark.case("A2")
async def test_a_known_id_and_an_unknown_id_take_the_same_steps(auth: AuthSnapshot, identity: IdentityService) -> None:
    """Structure instead of time: the same functions are called, with equally long arguments, whether the id exists or not."""
    [known] = await many_keys(identity, auth, 1)

    def steps(public_id: str) -> list[str]:
        seen: list[str] = []

        def note(frame: object, event: str, argument: object) -> None:
            if event in ("call", "c_call"):
                seen.append(getattr(argument, "__qualname__", None) or frame.f_code.co_qualname)  # type: ignore[attr-defined]

        header = f"Bearer sk-{public_id}.{generate_key().secret}"
        sys.setprofile(note)
        try:
            auth.authenticate(header, address=HERE)
        except InvalidApiKey:
            pass
        finally:
            sys.setprofile(None)
        return seen

    unknown = generate_key().public_id
    assert len(unknown) == len(known)
    assert steps(known) == steps(unknown)
    assert any("compare_digest" in step for step in steps(unknown))


@pytest.mark.soak
@pytest.mark.case("A2")
async def test_twenty_thousand_timings_do_not_tell_a_known_id_from_an_unknown_one(auth: AuthSnapshot, identity: IdentityService) -> None:
    known = await many_keys(identity, auth, 300)
    samples: dict[str, list[int]] = {"known": [], "unknown": [], "wrong checksum": []}
    headers: list[tuple[str, str]] = []
    for number in range(20_000):
        fresh = generate_key()
        kind = ("known", "unknown", "wrong checksum")[number % 3]
        public_id = known[number % len(known)] if kind != "unknown" else fresh.public_id
        secret = fresh.secret if kind != "wrong checksum" else fresh.secret[:-1] + "~"
        headers.append((kind, f"Bearer sk-{public_id}.{secret}"))
    for kind, header in headers:
        samples[kind].append(elapsed_ns(auth, header))
    medians = {kind: statistics.median(times) for kind, times in samples.items()}
    spread = (max(medians.values()) - min(medians.values())) / min(medians.values())
    assert spread <= 0.01, medians
    assert mann_whitney_p(samples["known"], samples["unknown"]) > 0.01, medians


def elapsed_ns(auth: AuthSnapshot, header: str, timer: Callable[[], int] = time.perf_counter_ns) -> int:
    begin = timer()
    try:
        auth.authenticate(header, address=HERE)
    except InvalidApiKey:
        return timer() - begin
    raise AssertionError("a guessed key was accepted")


def mann_whitney_p(one: list[int], other: list[int]) -> float:
    """Two-sided p of the Mann-Whitney U test by its normal approximation, corrected for ties."""
    joined = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    rank_sum, ties, start = 0.0, 0, 0
    while start < len(joined):
        end = start
        while end < len(joined) and joined[end][0] == joined[start][0]:
            end += 1
        rank = (start + end + 1) / 2
        rank_sum += rank * sum(1 for _, group in joined[start:end] if group == 0)
        ties += (end - start) ** 3 - (end - start)
        start = end
    n, m = len(one), len(other)
    total = n + m
    u = rank_sum - n * (n + 1) / 2
    sigma = (n * m / 12 * ((total + 1) - ties / (total * (total - 1)))) ** 0.5
    return 2 * (1 - statistics.NormalDist().cdf(abs(u - n * m / 2) / sigma))
