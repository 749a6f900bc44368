"""Vertex AI without a key: the service account that is attached to what this runs on."""

import json
from typing import Any

import pytest
import structlog

from backend.kernel.secrets import SecretRef
from backend.providers.failures import UpstreamFailure
from backend.providers.provider import ChatRequest
from backend.providers.registry import needs_key
from backend.providers.vertex import build
from backend.settings import ProviderSettings
from tests.fakes.byte_server import Call, Serve, client, serving
from tests.fakes.gemini_upstream import GeminiUpstream

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = b"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1"


def settings(google: GeminiUpstream, key: str | None = None, **metadata: Any) -> ProviderSettings:
    told = {"attached_account": True, "project": "acme-project", **metadata}
    return ProviderSettings(protocol="vertex", base_url=google.base_url, api_key=SecretRef(key) if key else None, metadata=told)


def asked() -> ChatRequest:
    return ChatRequest({"messages": [{"role": "user", "content": "hi"}]}, "gemini-2.5-pro", 30, "00-0-0-01", 64)


def metadata_server(status: int = 200, body: Any = None, seconds: int = 3599) -> Serve:
    """As Google's answers: who does not name the flavour is refused. Wire: cloud.google.com/compute/docs/metadata/querying-metadata."""
    given = 0

    async def serve(call: Call) -> None:
        nonlocal given
        given += 1
        is_sound = call.head.startswith(PATH) and b"metadata-flavor: google" in call.head.lower()
        granted = {"access_token": f"ya29.tok-{given}", "expires_in": seconds, "token_type": "Bearer"}
        data = json.dumps(granted if body is None else body).encode()
        code = status if is_sound else 403
        head = f"HTTP/1.1 {code} X\r\nmetadata-flavor: Google\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        await call.send(head.encode() + data)

    return serve


def host_of(url: str) -> str:
    return url.removeprefix("http://").partition("/")[0]


async def test_calls_carry_its_token(google: GeminiUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(metadata_server()) as (server, url), client() as http:
        monkeypatch.setenv("GCE_METADATA_HOST", host_of(url))
        provider = build("v", settings(google), http)
        for _ in range(2):
            await provider.complete(asked())
        assert len(server.calls) == 1
        assert [seen.headers["authorization"] for seen in google.requests] == ["Bearer ya29.tok-1"] * 2
        assert "/projects/acme-project/locations/global/" in google.requests[0].path


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (404, "", "credentials", "attach a service account to it"),
        (503, {"error": "unavailable"}, "server", None),
        (200, [], "credentials", None),
        (200, {"access_token": "a\r\nb"}, "credentials", None),
    ],
)
async def test_what_is_missing_is_said(
    google: GeminiUpstream, monkeypatch: pytest.MonkeyPatch, status: int, body: Any, kind: str, says: str | None
) -> None:
    async with serving(metadata_server(status, body)) as (_, url), client() as http:
        monkeypatch.setenv("GCE_METADATA_HOST", host_of(url))
        with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailure) as caught:
            await build("v", settings(google), http).complete(asked())
    assert caught.value.kind == kind
    assert says is None or says in logs[0]["reason"]
    assert google.requests == []


@pytest.mark.parametrize(("place", "says"), [("metadata.example.org", "no address of this machine"), ("127.0.0.1:9", "in Google Cloud?")])
async def test_only_the_machine_is_asked(google: GeminiUpstream, monkeypatch: pytest.MonkeyPatch, place: str, says: str) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", place)
    async with client() as http:
        with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailure):
            await build("v", settings(google), http).complete(asked())
    assert says in logs[0]["reason"]


async def test_a_key_goes_before_it_and_a_project_has_to_be_named(google: GeminiUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(metadata_server()) as (server, url), client() as http:
        monkeypatch.setenv("GCE_METADATA_HOST", host_of(url))
        with pytest.raises(UpstreamFailure):
            await build("v", settings(google, "{}"), http).complete(asked())
        with pytest.raises(ValueError, match="project"):
            build("v", settings(google, project=""), http)
        assert server.calls == []
    assert not needs_key(ProviderSettings(protocol="vertex", metadata={"attached_account": True}))
    assert needs_key(ProviderSettings(protocol="vertex"))
