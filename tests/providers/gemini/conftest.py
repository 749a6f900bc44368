"""A gateway in front of a fake of Google's server: by an API key, and as Vertex AI by a service account."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fakes.gemini_upstream import GeminiUpstream, answer
from tests.fakes.token_server import TokenServer
from tests.gateway.conftest import ONE_TRY, UNLIMITED, Rig, gateway_in

API_KEY = "AIzaSyFakeKeyOfTheTests0123456789abcdef"
EMAIL = "bourse@acme-project.iam.gserviceaccount.com"
PROVIDERS = {"gemini-3-flash": "google", "gemini-2.5-flash": "google", "gemini-2.5-pro": "vertex"}


@pytest.fixture(scope="session")
def account_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def account_json(key: RSAPrivateKey, token_uri: str) -> str:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    names = {"type": "service_account", "project_id": "acme-project", "private_key_id": "k1", "client_email": EMAIL}
    return json.dumps({**names, "private_key": pem, "token_uri": token_uri})


def jwt_parts(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Head, claims, what is signed, and the signature."""
    head, claims, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in assertion.split("."))
    return json.loads(head), json.loads(claims), assertion.rpartition(".")[0].encode(), signature


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def _google() -> AsyncIterator[GeminiUpstream]:
    async with GeminiUpstream() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens() -> AsyncIterator[TokenServer]:
    async with TokenServer() as server:
        yield server


@pytest.fixture
def google(_google: GeminiUpstream) -> GeminiUpstream:
    """With an empty log and the good answer."""
    _google.requests.clear()
    _google.script(answer())
    return _google


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    _sqlite_template: Path,
    _google: GeminiUpstream,
    tokens: TokenServer,
    account_key: RSAPrivateKey,
) -> AsyncIterator[Rig]:
    """One for all tests of a file."""
    home = tmp_path_factory.mktemp("gateway")
    (home / "account.json").write_text(account_json(account_key, tokens.url))
    price = {"input": 1, "output": 2}
    routes = [
        {**ONE_TRY, "alias": model, "candidates": [{"provider": provider, "model": model, "price": price}]}
        for model, provider in PROVIDERS.items()
    ]
    routes.append(
        {"alias": "dropping", "candidates": [{"provider": "vertex", "model": "gemini-2.5-pro", "price": price}], "unsupported": "drop"}
    )
    vertex = {
        "protocol": "vertex",
        "base_url": _google.base_url,
        "api_key": f"file:{home}/account.json",
        "metadata": {"location": "europe-west4", "gs_allowed": ["gs://acme-public/"]},
    }
    configuration = {
        "network": {"allow_private": ["127.0.0.1/32"], "allow_private_fetch": ["127.0.0.1/32"]},
        "providers": {"google": {"protocol": "gemini", "base_url": _google.base_url, "api_key": API_KEY}, "vertex": vertex},
        "models": routes,
        "budgets": {"default": {"on_unknown_price": {"input": 0.5, "output": 1.5}}},
        "rate_limits": UNLIMITED,
    }
    async with gateway_in(home, _sqlite_template, configuration) as rig:
        yield rig
