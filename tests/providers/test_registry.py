"""Adapters are found by the name of their module."""

import sys
from types import ModuleType

import pytest

from backend.kernel.addresses import AddressPolicy
from backend.providers.http import UpstreamHttp
from backend.providers.registry import build_providers
from backend.providers.sandbox import SandboxProvider
from backend.settings import ProviderSettings, Settings


def providers(**wanted: ProviderSettings) -> dict[str, object]:
    return dict(build_providers(Settings(providers=wanted), UpstreamHttp(AddressPolicy())))


def test_development_has_the_sandbox_and_production_only_if_it_is_named() -> None:
    assert list(providers()) == ["sandbox"]
    http = UpstreamHttp(AddressPolicy())
    assert not build_providers(Settings(env="production"), http)
    named = Settings(env="production", providers={"demo": ProviderSettings(protocol="sandbox")})
    assert list(build_providers(named, http)) == ["demo"]


def test_a_new_adapter_is_one_module_and_no_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("backend.providers.anthropic")
    module.__spec__ = sys.modules["backend.providers.sandbox"].__spec__
    module.build = lambda name, settings, http: SandboxProvider(name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "backend.providers.anthropic", module)
    assert set(providers(claude=ProviderSettings(protocol="anthropic", base_url="https://api.example.org"))) == {"claude", "sandbox"}


def test_a_protocol_without_adapter_is_said_and_does_not_stop_the_rest() -> None:
    assert set(providers(x=ProviderSettings(protocol="bedrock"), y=ProviderSettings(base_url="https://api.example.org/v1"))) == {
        "y",
        "sandbox",
    }


def test_building_an_openai_provider_reads_no_secret_into_its_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.kernel.secrets import SecretRef

    monkeypatch.setenv("ACME_KEY", "sk-very-secret-value")
    built = providers(acme=ProviderSettings(base_url="https://api.example.org/v1", api_key=SecretRef("env:ACME_KEY")))
    assert "very-secret" not in repr(built["acme"])
