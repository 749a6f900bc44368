"""Secrets in a vault, on its wire: read, kept, read again, and kept on while it is away."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backend.credentials.book import KeyBook
from backend.credentials.vault import AGAIN_SECONDS, AT_ONCE, LATEST_SECONDS, Vault
from backend.kernel.secrets import SecretUnavailable
from backend.settings import NetworkSettings, Settings, VaultSettings
from tests.fakes.vault_server import JWT, ROLE_ID, ROOT, SECRET_ID, VaultServer

KEY = "sk-from-the-vault-0123456789"


@pytest.fixture
async def server() -> AsyncIterator[VaultServer]:
    async with VaultServer(secrets={"openai": {"api_key": KEY, "spare": "sk-spare"}}) as running:
        yield running


class Client:
    """A vault with a clock that the test moves."""

    def __init__(self, server: VaultServer, **settings: Any) -> None:
        self.now = 1000.0
        given = {"token": ROOT} | settings if settings.get("auth", "token") == "token" else settings
        self.settings = VaultSettings.model_validate({"address": server.address, "timeout": "1500ms", **given})
        self.vault = Vault(self.settings, NetworkSettings(), now=lambda: self.now)


@pytest.fixture
async def client(server: VaultServer) -> AsyncIterator[Client]:
    made = Client(server)
    yield made
    await made.vault.stop()


async def test_a_field_is_read_with_the_token_and_kept(server: VaultServer, client: Client) -> None:
    with pytest.raises(SecretUnavailable, match="nobody has looked yet"):
        client.vault.value("secret/openai", "api_key")
    await client.vault.fetch(["secret/openai"])
    asked = len(server.seen)
    await client.vault.fetch(["secret/openai"])
    assert len(server.seen) == asked
    assert client.vault.value("secret/openai", "api_key") == KEY
    assert client.vault.value("secret/openai", "spare") == "sk-spare"
    with pytest.raises(SecretUnavailable, match="no field 'other'"):
        client.vault.value("secret/openai", "other")
    read = server.seen[-1]
    assert (read.method, read.path, read.headers["x-vault-token"]) == ("GET", "/v1/secret/data/openai", ROOT)
    assert read.headers["x-vault-request"] == "true"


async def test_version_1_is_read_again_before_its_lease_ends(server: VaultServer) -> None:
    server.version, server.lease = 1, 90
    client = Client(server, kv_version=1, namespace="team")
    await client.vault.fetch(["secret/openai"])
    assert client.vault.value("secret/openai", "api_key") == KEY
    assert server.seen[-1].headers["x-vault-namespace"] == "team"
    client.now += 59
    assert await client.vault.refresh() is False
    asked = len(server.seen)
    client.now += 2
    server.secrets["openai"] = {"api_key": "sk-new"}
    assert await client.vault.refresh() is True
    assert len(server.seen) > asked
    assert client.vault.value("secret/openai", "api_key") == "sk-new"
    await client.vault.stop()


@pytest.mark.parametrize("mood", ["sealed", "silent", "broken"])
async def test_while_it_is_away_the_last_good_value_is_kept_and_said_so(server: VaultServer, client: Client, mood: str) -> None:
    await client.vault.fetch(["secret/openai"])
    server.mood = mood
    client.now += 301
    assert await client.vault.refresh() is False
    assert client.vault.away
    assert client.vault.value("secret/openai", "api_key") == KEY
    server.mood = "well"
    server.secrets["openai"]["api_key"] = "sk-new"
    assert await client.vault.refresh() is True
    assert not client.vault.away
    assert client.vault.value("secret/openai", "api_key") == "sk-new"


async def test_an_address_that_may_not_be_asked_is_a_vault_that_is_away() -> None:
    settings = VaultSettings.model_validate({"address": "http://10.255.255.1:8200", "token": ROOT})
    vault = Vault(settings, NetworkSettings())
    await vault.fetch(["secret/openai"])
    assert vault.away
    with pytest.raises(SecretUnavailable, match="private network"):
        vault.value("secret/openai", "api_key")
    await vault.stop()


async def test_what_somebody_deleted_is_not_kept(server: VaultServer, client: Client) -> None:
    await client.vault.fetch(["secret/openai"])
    del server.secrets["openai"]
    client.now += 301
    assert await client.vault.refresh() is True
    with pytest.raises(SecretUnavailable, match="no such secret"):
        client.vault.value("secret/openai", "api_key")


async def test_it_is_looked_for_again_soon_and_then_less_often(server: VaultServer, client: Client) -> None:
    server.mood = "sealed"
    await client.vault.fetch(["secret/openai"])
    pauses = [client.vault._pause()]
    for _ in range(5):
        await client.vault.refresh()
        pauses.append(client.vault._pause())
    assert pauses == [AGAIN_SECONDS, 10.0, 20.0, 40.0, LATEST_SECONDS, LATEST_SECONDS]
    asked = len(server.seen)
    # What the change feed asks for does not wait for a vault that has just not answered.
    await client.vault.fetch(["secret/openai"])
    assert len(server.seen) == asked


async def test_an_app_role_signs_in_and_signs_in_again(server: VaultServer) -> None:
    client = Client(server, auth="approle", role_id=ROLE_ID, secret_id=SECRET_ID)
    await client.vault.fetch(["secret/openai"])
    assert client.vault.value("secret/openai", "api_key") == KEY
    assert server.granted == 1
    client.now += 301
    await client.vault.refresh()
    assert server.granted == 1
    client.now += server.token_lease
    await client.vault.refresh()
    assert server.granted == 2
    # A token that was revoked early is replaced at once.
    server.tokens.clear()
    client.now += 301
    await client.vault.refresh()
    assert server.granted == 3
    assert not client.vault.away
    await client.vault.stop()


async def test_a_service_account_of_kubernetes_signs_in_with_the_token_of_the_moment(server: VaultServer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    client = Client(server, auth="kubernetes", role="bourse", jwt_file=str(file))
    await client.vault.fetch(["secret/openai"])
    with pytest.raises(SecretUnavailable, match="cannot be read"):
        client.vault.value("secret/openai", "api_key")
    file.write_text(f"{JWT}\n")
    assert await client.vault.refresh() is True
    assert client.vault.value("secret/openai", "api_key") == KEY
    await client.vault.stop()


@pytest.mark.parametrize(
    "settings",
    [
        {"token": "hvs.wrong"},
        {"auth": "approle", "role_id": ROLE_ID, "secret_id": "wrong-secret-id"},
        {"token": "env:NO_SUCH_TOKEN"},
    ],
)
async def test_who_is_not_let_in_hears_why_and_repeats_no_secret(server: VaultServer, settings: dict[str, Any]) -> None:
    client = Client(server, **settings)
    await client.vault.fetch(["secret/openai"])
    with pytest.raises(SecretUnavailable) as caught:
        client.vault.value("secret/openai", "api_key")
    for secret in ("hvs.wrong", "wrong-secret-id", ROLE_ID):
        assert secret not in str(caught.value)
    await client.vault.stop()


async def test_many_secrets_are_read_side_by_side_and_never_all_at_once(server: VaultServer, client: Client) -> None:
    server.secrets = {f"p{number}": {"api_key": f"sk-{number}"} for number in range(40)}
    server.pause = 0.005
    await client.vault.fetch([f"secret/{name}" for name in server.secrets])
    assert [client.vault.value(f"secret/p{number}", "api_key") for number in range(40)] == [f"sk-{number}" for number in range(40)]
    assert 1 < server.most <= AT_ONCE


@pytest.mark.parametrize("mood", ["silent", "sealed"])
async def test_where_nobody_answers_one_question_is_enough_for_all_secrets(server: VaultServer, client: Client, mood: str) -> None:
    await client.vault.fetch(["secret/openai"])
    asked, server.mood = len(server.seen), mood
    await client.vault.fetch([f"secret/p{number}" for number in range(40)])
    assert len(server.seen) == asked + 1
    assert len(client.vault.troubles) == 40
    server.mood = "well"
    await client.vault.refresh()
    assert set(client.vault.troubles.values()) == {"there is no such secret (HTTP 404)"}


async def test_who_is_not_let_in_asks_once_for_all_secrets(server: VaultServer) -> None:
    """A Vault locks out who tries again and again."""
    client = Client(server, auth="approle", role_id=ROLE_ID, secret_id="wrong-secret-id")
    await client.vault.fetch([f"secret/p{number}" for number in range(40)])
    assert [seen.path for seen in server.seen] == ["/v1/auth/approle/login"]
    await client.vault.stop()


async def test_a_secret_that_no_policy_lets_be_read_is_no_reason_for_new_tokens(server: VaultServer) -> None:
    server.forbidden = {f"p{number}" for number in range(5)}
    client = Client(server, auth="approle", role_id=ROLE_ID, secret_id=SECRET_ID)
    await client.vault.fetch(["secret/openai", *(f"secret/{name}" for name in server.forbidden)])
    for _ in range(3):
        await client.vault.refresh()
    assert client.vault.value("secret/openai", "api_key") == KEY
    with pytest.raises(SecretUnavailable, match="may not read it"):
        client.vault.value("secret/p0", "api_key")
    assert server.granted == 1
    await client.vault.stop()


async def test_a_token_that_somebody_exchanges_in_its_file_is_taken_up(server: VaultServer, tmp_path: Path) -> None:
    """Vault's own agent writes it anew, and the one before ends."""
    file = tmp_path / "token"
    file.write_text(ROOT)
    client = Client(server, token=f"file:{file}")
    await client.vault.fetch(["secret/openai"])
    server.tokens = {"hvs.another"}
    file.write_text("hvs.another\n")
    server.secrets["openai"]["api_key"] = "sk-new"
    client.now += 301
    assert await client.vault.refresh() is True
    assert client.vault.value("secret/openai", "api_key") == "sk-new"
    await client.vault.stop()


async def test_what_is_no_text_is_no_secret(server: VaultServer, client: Client) -> None:
    server.secrets["openai"] = {"api_key": None, "more": {"a": "b"}, "flag": True}  # type: ignore[dict-item]
    await client.vault.fetch(["secret/openai"])
    for field in ("api_key", "more", "flag"):
        with pytest.raises(SecretUnavailable, match="no field"):
            client.vault.value("secret/openai", field)


async def test_what_is_kept_of_a_vault_is_in_no_representation(client: Client) -> None:
    await client.vault.fetch(["secret/openai"])
    assert KEY not in repr(client.vault._kept)


async def test_paths_may_name_another_mount(server: VaultServer) -> None:
    client = Client(server, mount="kv/team")
    await client.vault.fetch(["kv/team/openai", "secret/openai"])
    assert {seen.path for seen in server.seen if seen.method == "GET"} == {"/v1/kv/team/data/openai", "/v1/secret/data/openai"}
    await client.vault.stop()


async def test_references_of_the_configuration_lead_there(server: VaultServer) -> None:
    settings = Settings.model_validate(
        {
            "vault": {"address": server.address, "token": ROOT},
            "providers": {
                "acme": {"base_url": "https://api.example.org/v1", "api_key": "vault:secret/openai"},
                "other": {"base_url": "https://api.example.org/v1", "api_keys": {"spare": "vault:secret/openai#spare"}},
                "none": {"base_url": "https://api.example.org/v1", "api_key": "vault:secret/nothing#x"},
            },
        }
    )
    vault = Vault(settings.vault, settings.network)
    book = KeyBook(settings, vault=vault)
    book.read()
    assert book.shared["acme"][0].value is None
    await book.load()
    assert (book.shared["acme"][0].value, book.shared["other"][0].value) == (KEY, "sk-spare")
    assert "no such secret" in book.shared["none"][0].why
    assert KEY not in repr(book.shared)
    await vault.stop()


@pytest.mark.parametrize("wrong", [{"address": "vault:8200"}, {"address": "https://v", "auth": "approle"}, {"address": "https://v"}])
def test_settings_that_cannot_sign_in_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needed|must look like"):
        VaultSettings.model_validate(wrong)
