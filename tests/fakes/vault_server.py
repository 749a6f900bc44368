"""HashiCorp Vault's HTTP API, as far as secrets are read: key-value engines of both versions, and three ways to sign in.

Wire: developer.hashicorp.com/vault/api-docs: secret/kv/kv-v2 "Read secret version", secret/kv/kv-v1 "Read secret", auth/approle "Login with
AppRole", auth/kubernetes "Login", auth/token "Renew a token (self)" and "Lookup a token (self)"; errors are `{"errors": […]}`; a sealed
Vault answers 503. OpenBao answers the same.
"""

import asyncio
import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

ROOT = "hvs.CAESIJ-root-token"
ROLE_ID, SECRET_ID = "db02de05-fa39-4855-059b-67221c5c2f63", "6a174c20-f6de-a53c-74d2-6018fcceff64"
JWT = "eyJhbGciOiJSUzI1NiJ9.serviceaccount.signature"


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class VaultServer:
    """`secrets` by path below the mount `secret`; no policy lets anybody read those in `forbidden`. `mood`: well, sealed, silent, broken.
    `most`: the most requests that it had at once; `pause`: seconds that each takes."""

    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    version: int = 2
    mood: str = "well"
    lease: int = 2764800
    token_lease: int = 3600
    tokens: set[str] = field(default_factory=lambda: {ROOT})
    seen: list[Seen] = field(default_factory=list)
    granted: int = 0
    forbidden: set[str] = field(default_factory=set)
    pause: float = 0.0
    busy: int = 0
    most: int = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = first.split(" ")
            seen = Seen(method, path, headers, json.loads(body) if body else None)
            self.seen.append(seen)
            self.busy += 1
            self.most = max(self.most, self.busy)
            if self.mood == "silent":
                await reader.read()
                return
            await asyncio.sleep(self.pause)
            self.busy -= 1
            status, value = self._answer(seen)
            data = b"<html>bad gateway</html>" if self.mood == "broken" else json.dumps(value).encode()
            writer.write(
                f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncache-control: no-store\r\nconnection: close\r\n"
                f"content-length: {len(data)}\r\n\r\n".encode()
            )
            writer.write(data)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, seen: Seen) -> tuple[int, dict[str, Any]]:
        if self.mood == "sealed":
            return 503, {"errors": ["Vault is sealed"]}
        if seen.path == "/v1/auth/approle/login":
            good = seen.body == {"role_id": ROLE_ID, "secret_id": SECRET_ID}
            return (200, self._grant()) if good else (400, {"errors": ["invalid role or secret ID"]})
        if seen.path == "/v1/auth/kubernetes/login":
            return (200, self._grant()) if seen.body == {"role": "bourse", "jwt": JWT} else (403, {"errors": ["permission denied"]})
        if seen.headers.get("x-vault-token") not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if seen.path == "/v1/auth/token/renew-self" and seen.method == "POST":
            return 200, {"request_id": "a", "lease_id": "", "data": None, "auth": self._auth(ROOT)}
        if seen.path == "/v1/auth/token/lookup-self" and seen.method == "GET":
            told = {"id": seen.headers["x-vault-token"], "policies": ["bourse", "default"], "ttl": self.token_lease, "renewable": True}
            return 200, {"request_id": "d", "lease_id": "", "lease_duration": 0, "data": told, "auth": None}
        if seen.path.rpartition("/")[2] in self.forbidden:
            return 403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]}
        mount = "/v1/secret/data/" if self.version == 2 else "/v1/secret/"
        fields = self.secrets.get(seen.path.removeprefix(mount)) if seen.path.startswith(mount) and seen.method == "GET" else None
        if fields is None:
            return 404, {"errors": []}
        envelope = {"request_id": "b", "lease_id": "", "renewable": False, "wrap_info": None, "warnings": None, "auth": None}
        if self.version == 1:
            return 200, {**envelope, "lease_duration": self.lease, "data": fields}
        metadata = {"created_time": "2026-03-22T02:24:06.945319214Z", "deletion_time": "", "destroyed": False, "version": 2}
        return 200, {**envelope, "lease_duration": 0, "data": {"data": fields, "metadata": metadata}}

    def _grant(self) -> dict[str, Any]:
        self.granted += 1
        token = f"hvs.granted-{self.granted}"
        self.tokens.add(token)
        return {"request_id": "c", "lease_id": "", "renewable": False, "lease_duration": 0, "data": None, "auth": self._auth(token)}

    def _auth(self, token: str) -> dict[str, Any]:
        return {
            "client_token": token,
            "accessor": "a8QzvVQf",
            "policies": ["bourse", "default"],
            "lease_duration": self.token_lease,
            "renewable": True,
        }
