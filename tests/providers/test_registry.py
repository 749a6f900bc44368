"""Adapters are found by the name of their module."""

import sys
from types import ModuleType

import pytest
import structlog

from backend.credentials.book import KeyBook
from backend.credentials.connections import Connections
from backend.kernel.addresses import AddressPolicy
from backend.kernel.events import EventBus
from backend.providers.http import UpstreamHttp
from backend.providers.registry import configured
from backend.providers.sandbox import SandboxProvider
from backend.settings import ProviderSettings, Settings


def providers(**wanted: ProviderSettings) -> dict[str, object]:
    return connected(Settings(providers=wanted))


def connected(settings: Settings) -> dict[str, object]:
    connections = Connections(settings, KeyBook(settings), EventBus())
    connections.start(UpstreamHttp(AddressPolicy()))
    return dict(connections.shared)


def test_development_has_the_sandbox_and_production_only_if_it_is_named() -> None:
    assert list(providers()) == ["sandbox"]
    assert not connected(Settings(env="production"))
    named = Settings(env="production", providers={"demo": ProviderSettings(protocol="sandbox")})
    assert list(connected(named)) == ["demo"]


def test_a_provider_has_the_metadata_of_its_protocol_and_its_own_over_it() -> None:
    shared = {"region": "us-east-1", "aws_access_key_id": "AKID", "aws_secret_access_key": "env:S", "aws_session_token": "env:T"}
    settings = Settings(
        provider_metadata={"bedrock": shared},
        providers={
            "plain": ProviderSettings(protocol="bedrock"),
            "own": ProviderSettings(protocol="bedrock", metadata={"region": "eu-central-1", "bedrock_default_max_tokens": 9}),
            "other": ProviderSettings(protocol="bedrock", metadata={"aws_profile": "work"}),
            "claude": ProviderSettings(protocol="anthropic"),
        },
    )
    found = {name: provider.metadata for name, provider in configured(settings).items()}
    assert found["plain"] == shared
    assert found["own"] == {**shared, "region": "eu-central-1", "bedrock_default_max_tokens": 9}
    # What names an account is taken whole from one of them.
    assert found["other"] == {"region": "us-east-1", "aws_profile": "work"}
    assert found["claude"] == {}


def test_a_new_adapter_is_one_module_and_no_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("backend.providers.anthropic")
    module.__spec__ = sys.modules["backend.providers.sandbox"].__spec__
    module.build = lambda name, settings, http: SandboxProvider(name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "backend.providers.anthropic", module)
    assert set(providers(claude=ProviderSettings(protocol="anthropic", base_url="https://api.example.org"))) == {"claude", "sandbox"}


def test_a_protocol_without_adapter_is_said_and_does_not_stop_the_rest() -> None:
    unknown = ProviderSettings.model_construct(protocol="telegraph")
    assert set(providers(x=unknown, y=ProviderSettings(base_url="https://api.example.org/v1"))) == {"y", "sandbox"}


def test_building_an_openai_provider_reads_no_secret_into_its_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.kernel.secrets import SecretRef

    monkeypatch.setenv("ACME_KEY", "sk-very-secret-value")
    built = providers(acme=ProviderSettings(base_url="https://api.example.org/v1", api_key=SecretRef("env:ACME_KEY")))
    assert "very-secret" not in repr(built["acme"])


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(ProviderSettings(base_url="https://api.example.org/v 1"), id="a path that HTTP cannot carry"),
        pytest.param(ProviderSettings(base_url="https://api.example.org/v1", headers={"x-a": "1\r\n2"}), id="a header of two lines"),
        pytest.param(ProviderSettings(base_url="https://api.example.org:port/v1"), id="a port that is none"),
    ],
)
def test_a_provider_that_cannot_be_built_is_said_and_does_not_stop_the_rest(wrong: ProviderSettings) -> None:
    with structlog.testing.capture_logs() as logs:
        built = providers(wrong=wrong, right=ProviderSettings(base_url="https://api.example.org/v1"))
    assert set(built) == {"right", "sandbox"}
    assert [(entry["event"], entry["provider"]) for entry in logs] == [("provider.cannot_be_built", "wrong")]
