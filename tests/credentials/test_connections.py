"""A change of keys reaches every process by itself, and touches nothing but what changed."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.audit.service import AuditService
from backend.configuration import load_settings
from backend.credentials.book import KeyBook
from backend.credentials.connections import Connections
from backend.credentials.master import MasterKeys, MasterKeyWrong
from backend.credentials.service import CredentialService
from backend.identity.principal import system
from backend.kernel.addresses import AddressPolicy
from backend.kernel.changes import ChangeFeed
from backend.kernel.clock import FixedClock
from backend.kernel.db import Database
from backend.kernel.events import EventBus
from backend.providers.book import ProviderBook
from backend.providers.http import UpstreamHttp
from backend.providers.keyed import KeyedProvider
from backend.runtime import open_runtime
from backend.settings import Settings

OPERATOR = system("test")
MASTER = "a-master-key-of-at-least-thirty-two-signs"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "providers": {name: {"base_url": f"https://{name}.example/v1"} for name in ("acme", "other")},
            "secret_key": MASTER,
            "secrets_file": str(tmp_path / "none.yaml"),
        }
    )


@pytest.fixture
def service(database: Database, clock: FixedClock, settings: Settings) -> CredentialService:
    masters, providers = MasterKeys(settings), ProviderBook(settings)
    return CredentialService(database, clock, AuditService(clock), providers, masters, KeyBook(settings, database, masters))


@pytest.fixture
async def elsewhere(database: Database, clock: FixedClock, settings: Settings) -> AsyncIterator[Connections]:
    """Another process, which has connections to the database and events of its own."""
    theirs = Database.open(database.url, EventBus())
    feed = ChangeFeed(theirs, clock, poll_seconds=0.1)
    connections = Connections(settings, KeyBook(settings, theirs, MasterKeys(settings)), EventBus())
    connections.start(UpstreamHttp(AddressPolicy()))
    await connections.load()
    feed.subscribe(connections.load)
    await feed.start()
    yield connections
    await feed.stop()
    await theirs.close()


async def until(connections: Connections, *names: str) -> None:
    """The keys of acme in the other process are these."""
    async with asyncio.timeout(10):
        while sorted(key.name for key in connections.book.shared["acme"]) != sorted(names):
            await asyncio.sleep(0.01)


async def test_keys_that_are_stored_and_removed_count_in_every_process(service: CredentialService, elsewhere: Connections) -> None:
    other, plain = elsewhere.shared["other"], elsewhere.shared["acme"]
    await service.add(OPERATOR, "acme", "sk-first-0123456789", name="first")
    await until(elsewhere, "first")
    first = elsewhere.shared["acme"]
    assert first is not plain
    assert not isinstance(first, KeyedProvider)
    await service.add(OPERATOR, "acme", "sk-second-0123456789", name="second")
    await until(elsewhere, "first", "second")
    both = elsewhere.shared["acme"]
    assert isinstance(both, KeyedProvider)
    assert sorted(key.name for key in both.keys) == ["first", "second"]
    await service.remove(OPERATOR, "acme", "first")
    await until(elsewhere, "second")
    assert not isinstance(elsewhere.shared["acme"], KeyedProvider)
    # Nothing was done to whom it does not concern.
    assert elsewhere.shared["other"] is other


async def test_what_did_not_change_keeps_what_was_learnt_of_it(service: CredentialService, elsewhere: Connections) -> None:
    await service.add(OPERATOR, "acme", "sk-first-0123456789", name="first")
    await service.add(OPERATOR, "acme", "sk-second-0123456789", name="second")
    await until(elsewhere, "first", "second")
    provider = elsewhere.shared["acme"]
    assert isinstance(provider, KeyedProvider)
    provider.keys[0].refused = True
    assert elsewhere.standing(None, "acme", provider.keys[0].name) == "refused"
    await service.add(OPERATOR, "other", "sk-other-0123456789")
    await elsewhere.load()
    assert elsewhere.shared["acme"] is provider


async def test_a_key_that_stays_keeps_what_was_learnt_of_it_when_another_comes(service: CredentialService, elsewhere: Connections) -> None:
    for name in ("first", "second"):
        await service.add(OPERATOR, "acme", f"sk-{name}-0123456789", name=name)
    await until(elsewhere, "first", "second")
    before = elsewhere.shared["acme"]
    assert isinstance(before, KeyedProvider)
    before.keys[0].refused = True
    await service.add(OPERATOR, "acme", "sk-third-0123456789", name="third")
    await service.add(OPERATOR, "acme", "sk-other-0123456789", name=before.keys[1].name, replace=True)
    await elsewhere.load()
    after = elsewhere.shared["acme"]
    assert isinstance(after, KeyedProvider)
    assert before.keys[0] in after.keys
    assert before.keys[1] not in after.keys
    assert len(after.keys) == 3


async def test_a_file_that_is_exchanged_counts_by_itself(tmp_path: Path) -> None:
    key, listed = tmp_path / "key", tmp_path / "secrets.yaml"
    key.write_text("sk-mounted-before")
    settings = Settings.model_validate(
        {
            "providers": {
                "acme": {"base_url": "https://acme.example/v1", "api_key": f"file:{key}"},
                "other": {"base_url": "https://other.example/v1"},
            },
            "secrets_file": str(listed),
        }
    )
    connections = Connections(settings, KeyBook(settings), EventBus())
    connections.start(UpstreamHttp(AddressPolicy()))
    other = connections.shared["other"]
    connections.watch_files(0.02)
    # As Kubernetes does it: another file takes the name.
    (tmp_path / "new").write_text("sk-mounted-after-it")
    (tmp_path / "new").rename(key)
    listed.write_text("other: {api_key: sk-listed}")
    async with asyncio.timeout(10):
        while [one.value for name in ("acme", "other") for one in connections.book.shared[name]] != ["sk-mounted-after-it", "sk-listed"]:
            await asyncio.sleep(0.01)
    assert connections.shared["other"] is not other
    await connections.stop()


async def test_a_file_that_holds_no_text_takes_the_key_from_its_provider_alone_until_it_does(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"\xff\xfe sk")
    servers = {name: {"base_url": f"https://{name}.example/v1"} for name in ("acme", "other")}
    servers["acme"]["api_key"] = f"file:{key}"
    settings = Settings.model_validate({"providers": servers, "secrets_file": str(tmp_path / "secrets.yaml")})
    connections = Connections(settings, KeyBook(settings), EventBus())
    connections.start(UpstreamHttp(AddressPolicy()))
    assert "acme" in connections.missing
    assert "other" in connections.shared
    assert "no text" in connections.book.shared["acme"][0].why
    connections.watch_files(0.02)
    key.write_text("sk-mounted-after-it")
    async with asyncio.timeout(10):
        while "acme" not in connections.shared:
            await asyncio.sleep(0.01)
    await connections.stop()


@pytest.mark.case("S3")
async def test_a_process_with_another_master_key_does_not_start(served_catalog: Path, tmp_path: Path) -> None:

    shutil.copy(served_catalog, tmp_path / "bourse.db")
    (tmp_path / "bourse.yaml").write_text("providers: {acme: {base_url: 'https://acme.example/v1'}}\n")
    environment = {"BOURSE_CONFIG": str(tmp_path / "bourse.yaml"), "BOURSE_DATA_DIR": str(tmp_path), "BOURSE_SECRET_KEY": MASTER}
    async with open_runtime(load_settings(environment)) as runtime:
        await runtime.credentials.add(OPERATOR, "acme", "sk-first-0123456789")
    with pytest.raises(MasterKeyWrong, match="BOURSE_SECRET_KEY"):
        async with open_runtime(load_settings({**environment, "BOURSE_SECRET_KEY": MASTER[::-1]})):
            raise AssertionError("it started")
    async with open_runtime(
        load_settings({**environment, "BOURSE_SECRET_KEY": MASTER[::-1], "BOURSE_SECRET_KEY_PREVIOUS": MASTER})
    ) as runtime:
        assert runtime.readiness.missing is None
        assert [key.value for key in runtime.key_book.shared["acme"]] == ["sk-first-0123456789"]
