"""A token endpoint (OAuth 2.0): a form with a credential in, an access token out.

Wire: developers.google.com/identity/protocols/oauth2/service-account, learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-
grant-flow. It grants what it is told to, and logs the forms it was sent and where.
"""

import json
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from tests.fakes.byte_server import Call, Server, serving

REFUSAL = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}


class TokenServer:
    """`status` and `body` are the next answers'; without a body it grants tok-1, tok-2…"""

    def __init__(self) -> None:
        self.url = ""
        self.forms: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        self.body: Any = None
        self.seconds = 3599
        self._serving: AbstractAsyncContextManager[tuple[Server, str]] = serving(self._answer)

    async def __aenter__(self) -> Self:
        _, url = await self._serving.__aenter__()
        self.url = url.replace("/v1/chat", "/token")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._serving.__aexit__(kind, error, trace)

    async def _answer(self, call: Call) -> None:
        assert b"content-type: application/x-www-form-urlencoded" in call.head.lower()
        self.paths.append(call.head.split(b" ", 2)[1].decode())
        self.forms.append({name: values[0] for name, values in parse_qs(call.body.decode()).items()})
        granted = {"access_token": f"tok-{len(self.forms)}", "expires_in": self.seconds, "token_type": "Bearer"}
        data = json.dumps(granted if self.body is None else self.body).encode()
        head = f"HTTP/1.1 {self.status} OK\r\ncontent-type: application/json; charset=UTF-8\r\ncontent-length: {len(data)}\r\n\r\n"
        await call.send(head.encode() + data)
