"""`secrets.yaml`: whose keys are in it, for whom, and what it makes of an installation that has nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.configuration import load_settings
from backend.credentials.book import SECRETS_FILE, KeyBook
from backend.credentials.connections import with_key
from backend.credentials.secrets_file import SecretsFileWrong, read_secrets, section_for
from backend.kernel.clock import FixedClock
from backend.providers.aws_credentials import CredentialSource
from backend.settings import ProviderSettings, Settings
from tests.conftest import START

SEED = """
openai:
  api_key: "sk-..."
anthropic:
  api_key: "sk-ant-..."
google:
  api_key: "AIza..."
aws:
  access_key_id: "AKIA..."
  secret_access_key: "wJalr..."
  region: "us-east-1"
azure:
  api_key: "azure-key"
  endpoint: https://name.openai.azure.com
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "secrets.yaml"
    written.write_text(SEED)
    return written


def started(folder: Path, **configuration: Any) -> tuple[Settings, KeyBook]:
    (folder / "bourse.yaml").write_text(yaml.safe_dump({"secrets_file": str(folder / "secrets.yaml"), **configuration}))
    settings = load_settings({"BOURSE_CONFIG": str(folder / "bourse.yaml")})
    book = KeyBook(settings)
    book.read()
    return settings, book


def test_the_file_alone_makes_the_vendors_providers_with_their_keys(file: Path, tmp_path: Path) -> None:
    settings, book = started(tmp_path)
    assert {name: (provider.protocol, provider.base_url) for name, provider in settings.providers.items()} == {
        "openai": ("openai", "https://api.openai.com/v1"),
        "anthropic": ("anthropic", None),
        "gemini": ("gemini", None),
        "bedrock": ("bedrock", None),
        "azure": ("azure", "https://name.openai.azure.com"),
    }
    assert {name: found[0].value for name, found in book.shared.items() if found and name != "bedrock"} == {
        "openai": "sk-...",
        "anthropic": "sk-ant-...",
        "gemini": "AIza...",
        "azure": "azure-key",
    }
    assert settings.providers["bedrock"].metadata == {"region": "us-east-1"}
    assert {found[0].source for found in book.shared.values() if found} == {SECRETS_FILE}


def test_the_aws_section_reaches_the_adapter_as_its_metadata(file: Path, tmp_path: Path) -> None:
    settings, book = started(tmp_path)
    (key,) = book.shared["bedrock"]
    assert key.value is not None
    metadata = with_key(settings.providers["bedrock"], key.value).metadata
    found = CredentialSource("bedrock", metadata, FixedClock(START), {}).current()
    assert found is not None
    assert (found.access_key, found.secret_key) == ("AKIA...", "wJalr...")


def test_a_key_of_aws_is_what_was_stored_and_refers_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who stores a key for a tenant alone would sign with the operator's account."""
    monkeypatch.setenv("OPERATORS_ID", "AKIAOPERATOR")
    (tmp_path / "secret").write_text("of the operator")
    value = json.dumps({"access_key_id": "env:OPERATORS_ID", "secret_access_key": f"file:{tmp_path / 'secret'}"})
    metadata = with_key(ProviderSettings(protocol="bedrock"), value).metadata
    found = CredentialSource("bedrock", metadata, FixedClock(START), {}).current()
    assert found is not None
    assert (found.access_key, found.secret_key) == ("env:OPERATORS_ID", f"file:{tmp_path / 'secret'}")
    assert "OPERATORS_ID" not in repr(metadata)


@pytest.mark.parametrize(
    "value", ["{}", "{broken", '{"access_key_id": "AKIA..."}', '{"access_key_id": "AKIA...", "secret_access_key": ""}']
)
def test_half_a_key_of_aws_is_none_for_the_environment_is_somebody_elses(value: str) -> None:
    with pytest.raises(ValueError, match="secret_access_key"):
        with_key(ProviderSettings(protocol="bedrock"), value)


def test_what_the_configuration_says_goes_before_the_file(file: Path, tmp_path: Path) -> None:
    settings, book = started(
        tmp_path,
        providers={
            "openai": {"base_url": "https://proxy.example.org/v1", "api_key": "sk-of-the-configuration"},
            "claude": {"protocol": "anthropic"},
            "claude-elsewhere": {"protocol": "anthropic", "base_url": "https://claude.example.org"},
        },
    )
    assert [key.value for key in book.shared["openai"]] == ["sk-of-the-configuration"]
    # The vendor's key goes to the vendor's servers and nowhere else.
    assert [key.value for key in book.shared["claude"]] == ["sk-ant-..."]
    assert book.shared["claude-elsewhere"] == ()
    assert "anthropic" not in settings.providers


def test_the_file_is_read_again_when_keys_are(file: Path, tmp_path: Path) -> None:
    _, book = started(tmp_path)
    file.write_text(SEED.replace("sk-ant-...", "sk-ant-new"))
    book.read()
    assert book.shared["anthropic"][0].value == "sk-ant-new"
    file.write_text("anthropic: [broken")
    book.read()
    assert book.shared["anthropic"] == ()
    assert str(file) in book.trouble


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    settings, book = started(tmp_path)
    assert settings.providers == {}
    assert book.shared == {"sandbox": ()}


def test_several_keys_and_own_sections(tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").write_text("acme: {api_key: one, api_keys: {spare: two}}\nempty: {api_key: ''}\n")
    sections = read_secrets(tmp_path / "secrets.yaml")
    assert dict(sections["acme"].keys) == {"default": "one", "spare": "two"}
    assert dict(sections["empty"].keys) == {}
    assert "one" not in repr(sections["acme"])
    assert section_for(sections, "acme", "openai", own_servers=False) is sections["acme"]
    assert section_for(sections, "other", "openai", own_servers=False) is None


@pytest.mark.parametrize(
    "text",
    [
        "openai: {api_keys: {'A Name': sk-canary-secret}}",
        "- sk-canary-secret",
        "openai: sk-canary-secret",
        "openai: {api_key: 'sk-canary-secret\n",
        "\x00",
    ],
)
def test_a_file_that_cannot_be_used_is_told_without_a_word_of_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.yaml").write_text(text)
    with pytest.raises(SecretsFileWrong) as caught:
        read_secrets(tmp_path / "secrets.yaml")
    assert "canary" not in str(caught.value)
    settings, book = started(tmp_path)
    assert settings.providers == {}
    assert book.trouble
