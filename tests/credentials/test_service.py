"""Keys that are stored: by whom, for whom, sealed, sealed anew, and never shown."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from backend.audit.service import AuditService
from backend.credentials import service as service_module
from backend.credentials.book import STORED, KeyBook
from backend.credentials.master import MasterKey, MasterKeys, MasterKeyWrong, Row
from backend.credentials.service import MOST_KEYS, CredentialService
from backend.credentials.tables import ProviderKey
from backend.identity.principal import ANONYMOUS, Principal, Role, system
from backend.identity.service import IdentityService
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.errors import BadRequest, BourseError, Conflict, NotFound, PermissionDenied
from backend.providers.destination import destination
from backend.settings import ProviderSettings, Settings

OPERATOR = system("test")
SECRET = "sk-canary-0123456789-abcd"
FIRST, SECOND = "first-master-key-of-at-least-32-signs", "second-master-key-of-at-least-32-signs"
ACME = {"base_url": "https://api.acme.example/v1"}


class Desk:
    """The service on one database, with the settings that a process was started with."""

    def __init__(self, database: Database, clock: FixedClock, folder: Path, **given: Any) -> None:
        values = {"data_dir": str(folder), "providers": {"acme": ACME}, "secret_key": FIRST, "secrets_file": str(folder / "none.yaml")}
        self.settings = Settings.model_validate(values | given)
        self.audit = AuditService(clock)
        masters = MasterKeys(self.settings)
        self.book = KeyBook(self.settings, database, masters)
        self.service = CredentialService(database, clock, self.audit, self.book.providers, masters, self.book)

    def value(self, provider: str = "acme", tenant_id: str | None = None) -> list[str | None]:
        found = self.book.shared if tenant_id is None else self.book.own.get(tenant_id, {})
        return [key.value for key in found.get(provider, ())]


Open = Callable[..., Desk]


@pytest.fixture
def at(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> Open:
    return lambda **given: Desk(sqlite_database, clock, tmp_path, **given)


@pytest.fixture
def on_both(database: Database, clock: FixedClock, tmp_path: Path) -> Open:
    """As `at`, once on each database."""
    return lambda **given: Desk(database, clock, tmp_path, **given)


@pytest.fixture
def desk(at: Open) -> Desk:
    return at()


@pytest.fixture
async def tenants(sqlite_database: Database, clock: FixedClock, desk: Desk) -> tuple[str, str]:
    identity = IdentityService(sqlite_database, clock, desk.audit, desk.settings)
    made = [(await identity.tenants.create(OPERATOR, slug=slug)).id for slug in ("one", "two")]
    identity.close()
    return made[0], made[1]


def person(tenant_id: str, role: Role) -> Principal:
    return Principal(kind="user", id="usr_1", tenant_id=tenant_id, role=role)


async def dumped(database: Database) -> bytes:
    """Everything that is in the database."""
    found = b""
    async with database.read() as session:
        for table in sa.inspect(ProviderKey).local_table.metadata.sorted_tables:
            for row in await session.execute(sa.select(table)):
                found += b"\n".join(bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in row)
    return found


async def audited(database: Database) -> list[tuple[str, str, str | None]]:
    async with database.read() as session:
        rows = await session.execute(
            sa.text("SELECT action, target, tenant_id FROM audit_entry WHERE action LIKE 'provider_key%' ORDER BY at, id")
        )
        return [(row[0], row[1], row[2]) for row in rows]


@pytest.mark.case("S2")
async def test_a_key_is_stored_sealed_listed_replaced_and_removed_with_a_line_each(on_both: Open, database: Database) -> None:
    desk = on_both()
    added = await desk.service.add(OPERATOR, "acme", f" {SECRET}\n", name="team-a")
    assert (added.name, added.source, added.hint, added.state, added.destination) == (
        "team-a",
        STORED,
        "abcd",
        "ready",
        "https://api.acme.example:443",
    )
    assert SECRET not in repr(added)
    assert desk.value() == [SECRET]
    assert SECRET.encode() not in await dumped(database)
    with pytest.raises(Conflict, match="already"):
        await desk.service.add(OPERATOR, "acme", "sk-another-0123456789", name="team-a")
    await desk.service.add(OPERATOR, "acme", "sk-another-0123456789", name="team-a", replace=True)
    assert desk.value() == ["sk-another-0123456789"]
    await desk.service.remove(OPERATOR, "acme", "team-a")
    assert desk.value() == []
    with pytest.raises(NotFound):
        await desk.service.remove(OPERATOR, "acme", "team-a")
    actions = [(action, target) for action, target, _ in await audited(database)]
    assert actions == [(f"provider_key.{verb}", "acme/team-a") for verb in ("add", "replace", "remove")]


async def test_every_change_moves_the_change_feed(sqlite_database: Database, desk: Desk) -> None:
    before = await sqlite_database.change_version()
    await desk.service.add(OPERATOR, "acme", SECRET)
    assert await sqlite_database.change_version() == before + 1
    await desk.service.remove(OPERATOR, "acme", "default")
    assert await sqlite_database.change_version() == before + 2


async def test_where_the_audit_cannot_be_written_nothing_is_stored(
    sqlite_database: Database, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sqlite_database.write() as unit:
        await unit.session.execute(sa.text("ALTER TABLE audit_entry RENAME TO elsewhere"))
    with pytest.raises(BourseError):
        await desk.service.add(OPERATOR, "acme", SECRET)
    await desk.book.load()
    assert desk.value() == []


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("", "a"),
        ("  \n", "a"),
        ("env:OPENAI_API_KEY", "a"),
        ("sk-one\nsk-two", "a"),
        ("sk-ключ", "a"),
        ("x" * 17_000, "a"),
        (SECRET, "No Name"),
        (SECRET, ""),
    ],
)
async def test_what_is_no_key_is_not_stored_and_not_repeated(desk: Desk, value: str, name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await desk.service.add(OPERATOR, "acme", value, name=name)
    assert not value.strip() or value.strip() not in str(caught.value)


async def test_a_service_accounts_json_may_be_stored(desk: Desk) -> None:
    text = '{\n  "type": "service_account",\n  "private_key": "-----BEGIN"\n}'
    await desk.service.add(OPERATOR, "acme", text)
    assert desk.value() == [text]


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8200/v1/sys",
        "https://evil.example/token",
        "http://oauth2.googleapis.com/token",
        "https://oauth2.googleapis.com@evil.example/",
        7,
    ],
)
async def test_a_tenants_key_names_no_address_that_the_gateway_would_ask(at: Open, tenants: tuple[str, str], address: object) -> None:
    desk = at(providers={"vertex": {"protocol": "vertex"}})
    account = {"type": "service_account", "client_email": "a@b", "private_key": "-----BEGIN", "token_uri": address}
    with pytest.raises(BadRequest, match="token_uri"):
        await desk.service.add(OPERATOR, "vertex", json.dumps(account), tenant_id=tenants[0])
    fine = json.dumps({**account, "token_uri": "https://oauth2.googleapis.com/token"})
    await desk.service.add(OPERATOR, "vertex", fine, tenant_id=tenants[0])


async def test_a_key_that_somebody_takes_away_at_once_is_said_to_be_gone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def taken_away() -> None:
        monkeypatch.undo()
        await desk.service.remove(OPERATOR, "acme", "default")

    monkeypatch.setattr(desk.service, "_reload", taken_away)
    with pytest.raises(Conflict, match="taken this key away"):
        await desk.service.add(OPERATOR, "acme", SECRET)


async def test_nothing_is_stored_for_a_tenant_that_is_none(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.service.add(OPERATOR, "acme", SECRET, tenant_id="ten_nobody")


@pytest.mark.parametrize(
    ("protocol", "metadata"),
    [
        ("huggingface", {"embeddings_url": "https://elsewhere.example/{model}"}),
        ("azure", {"authority": "https://elsewhere.example"}),
        ("litellm", {"params": {"api_base": "https://elsewhere.example"}}),
    ],
)
def test_a_key_was_stored_for_every_address_that_it_is_sent_to(protocol: str, metadata: dict[str, Any]) -> None:
    base = {"protocol": protocol, "base_url": "https://acme.example/v1"}
    before = destination(ProviderSettings.model_validate(base))
    after = destination(ProviderSettings.model_validate({**base, "metadata": metadata}))
    assert (before, after) == ("https://acme.example:443", "https://acme.example:443 and https://elsewhere.example:443")


async def test_a_key_may_be_for_the_longest_addresses_that_there_are(on_both: Open) -> None:
    host = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    desk = on_both(providers={"acme": {"base_url": f"https://{host}:65535/v1", "metadata": {"authority": f"https://{host}"}}})
    await desk.service.add(OPERATOR, "acme", SECRET)
    assert desk.value() == [SECRET]


async def test_a_tenant_has_no_key_of_its_own_where_the_operators_could_be_taken_instead(at: Open, tenants: tuple[str, str]) -> None:
    desk = at(providers={"bridge": {"protocol": "litellm", "metadata": {"allow_litellm": True}}})
    with pytest.raises(Conflict, match="none of their own"):
        await desk.service.add(OPERATOR, "bridge", SECRET, tenant_id=tenants[0])
    await desk.service.add(OPERATOR, "bridge", SECRET)


async def test_half_a_key_of_aws_is_not_stored(at: Open) -> None:
    desk = at(providers={"bedrock": {"protocol": "bedrock"}})
    with pytest.raises(BadRequest, match="access_key_id"):
        await desk.service.add(OPERATOR, "bedrock", '{"access_key_id": "AKIA"}')
    await desk.service.add(OPERATOR, "bedrock", '{"access_key_id": "AKIA", "secret_access_key": "wJalr"}')


async def test_the_number_of_keys_has_a_bound(desk: Desk) -> None:
    for number in range(MOST_KEYS):
        await desk.service.add(OPERATOR, "acme", SECRET, name=f"k{number}")
    with pytest.raises(Conflict, match="32 keys"):
        await desk.service.add(OPERATOR, "acme", SECRET, name="one-more")


async def test_only_configured_providers_have_keys(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.service.add(OPERATOR, "nobody", SECRET)
    with pytest.raises(NotFound):
        await desk.service.keys(OPERATOR, provider="nobody")


@pytest.mark.case("Z2")
async def test_who_may_do_what(desk: Desk, tenants: tuple[str, str]) -> None:
    one, two = tenants
    owner, admin, member = (person(one, role) for role in (Role.OWNER, Role.ADMIN, Role.MEMBER))
    for anybody in (ANONYMOUS, owner, admin, member):
        for refused in (
            desk.service.add(anybody, "acme", SECRET),
            desk.service.remove(anybody, "acme", "default"),
            desk.service.keys(anybody),
            desk.service.test(anybody, None, "acme"),  # type: ignore[arg-type]
            desk.service.reseal(anybody),
            desk.service.sealed_otherwise(anybody),
        ):
            with pytest.raises(PermissionDenied):
                await refused
        for refused in (desk.service.add(anybody, "acme", SECRET, tenant_id=two), desk.service.keys(anybody, tenant_id=two)):
            # Other tenants are not even there.
            with pytest.raises(NotFound):
                await refused
    with pytest.raises(PermissionDenied):
        await desk.service.add(member, "acme", SECRET, tenant_id=one)
    await desk.service.add(admin, "acme", SECRET, tenant_id=one)
    assert [view.hint for view in await desk.service.keys(owner, tenant_id=one)] == ["abcd"]
    assert await desk.service.keys(OPERATOR) == []


async def test_a_tenants_keys_are_its_own(sqlite_database: Database, desk: Desk, tenants: tuple[str, str]) -> None:
    one, two = tenants
    await desk.service.add(OPERATOR, "acme", SECRET, tenant_id=one)
    await desk.service.add(OPERATOR, "acme", "sk-of-the-second-012345", tenant_id=two)
    await desk.service.add(OPERATOR, "acme", "sk-of-everybody-0123456")
    assert desk.value(tenant_id=one) == [SECRET]
    assert desk.value(tenant_id=two) == ["sk-of-the-second-012345"]
    assert desk.value() == ["sk-of-everybody-0123456"]
    await desk.service.remove(OPERATOR, "acme", "default", tenant_id=one)
    assert (desk.value(tenant_id=one), len(desk.value(tenant_id=two)), len(desk.value())) == ([], 1, 1)
    assert [(action, tenant) for action, _, tenant in await audited(sqlite_database)] == [
        ("provider_key.add", one),
        ("provider_key.add", two),
        ("provider_key.add", None),
        ("provider_key.remove", one),
    ]


@pytest.mark.case("S3")
async def test_a_sealed_key_opens_in_its_own_row_alone(sqlite_database: Database, desk: Desk, tenants: tuple[str, str]) -> None:
    one, two = tenants
    await desk.service.add(OPERATOR, "acme", SECRET, tenant_id=one)
    await desk.service.add(OPERATOR, "acme", "sk-of-the-second-012345", tenant_id=two)
    async with sqlite_database.write() as unit:
        rows = {row.tenant_id: row for row in (await unit.session.scalars(sa.select(ProviderKey))).all()}
        rows[one].sealed, rows[two].sealed = rows[two].sealed, rows[one].sealed
    with structlog.testing.capture_logs() as logs:
        await desk.book.load()
        await desk.book.load()
    assert [entry["event"] for entry in logs] == ["provider_key.does_not_open"] * 2, "each is told once"
    assert (desk.value(tenant_id=one), desk.value(tenant_id=two)) == ([None], [None])
    assert "does not open" in (await desk.service.keys(OPERATOR, tenant_id=one))[0].why
    async with sqlite_database.write() as unit:
        await unit.session.execute(sa.update(ProviderKey).where(sa.column("tenant_id") == one).values(tenant_id=two))
    await desk.book.load()
    assert desk.value(tenant_id=one) == []
    assert set(desk.value(tenant_id=two)) == {None}


@pytest.mark.case("S3")
@pytest.mark.parametrize("moved", ["tenant", "provider", "id"])
async def test_a_key_that_is_in_use_does_not_go_along_with_a_row_that_is_moved(
    sqlite_database: Database, at: Open, tenants: tuple[str, str], moved: str
) -> None:
    """Whoever can write to the database sends it to another provider, or lets another tenant ask with it."""
    one, two = tenants
    desk = at(providers={"acme": ACME, "evil": {"base_url": "https://evil.example/v1"}})
    await desk.service.add(OPERATOR, "acme", SECRET, tenant_id=one)
    assert desk.value(tenant_id=one) == [SECRET]
    there: dict[str, dict[str, str]] = {
        "tenant": {"tenant_id": two},
        "provider": {"provider": "evil", "origin": "https://evil.example:443"},
        "id": {"id": "pky_another"},
    }
    async with sqlite_database.write() as unit:
        await unit.session.execute(sa.update(ProviderKey).values(**there[moved]))
    await desk.book.load()
    found = [desk.value(provider, tenant) for provider in ("acme", "evil") for tenant in tenants]
    assert sorted(found) == [[], [], [], [None]]


async def test_a_key_that_was_taken_away_is_not_kept_in_memory(desk: Desk) -> None:
    await desk.service.add(OPERATOR, "acme", SECRET)
    assert list(desk.book._opened.values()) == [SECRET]
    await desk.service.remove(OPERATOR, "acme", "default")
    assert desk.book._opened == {}


@pytest.mark.case("Z6")
@pytest.mark.parametrize(
    "moved",
    [
        "https://evil.example/v1",
        "http://api.acme.example/v1",
        "https://api.acme.example:8443/v1",
        "https://api.acme.example.evil.example/v1",
    ],
)
async def test_a_key_is_not_there_where_its_provider_has_moved_to(at: Open, moved: str) -> None:
    await at().service.add(OPERATOR, "acme", SECRET)
    later = at(providers={"acme": {"base_url": moved}})
    await later.book.load()
    assert later.value() == [None]
    (view,) = await later.service.keys(OPERATOR)
    assert (view.state, "add it anew" in view.why) == ("missing", True)
    again = at(providers={"acme": {"base_url": "https://api.acme.example/v2"}})
    await again.book.load()
    assert again.value() == [SECRET]


@pytest.mark.case("S3")
async def test_the_master_key_is_changed_while_everything_goes_on(
    on_both: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "BATCH", 4)
    before = on_both()
    for number in range(10):
        await before.service.add(OPERATOR, "acme", f"{SECRET}{number}", name=f"k{number}")
    during = on_both(secret_key=SECOND, secret_key_previous=FIRST)
    await during.book.load()
    during.book.check_master()
    wanted = during.value()
    assert sorted(map(str, wanted)) == [f"{SECRET}{number}" for number in range(10)]
    assert await during.service.sealed_otherwise(OPERATOR) == 10
    told: list[int] = []

    def progress(done: int) -> None:
        told.append(done)
        during.book.read()
        assert during.value() == wanted

    assert await during.service.reseal(OPERATOR, progress) == (10, 0)
    assert told == [4, 8, 10]
    assert await during.service.reseal(OPERATOR) == (0, 0)
    after = on_both(secret_key=SECOND)
    await after.book.load()
    after.book.check_master()
    assert after.value() == wanted
    assert [action for action, _, _ in await audited(database)].count("provider_key.reseal") == 3
    late = on_both()
    await late.book.load()
    with pytest.raises(MasterKeyWrong, match=MasterKey(SECOND).name):
        late.book.check_master()
    assert late.value() == [None] * 10


async def test_what_was_sealed_anew_before_it_was_broken_off_is_in_the_audit_and_opens(
    on_both: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "BATCH", 2)
    before = on_both()
    for number in range(5):
        await before.service.add(OPERATOR, "acme", f"{SECRET}{number}", name=f"k{number}")
    during = on_both(secret_key=SECOND, secret_key_previous=FIRST)

    def broken_off(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await during.service.reseal(OPERATOR, broken_off)
    assert [action for action, _, _ in await audited(database)].count("provider_key.reseal") == 1
    assert await during.service.sealed_otherwise(OPERATOR) == 3
    await during.book.load()
    assert sorted(map(str, during.value())) == [f"{SECRET}{number}" for number in range(5)]
    # A process that has not the new master key yet would start with some of them and without others.
    await before.book.load()
    with pytest.raises(MasterKeyWrong):
        before.book.check_master()
    assert await during.service.reseal(OPERATOR) == (3, 0)


async def test_what_does_not_open_is_counted_and_left_as_it_is(at: Open) -> None:
    await at(secret_key="a-third-master-key-of-at-least-32-signs").service.add(OPERATOR, "acme", SECRET)
    await at().service.add(OPERATOR, "acme", SECRET, name="second")
    assert await at(secret_key=SECOND, secret_key_previous=FIRST).service.reseal(OPERATOR) == (1, 1)


@pytest.mark.case("S3")
@pytest.mark.soak
async def test_ten_thousand_keys_are_sealed_anew(
    on_both: Open, database: Database, clock: FixedClock, figures: Callable[..., None]
) -> None:
    import time

    count, master, origin = 10_000, MasterKey(FIRST), destination(ProviderSettings.model_validate(ACME))
    async with database.write() as unit:
        for number in range(count):
            row = Row(f"pky_{number:05}", None, "acme", origin)
            key = ProviderKey(
                id=row.id, provider="acme", name=f"k{number}", origin=origin, sealed=master.seal(f"{SECRET}{number}", row),
                master=master.name, hint="", created_at=clock.now(), created_by="test",
            )  # fmt: skip
            unit.session.add(key)
    desk = on_both(secret_key=SECOND, secret_key_previous=FIRST)
    started = time.monotonic()
    assert await desk.service.reseal(OPERATOR) == (count, 0)
    figures(sealed=count, seconds=round(time.monotonic() - started, 1))
    after = on_both(secret_key=SECOND)
    await after.book.load()
    assert after.value() == [f"{SECRET}{number}" for number in range(count)]
