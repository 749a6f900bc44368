"""No secret that Bourse is given for providers leaves it by any other way than the request that it is for."""

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from backend.__main__ import app
from backend.identity.principal import system
from backend.observability.health import health_report
from backend.rest import build_rest
from tests.fakes.openai_upstream import Exchange, OpenAIUpstream, Step, answer, events, garbage, reset, status
from tests.fakes.vault_server import ROLE_ID, SECRET_ID, VaultServer
from tests.gateway.conftest import PLAIN, Rig, open_gateway
from tests.gateway.test_spans import Collector

OPERATOR = system("test")
PASSWORD = "canary-password-of-ann-0123"
MASTER = "canary-master-key-0123456789abcdefghij"
STORED, OWN, ENVIRONMENT, FILED, LISTED, VAULTED, REPLACED = (f"sk-canary-{n}-0123456789abcdefghij" for n in range(7))
METADATA = "canary-metadata-0123456789abcdefghij"
CANARIES = (STORED, OWN, ENVIRONMENT, FILED, LISTED, VAULTED, REPLACED, MASTER, SECRET_ID, ROLE_ID, "hvs.granted", METADATA, PASSWORD)


def echoing(code: int) -> Step:
    """A refusal that repeats the key which it was sent, in its words, its fields and its headers."""

    async def step(exchange: Exchange) -> None:
        sent = exchange.seen.headers.get("authorization", "").removeprefix("Bearer ")
        error = {"message": f"Incorrect API key provided: {sent}.", "code": sent, "type": f"x {sent}", "param": sent}
        await status(code, {"error": error}, f"x-echo: {sent}", "retry-after: 0")(exchange)

    return step


def in_stream(code: str) -> Step:
    async def step(exchange: Exchange) -> None:
        sent = exchange.seen.headers.get("authorization", "")
        await events({"error": {"message": f"broken for {sent}", "code": code}})(exchange)

    return step


MOODS: list[Step] = [
    answer(), echoing(401), echoing(400), echoing(403), echoing(429), echoing(422), echoing(500), reset(), in_stream("server_error"),
    garbage(b"HTTP/1.1 999 ???\r\n\r\n"),
]  # fmt: skip


@pytest.mark.case("S1")
async def test_no_secret_appears_anywhere(
    tmp_path: Path,
    sqlite_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    said = bytearray()
    async with VaultServer(secrets={"acme": {"api_key": VAULTED}}) as vault, OpenAIUpstream() as upstream:
        collector = Collector()
        async with collector.listening():
            file = written(tmp_path, upstream, vault, collector.port)
            monkeypatch.setenv("CANARY_KEY", ENVIRONMENT)
            async with open_gateway(file, tmp_path, sqlite_database_url) as rig:
                await rig.runtime.connections.load()
                small = (await rig.runtime.identity.tenants.get(OPERATOR, "small")).id
                await rig.runtime.credentials.add(OPERATOR, "stored", REPLACED)
                await rig.runtime.credentials.add(OPERATOR, "stored", STORED, replace=True)
                await rig.runtime.credentials.add(OPERATOR, "stored", OWN, tenant_id=small)
                for mood in MOODS:
                    upstream.script(mood)
                    upstream.models = mood
                    for model in ("stored", "several", "listed", "missing"):
                        for key in ("sk-demo.my-secret", "sk-limited.local-only"):
                            for stream in (False, True):
                                response = await rig.post({**PLAIN, "model": model, "stream": stream}, key=key)
                                said += response.content + repr(response.headers).encode()
                    await rig.runtime.probes.look()
                upstream.models = echoing(401)
                said += await shown_to_people(rig, small)
                said += repr((await health_report(rig.runtime)).body).encode() + rig.runtime.metrics.render()
                await rig.rows()
                monkeypatch.setenv("BOURSE_CONFIG", str(file))
                monkeypatch.setenv("BOURSE_DATA_DIR", str(tmp_path))
                monkeypatch.setenv("BOURSE_DATABASE_URL", sqlite_database_url)
                said += await asyncio.to_thread(on_the_command_line)
        said += repr(collector.spans).encode()
        assert b"no_available_provider" in said
        assert b"upstream_credentials" in said
        assert collector.spans
        sent = {seen.headers.get("authorization", "").removeprefix("Bearer ") for seen in upstream.requests}
        # Each was in use, so that there was something to find.
        assert {STORED, OWN, ENVIRONMENT, FILED, LISTED, VAULTED} <= sent
    said += "".join(capfd.readouterr()).encode() + caplog.text.encode()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name not in WRITTEN)
    assert b"provider_key.refused" in said
    assert b"team-a" in kept
    found = {canary: (canary.encode() in said, canary.encode() in kept) for canary in CANARIES}
    assert {canary: where for canary, where in found.items() if any(where)} == {}
    dump = "\n".join(sqlite3.connect(tmp_path / "bourse.db").iterdump())
    assert [canary for canary in CANARIES if canary in dump or canary.encode().hex() in dump.lower()] == []


WRITTEN = {"bourse.yaml", "secrets.yaml", "key.txt", "master.txt"}
"""What the operator wrote."""


def written(folder: Path, upstream: OpenAIUpstream, vault: VaultServer, collector: int) -> Path:
    (folder / "master.txt").write_text(MASTER)
    (folder / "key.txt").write_text(FILED)
    (folder / "secrets.yaml").write_text(yaml.safe_dump({"listed": {"api_key": LISTED}}))
    references = {"team-a": "env:CANARY_KEY", "team-b": f"file:{folder / 'key.txt'}", "team-c": "vault:secret/acme"}
    providers: dict[str, dict[str, Any]] = {
        "stored": {},
        "several": {"api_keys": references},
        "listed": {"metadata": {"aws_secret_access_key": METADATA}},
        "missing": {"api_key": "env:NOT_SET_ANYWHERE"},
    }
    vault_settings = {"address": vault.address, "auth": "approle", "role_id": ROLE_ID, "secret_id": SECRET_ID}
    price = {"input": 1, "output": 1}
    values = {
        "secret_key_file": str(folder / "master.txt"),
        "secrets_file": str(folder / "secrets.yaml"),
        "vault": vault_settings,
        "observability": {"enable_otlp": True, "otlp_endpoint": f"http://127.0.0.1:{collector}"},
        "providers": {name: {"base_url": upstream.base_url, **more} for name, more in providers.items()},
        "models": [
            {
                "alias": name,
                "candidates": [{"provider": name, "model": "m", "price": price}],
                "retries": {"per_candidate": 0},
                "breaker": {"failures": 1000, "open": "0s"},
            }
            for name in providers
        ],
        "bootstrap": {
            "admin_users": [{"email": "ann@example.org", "password": PASSWORD}],
            "tenants": [{"slug": "small"}],
            "api_keys": [{"tenant": "small", "name": "limited", "key": "sk-limited.local-only"}],
        },
    }
    file = folder / "bourse.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return file


async def shown_to_people(rig: Rig, tenant_id: str) -> bytes:
    """Every answer of the API about providers and keys, good and bad."""
    from backend.asgi import FrontDoor

    door = FrontDoor(rig.runtime.settings)
    door.runtime, door._rest, door._pages = rig.runtime, build_rest(rig.runtime), object()  # type: ignore[assignment]
    said = b""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://localhost:3000") as http:
        signed_in = await http.post("/auth/sign-in", json={"email": "ann@example.org", "password": PASSWORD})
        http.headers["cookie"] = signed_in.headers["set-cookie"].partition(";")[0]
        for path in (
            "providers",
            "providers/stored",
            "providers/several",
            "credentials",
            f"credentials?tenant_id={tenant_id}",
            "health/providers",
        ):
            response = await http.get(f"/admin/{path}")
            assert response.status_code == 200
            said += response.content
        for name, body in (
            ("stored", {}),
            ("several", {}),
            ("stored", {"tenant_id": tenant_id}),
            ("listed", {"base_url": "http://evil.example"}),
        ):
            response = await http.post(f"/admin/providers/{name}/test", json=body)
            assert response.status_code == (400 if "base_url" in body else 200)
            said += response.content
        for wrong in (
            {"provider": "stored", "key": REPLACED},
            {"provider": "nobody", "key": REPLACED},
            {"provider": "stored", "key": f"{REPLACED}\n{REPLACED}", "name": "x"},
            {"provider": "stored", "key": [REPLACED]},
            {"provider": "stored", "key": REPLACED, "name": REPLACED * 3},
            {"provider": "stored", "kee": REPLACED},
        ):
            response = await http.post("/admin/credentials", json=wrong)
            assert response.status_code in (400, 404, 409, 422)
            said += response.content
    return said


def on_the_command_line() -> bytes:
    said = ""
    for words in (
        "provider list", "provider show several --json", "provider keys", "provider keys --tenant small --json", "provider test several",
        "provider reseal", "provider add-key several --name more --key env:CANARY_KEY --json",
        f"provider add-key several --name wrong --key {REPLACED}",
    ):  # fmt: skip
        said += CliRunner().invoke(app, words.split(), catch_exceptions=False).output
    assert "cdefghij" not in said
    return said.encode()
