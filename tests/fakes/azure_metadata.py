"""Azure's servers that give a token to what runs in Azure: the metadata service of machines, and the identity endpoint of App Service.

    async with AzureMetadata() as azure:
        …  azure.seen[0]

Wire: learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token (numbers are texts; errors as OAuth's), and
learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference (no `expires_in`; a secret in X-IDENTITY-HEADER).
"""

import json
import time
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.byte_server import Call, Server, serving

HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
NO_IDENTITY = {"error": "invalid_request", "error_description": "Identity not found"}


class AzureMetadata:
    """Gives tok-1, tok-2…; `status` and `body` are answered instead, where they are there. `seen` has paths with their queries."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.seconds = 86_400
        self.status = 200
        self.body: Any = None
        self._serving: AbstractAsyncContextManager[tuple[Server, str]] = serving(self._answer)

    async def __aenter__(self) -> Self:
        _, url = await self._serving.__aenter__()
        self.url = url.removesuffix("/v1/chat")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._serving.__aexit__(kind, error, trace)

    async def _answer(self, call: Call) -> None:
        method, path, _ = call.head.split(b"\r\n")[0].decode().split(" ")
        headers = dict(line.split(": ", 1) for line in call.head.decode().lower().strip().split("\r\n")[1:])
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        self.seen.append((parts.path, query))
        status, body = self.status, self.body
        if body is None:
            status, body = self._token(method, parts.path, query, headers)
        data = json.dumps(body).encode()
        await call.send(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(data), data))

    def _token(self, method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> tuple[int, Any]:
        given: dict[str, Any] = {"access_token": f"tok-{len(self.seen)}", "resource": query.get("resource"), "token_type": "Bearer"}
        ends = str(int(time.time()) + self.seconds)
        if path == "/metadata/identity/oauth2/token":
            if headers.get("metadata") != "true":
                return 400, {"error": "invalid_request", "error_description": "Required metadata header not specified"}
            if query.get("api-version") != "2018-02-01" or method != "GET":
                return 400, {"error": "invalid_request", "error_description": "The specified version is not supported."}
            times = {"expires_in": str(self.seconds), "ext_expires_in": str(self.seconds), "expires_on": ends, "not_before": "1506480273"}
            return 200, {**given, "refresh_token": "", **times}
        if path == "/msi/token":
            if headers.get("x-identity-header") != HEADER or query.get("api-version") != "2019-08-01":
                return 401, {"statusCode": 401, "message": "Unauthorized"}
            return 200, {**given, "expires_on": ends, "client_id": query.get("client_id", "5E29463D-71DA-4FE0-8E69-999B57DB23B0")}
        return 404, {"error": "not_found"}
