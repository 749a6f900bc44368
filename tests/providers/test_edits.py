"""Providers that operators edit: what may be said of one, what is told of it, and where nothing of it may go."""

import json
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, get_args

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from backend.audit.service import AuditService
from backend.credentials.book import KeyBook
from backend.credentials.master import MasterKeys
from backend.credentials.service import CredentialService
from backend.identity.principal import Principal, Role, system
from backend.kernel.addresses import AddressPolicy
from backend.kernel.db import Database
from backend.kernel.edits import storable
from backend.kernel.errors import BadRequest, BourseError, Conflict, NotFound, PermissionDenied
from backend.providers.book import ProviderBook
from backend.providers.destination import destination
from backend.providers.edits import ProviderEdits
from backend.providers.http import UpstreamHttp
from backend.providers.merge import edited, told
from backend.providers.metadata import PLAIN
from backend.providers.registry import configured, flaw
from backend.providers.service import ProviderService
from backend.settings import ProtocolName, ProviderSettings, Settings
from tests.conftest import FixedClock
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import OpenAIUpstream

OPERATOR = system("test")
MASTER = "master-key-of-at-least-32-signs-0000"
KEY = "sk-canary-0123456789-abcd"
HERE = {"base_url": "https://8.8.8.8/v1"}
FILE: dict[str, Any] = {
    "acme": {"base_url": "https://api.acme.example/v1", "api_key": "env:ACME_KEY", "headers": {"x-secret": "of-the-file"}},
    "bridge": {"protocol": "litellm", "metadata": {"allow_litellm": True, "params": {"api_key": "of-the-file"}}},
}


class NothingSold:
    def sold_by(self, provider_id: str) -> list[Any]:
        return []


class Desk:
    """One process's hand on providers and their keys."""

    def __init__(self, database: Database, clock: FixedClock, folder: Path, **given: Any) -> None:
        values = {"data_dir": str(folder), "providers": FILE, "secret_key": MASTER, "secrets_file": str(folder / "secrets.yaml")}
        self.settings = Settings.model_validate(values | given)
        self.book = ProviderBook(self.settings, database)
        masters, audit = MasterKeys(self.settings), AuditService(clock)
        self.clock, self.audit = clock, audit
        self.keys = KeyBook(self.settings, database, masters, providers=self.book)
        self.credentials = CredentialService(database, clock, audit, self.book, masters, self.keys)
        self.edits = ProviderEdits(database, clock, audit, self.settings, AddressPolicy(), self.credentials, reload=self.load)
        self.service = ProviderService(self.book, NothingSold(), self.keys)

    async def load(self) -> None:
        await self.book.load()
        await self.keys.load()

    def value(self, provider: str) -> list[str | None]:
        return [key.value for key in self.keys.shared[provider]]


Open = Callable[..., Desk]


@pytest.fixture
def at(sqlite_database: Database, clock: FixedClock, tmp_path: Path) -> Open:
    return lambda **given: Desk(sqlite_database, clock, tmp_path, **given)


@pytest.fixture
def desk(database: Database, clock: FixedClock, tmp_path: Path) -> Desk:
    """Once on each database."""
    return Desk(database, clock, tmp_path)


async def audit_of(database: Database) -> list[tuple[str, str, str]]:
    async with database.read() as session:
        rows = await session.execute(sa.text("SELECT action, target, facts FROM audit_entry ORDER BY id"))
        return [(action, target, str(facts)) for action, target, facts in rows]


async def test_one_is_added_changed_reset_and_removed_with_a_line_each_and_its_key_sealed(desk: Desk, database: Database) -> None:
    fields = {**HERE, "headers": {"x-team": "of-the-team"}, "max_parallel": 5}
    await desk.edits.add(OPERATOR, "late", fields, key=f" {KEY}\n")
    assert desk.value("late") == [KEY]
    assert desk.book.open["late"].max_parallel == 5
    await desk.edits.change(OPERATOR, "late", {"max_parallel": 9, "headers": {"x-other": "b"}})
    assert (desk.book.all["late"].max_parallel, desk.book.all["late"].headers) == (9, {"x-team": "of-the-team", "x-other": "b"})
    await desk.edits.reset(OPERATOR, "late", ("max_parallel", "headers.x-team"))
    assert (desk.book.all["late"].max_parallel, desk.book.all["late"].headers) == (1000, {"x-other": "b"})
    assert await desk.edits.remove(OPERATOR, "late") == 1
    assert "late" not in desk.book.all
    async with database.read() as session:
        assert (await session.execute(sa.text("SELECT count(*) FROM provider_key"))).scalar_one() == 0
    lines = await audit_of(database)
    assert [(action, target) for action, target, _ in lines] == [
        ("provider.add", "late"), ("provider_key.add", "late/default"), ("provider.change", "late"), ("provider.reset", "late"),
        ("provider.remove", "late"),
    ]  # fmt: skip
    assert not any(secret in facts for _, _, facts in lines for secret in (KEY, "of-the-team"))
    assert "https://8.8.8.8/v1" in lines[0][2]


async def test_a_key_that_is_none_leaves_no_provider(desk: Desk, database: Database) -> None:
    with pytest.raises(BadRequest, match="one line of printable signs"):
        await desk.edits.add(OPERATOR, "late", HERE, key="two\nlines")
    assert "late" not in desk.book.all
    assert await audit_of(database) == []


REFUSED: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("Late", HERE, "lower-case letters", "name"),
    ("acme", HERE, "already a provider 'acme'", "name"),
    ("late", {}, "base_url is needed", ""),
    ("late", {"base_url": "ftp://8.8.8.8"}, "https://host/path", ""),
    ("late", {"base_url": "http://10.0.0.1/v1"}, "network.allow_private", None),
    ("late", {"base_url": "http://169.254.169.254/v1"}, "private network", None),
    ("late", {"base_url": "http://[::1]/v1"}, "private network", None),
    ("late", {"base_url": "https://ann:secret@8.8.8.8/v1"}, "holds a name or a password", "base_url"),
    ("late", {"base_url": "https://8.8.8.8/v 1"}, "what HTTP cannot carry", None),
    ("late", {**HERE, "protocol": "telegraph"}, "Input should be 'openai'", "protocol"),
    ("late", {**HERE, "max_paralel": 3}, "max_paralel: there is no such field", "max_paralel"),
    ("late", {**HERE, "api_key": "env:HOME"}, "provider add-key late", "api_key"),
    ("late", {**HERE, "api_keys": {"a": "file:/etc/passwd"}}, "provider add-key late", "api_keys"),
    *[
        ("late", {**HERE, "headers": {header: "Bearer x"}}, "provider add-key late", "headers")
        for header in ("Authorization", "x-auth-token", "Ocp-Apim-Subscription-Key", "CF-Access-Client-Secret", "helicone-auth", "Cookie")
    ],
    ("late", {**HERE, "headers": {"x-a": "1\r\n2"}}, "what HTTP cannot carry", None),
    ("late", {**HERE, "metadata": {"region": "x"}}, "that protocol has none", "metadata.region"),
    ("late", {"protocol": "litellm", "metadata": {"allow_litellm": True}}, "in the configuration file alone", "protocol"),
    ("bridge", {}, "already a provider", "name"),
    ("late", {"protocol": "bedrock", "base_url": "https://8.8.8.8"}, "another address than AWS's own", "base_url"),
    (
        "late", {"protocol": "bedrock", "metadata": {"aws_secret_access_key": "file:/etc/passwd"}},
        "an account", "metadata.aws_secret_access_key",
    ),
    ("late", {"protocol": "bedrock", "metadata": {"aws_profile": "work"}}, "an account", "metadata.aws_profile"),
    ("late", {"protocol": "bedrock", "metadata": {"region": "evil.example/"}}, "must be a name", None),
    ("late", {"protocol": "huggingface", "metadata": {"embeddings_url": "https://{model}/"}}, "in its path alone", None),
    ("late", {"protocol": "vertex", "metadata": {"gs_allowed": ["gs://private/"]}}, "an account", "metadata.gs_allowed"),
    (
        "late", {**HERE, "protocol": "azure", "metadata": {"federated_token_file": "/etc/passwd", "client_id": "a", "tenant_id": "b"}},
        "a file or an identity of the machine", "metadata.federated_token_file",
    ),
    ("late", {**HERE, "protocol": "azure", "metadata": {"managed_identity": True}}, "identity of the machine", "metadata.managed_identity"),
    (
        "late", {**HERE, "protocol": "azure", "metadata": {"authority": "http://10.0.0.1", "client_id": "a", "tenant_id": "b"}},
        "private network", None,
    ),
    ("late", {"protocol": "huggingface", "metadata": {"embeddings_url": "http://127.0.0.1/x"}}, "private network", None),
    (
        "late", {"protocol": "huggingface", "metadata": {"embeddings_url": "https://ann:secret@8.8.8.8/x"}},
        "holds a name or a password", "metadata.embeddings_url",
    ),
    (
        "late", {"protocol": "huggingface", "metadata": {"embeddings_url": "file:///etc/passwd"}},
        "https://host/path", "metadata.embeddings_url",
    ),
    ("sandbox", HERE, "the simulated provider", "name"),
    ("late", {"protocol": "sandbox", **HERE}, "no base_url", "base_url"),
    ("late", {**HERE, "models": ["x" * 70_000]}, "64 KiB", None),
    ("late", {**HERE, "default_model": "a\u0000b"}, "control character", None),
]  # fmt: skip


@pytest.mark.case("W4")
@pytest.mark.parametrize(("name", "fields", "says", "param"), REFUSED)
async def test_what_may_not_be_is_refused_and_says_which_field(
    at: Open, sqlite_database: Database, name: str, fields: dict[str, Any], says: str, param: str | None
) -> None:
    desk = at()
    before = dict(desk.book.all)
    with pytest.raises(BourseError) as refused:
        await desk.edits.add(OPERATOR, name, fields)
    assert says in refused.value.message
    assert param is None or (refused.value.param or "") == param
    await desk.load()
    assert desk.book.all == before
    assert await audit_of(sqlite_database) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"base_url": "https://8.8.8.8/v1"}, "its key goes there alone"),
        ({"protocol": "anthropic"}, "its key goes there alone"),
        ({"api_key": "env:HOME"}, "stored encrypted"),
        ({"metadata": {"authority": "https://8.8.8.8"}}, "its key goes there alone"),
    ],
)
@pytest.mark.case("Z6")
async def test_nothing_in_the_database_says_where_a_key_of_the_file_goes(at: Open, fields: dict[str, Any], says: str) -> None:
    desk = at()
    with pytest.raises(BadRequest, match=says):
        await desk.edits.change(OPERATOR, "acme", fields)


@pytest.mark.case("Z6")
async def test_a_key_that_is_tried_while_its_provider_moves_is_not_sent_to_where_it_moves(at: Open) -> None:
    """Providers are read anew before their keys are."""
    inside = AddressPolicy((IPv4Network("127.0.0.1/32"),))
    async with OpenAIUpstream() as here, OpenAIUpstream() as there, client() as http:
        desk = at()
        desk.edits = ProviderEdits(
            desk.credentials._db, desk.clock, desk.audit, desk.settings, inside, desk.credentials, reload=desk.book.load
        )
        await desk.edits.add(OPERATOR, "late", {"base_url": here.base_url}, key=KEY)
        await desk.load()
        await desk.edits.change(OPERATOR, "late", {"base_url": there.base_url})
        assert desk.book.all["late"].base_url == there.base_url
        await desk.credentials.test(OPERATOR, http, "late")
        assert [seen.headers["authorization"] for seen in here.looks] == [f"Bearer {KEY}"]
        await desk.load()
        (trial,) = await desk.credentials.test(OPERATOR, http, "late")
        assert not trial.reached
        assert there.looks == []


async def test_of_a_provider_of_the_file_the_rest_is_edited_and_goes_back(at: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", KEY)
    desk = at()
    await desk.edits.change(OPERATOR, "acme", {"max_parallel": 3, "enabled": False})
    view = desk.service.get(OPERATOR, "acme")
    assert (view.origin, view.edited, view.usable) == ("both", ("enabled", "max_parallel"), False)
    assert "switched off" in view.why
    assert desk.value("acme") == [KEY]
    assert "of-the-file" not in str(view)
    assert "acme" not in desk.book.open
    with pytest.raises(Conflict, match="enabled=false"):
        await desk.edits.remove(OPERATOR, "acme")
    await desk.edits.reset(OPERATOR, "acme", ("enabled",))
    assert desk.book.open["acme"].max_parallel == 3
    await desk.edits.reset(OPERATOR, "acme")
    assert desk.book.open["acme"] == desk.settings.providers["acme"]
    assert desk.service.get(OPERATOR, "acme").origin == "configuration"


async def test_what_is_wrong_in_the_file_does_not_keep_it_from_being_switched_off(at: Open) -> None:
    desk = at(providers={"acme": {**FILE["acme"], "headers": {"x-a": "1\r\n2"}}})
    await desk.edits.change(OPERATOR, "acme", {"enabled": False})
    assert "acme" not in desk.book.open
    await desk.edits.reset(OPERATOR, "acme")
    other = at()
    with pytest.raises(BadRequest, match="No call could be made so"):
        await other.edits.change(OPERATOR, "acme", {"headers": {"x-b": "1\r\n2"}})


async def test_litellm_of_the_file_may_be_switched_off_and_nothing_more(at: Open) -> None:
    desk = at()
    await desk.edits.change(OPERATOR, "bridge", {"enabled": False})
    with pytest.raises(BadRequest, match="in the configuration file alone"):
        await desk.edits.change(OPERATOR, "bridge", {"metadata": {"params": {"api_base": "https://8.8.8.8"}}})
    assert "of-the-file" not in str(desk.service.get(OPERATOR, "bridge"))


async def test_one_of_the_database_gets_no_key_of_a_file_for_an_address_of_its_own(at: Open, tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").write_text("late: {api_key: sk-of-the-file-1}\nanthropic: {api_key: sk-of-the-file-2}\n")
    shared = {"azure": {"managed_identity": True, "api_version": "2024-10-21"}}
    desk = at(provider_metadata=shared)
    await desk.edits.add(OPERATOR, "late", HERE)
    assert desk.value("late") == []
    await desk.edits.add(OPERATOR, "claude", {"protocol": "anthropic"})
    assert desk.value("claude") == ["sk-of-the-file-2"]
    await desk.edits.change(OPERATOR, "claude", HERE)
    assert desk.value("claude") == []
    await desk.edits.add(OPERATOR, "blue", {**HERE, "protocol": "azure"})
    assert desk.book.all["blue"].metadata == {"api_version": "2024-10-21"}


async def test_a_reset_needs_something_to_go_back_to_and_two_at_once_do_not_overwrite_each_other(at: Open) -> None:
    desk, other = at(), at()
    await desk.edits.add(OPERATOR, "late", HERE)
    with pytest.raises(Conflict, match="change its fields, or remove it"):
        await desk.edits.reset(OPERATOR, "late")
    with pytest.raises(BadRequest, match="was not edited"):
        await desk.edits.reset(OPERATOR, "late", ("cap_field",))
    with pytest.raises(BadRequest, match="base_url is needed"):
        await desk.edits.reset(OPERATOR, "late", ("base_url",))
    with pytest.raises(BadRequest, match="Say which fields"):
        await desk.edits.change(OPERATOR, "late", {})
    for gone in (desk.edits.change(OPERATOR, "nobody", {"enabled": True}), desk.edits.remove(OPERATOR, "nobody")):
        with pytest.raises(NotFound, match="provider add nobody"):
            await gone
    with pytest.raises(Conflict, match="already"):
        await other.edits.add(OPERATOR, "late", HERE)


@pytest.mark.case("Z2")
async def test_only_a_super_admin_may(at: Open) -> None:
    desk = at()
    admin = Principal(kind="user", id="usr_1", tenant_id="ten_1", role=Role.OWNER)
    for attempt in (
        desk.edits.add(admin, "late", HERE),
        desk.edits.change(admin, "acme", {"enabled": False}),
        desk.edits.reset(admin, "acme"),
        desk.edits.remove(admin, "acme"),
    ):
        with pytest.raises(PermissionDenied):
            await attempt


AWS = '{"access_key_id": "A", "secret_access_key": "S"}'
PROTOCOLS: list[tuple[ProtocolName, dict[str, Any], str | None]] = [
    ("openai", HERE, KEY),
    ("openai", HERE, None),
    ("azure", {"base_url": "https://8.8.8.8", "metadata": {"api_version": "2024-10-21"}}, KEY),
    ("azure", {"base_url": "https://8.8.8.8", "metadata": {"client_id": "app", "tenant_id": "t"}}, KEY),
    ("anthropic", {"metadata": {"anthropic_beta": "context-1m-2025-08-07"}}, KEY),
    ("gemini", {}, KEY),
    ("vertex", {"metadata": {"project": "p", "location": "europe-west4"}}, None),
    ("bedrock", {"metadata": {"region": "eu-central-1", "bedrock_default_max_tokens": 512}}, AWS),
    ("openrouter", {}, KEY),
    ("huggingface", {"metadata": {"normalize": True}}, KEY),
    ("sandbox", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "fields", "key"), PROTOCOLS)
async def test_one_of_every_protocol_is_added(at: Open, protocol: ProtocolName, fields: dict[str, Any], key: str | None) -> None:
    desk = at()
    await desk.edits.add(OPERATOR, "late", {"protocol": protocol, **fields}, key=key)
    assert desk.book.open["late"] == ProviderSettings.model_validate({"protocol": protocol, **fields})
    view = desk.service.get(OPERATOR, "late")
    assert view.usable is (key is not None or protocol in ("openai", "sandbox"))
    assert view.settings["metadata"] == fields.get("metadata", {})


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["http://[", "https://8.8.8.8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {"protocol": st.sampled_from(get_args(ProtocolName))},
    optional={field: ANYTHING for field in ProviderSettings.model_fields if field not in ("protocol", "metadata")}
    | {"metadata": st.dictionaries(st.sampled_from(sorted(frozenset().union(*PLAIN.values()))), ANYTHING, max_size=3)},
)


@hypothesis.settings(max_examples=40)
@given(fields=FIELDS)
def test_whatever_is_said_of_one_is_a_provider_or_a_refusal(fields: dict[str, Any]) -> None:
    judged(fields)


@pytest.mark.soak
@pytest.mark.timeout(900)
@hypothesis.settings(max_examples=10_000)
@given(fields=FIELDS)
def test_whatever_is_said_of_ten_thousand_is_a_provider_or_a_refusal(fields: dict[str, Any]) -> None:
    judged(fields)


def judged(fields: dict[str, Any]) -> None:
    settings = Settings.model_validate({"providers": FILE})
    try:
        storable(fields, "A provider")
        provider = configured(settings, {"late": edited("late", None, fields)})["late"]
    except BadRequest:
        return
    assert isinstance(flaw("late", provider, UpstreamHttp(AddressPolicy())), str)
    assert destination(provider)
    json.dumps(told(provider, fields))
    # What another process reads of it is the same.
    assert edited("late", None, json.loads(json.dumps(fields))) == edited("late", None, fields)
