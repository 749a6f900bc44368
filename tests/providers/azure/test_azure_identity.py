"""Azure without a key: managed identities of machines and apps, and pods' tokens."""

from pathlib import Path
from typing import Any

import pytest
import structlog

from backend.kernel.secrets import SecretRef
from backend.providers.azure import build
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest
from backend.settings import ProviderSettings
from tests.fakes import azure_upstream as wire
from tests.fakes.azure_metadata import HEADER, NO_IDENTITY, AzureMetadata
from tests.fakes.byte_server import client
from tests.fakes.openai_upstream import OpenAIUpstream, status
from tests.fakes.token_server import TokenServer
from tests.providers.azure.conftest import CLIENT, KEY, TENANT

pytestmark = pytest.mark.asyncio(loop_scope="module")
IMDS = "/metadata/identity/oauth2/token"
COGNITIVE = "https://cognitiveservices.azure.com"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        monkeypatch.delenv(name, raising=False)


def settings(azure: OpenAIUpstream, key: str | None = None, **metadata: Any) -> ProviderSettings:
    return ProviderSettings(protocol="azure", base_url=azure.base_url, api_key=SecretRef(key) if key else None, metadata=metadata)


def asked() -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": "hi"}]}, "chat", 30, "00-0-0-01", 64)


def bearers(azure: OpenAIUpstream) -> list[str]:
    return [seen.headers.get("authorization", "") for seen in azure.requests]


async def test_a_machines_own_identity(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AzureMetadata() as machine, client() as http:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"{machine.url}/")
        provider = build("a", settings(azure, managed_identity=True), http)
        for _ in range(3):
            await provider.complete(asked())
        assert await provider.look(2) == 200
        assert machine.seen == [(IMDS, {"api-version": "2018-02-01", "resource": COGNITIVE})]
        assert bearers(azure) == ["Bearer tok-1"] * 3
        assert azure.looks[-1].headers["authorization"] == "Bearer tok-1"
        azure.script(status(401, wire.BAD_KEY), wire.answer())
        with pytest.raises(UpstreamFailure):
            await provider.complete(asked())
        await provider.complete(asked())
        assert bearers(azure)[-1] == "Bearer tok-2"


async def test_an_apps_identity_that_a_user_assigned(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with AzureMetadata() as app, client() as http:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{app.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        metadata = {"managed_identity": True, "client_id": CLIENT, "scope": "https://ai.azure.com/.default"}
        provider = build("a", settings(azure, **metadata), http)
        for _ in range(2):
            await provider.complete(asked())
        assert app.seen == [("/msi/token", {"api-version": "2019-08-01", "resource": "https://ai.azure.com", "client_id": CLIENT})]
        assert bearers(azure) == ["Bearer tok-1"] * 2


@pytest.mark.parametrize("place", ["machine", "app"])
async def test_a_token_that_soon_ends_is_not_kept(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """`expires_in` of machines and `expires_on` of apps, both written as texts."""
    async with AzureMetadata() as server, client() as http:
        server.seconds = 25
        if place == "app":
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"{server.url}/msi/token")
            monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        else:
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url)
        provider = build("a", settings(azure, managed_identity=True), http)
        for _ in range(2):
            await provider.complete(asked())
        assert bearers(azure) == ["Bearer tok-1", "Bearer tok-2"]


async def test_a_pods_token_instead_of_a_secret(azure: OpenAIUpstream, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("eyJ.pod.one\n")
    async with TokenServer() as entra, client() as http:
        entra.seconds = 20
        metadata = {"tenant_id": TENANT, "client_id": CLIENT, "authority": entra.url, "federated_token_file": str(file)}
        provider = build("a", settings(azure, **metadata), http)
        await provider.complete(asked())
        file.write_text("eyJ.pod.two")
        await provider.complete(asked())
        assert entra.forms[0] == {
            "grant_type": "client_credentials",
            "client_id": CLIENT,
            "scope": f"{COGNITIVE}/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": "eyJ.pod.one",
        }
        assert entra.forms[1]["client_assertion"] == "eyJ.pod.two"
        file.unlink()
        with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailure) as caught:
            await provider.complete(asked())
        assert (caught.value.kind, caught.value.status) == ("credentials", 401)
        assert "federated_token_file names cannot be read" in logs[0]["reason"]


async def test_a_key_goes_before_what_the_machine_may_do(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant's own key takes the place of the configured one, and the metadata stays: nobody may use the operator's identity by it."""
    async with AzureMetadata() as machine, client() as http:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        provider = build("a", settings(azure, KEY, managed_identity=True, client_id=CLIENT), http)
        await provider.complete(asked())
        assert (machine.seen, azure.requests[0].headers["api-key"], bearers(azure)) == ([], KEY, [""])


@pytest.mark.parametrize(
    ("code", "body", "kind", "says"),
    [
        (400, NO_IDENTITY, "credentials", "HTTP 400 (Identity not found): assign a managed identity to it"),
        (404, {"error": "not_found"}, "credentials", "HTTP 404"),
        (403, [], "credentials", "HTTP 403"),
        (429, {"error": "too_many_requests"}, "rate_limited", None),
        (410, {}, "server", None),
        (500, {"error": "unknown"}, "server", None),
        (200, {"token_type": "Bearer"}, "credentials", None),
        (200, {"access_token": "a\r\nx: y"}, "credentials", None),
    ],
)
async def test_what_is_missing_is_said_with_what_to_do(
    azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, code: int, body: Any, kind: str, says: str | None
) -> None:
    async with AzureMetadata() as machine, client() as http:
        machine.status, machine.body = code, body
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.url)
        provider = build("a", settings(azure, managed_identity=True), http)
        with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailure) as caught:
            await provider.complete(asked())
    assert caught.value.kind == kind
    assert azure.requests == []
    assert says is None or says in logs[0]["reason"]


@pytest.mark.parametrize("place", ["http://example.org", "http://10.0.0.5"])
async def test_only_addresses_of_the_machine_are_asked(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", place)
    async with client() as http:
        with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailure):
            await build("a", settings(azure, managed_identity=True), http).complete(asked())
    assert "not at an address of this machine" in logs[0]["reason"]


async def test_a_machine_that_says_nothing_is_no_azure(azure: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
    async with client() as http:
        with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailure):
            await build("a", settings(azure, managed_identity=True), http).complete(asked())
    assert "cannot be reached: does this run in Azure, with a managed identity?" in logs[0]["reason"]
