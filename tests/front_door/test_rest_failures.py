"""When a REST route fails as nobody foresaw, the caller gets our error body and nothing of the trace."""

from typing import Any

import httpx
import sqlalchemy as sa

from backend.kernel.request import open_context
from backend.rest import build_rest
from backend.runtime import Runtime


async def test_a_mistake_of_ours_is_json_with_the_request_id_and_without_a_trace(runtime: Runtime) -> None:
    rest = build_rest(runtime)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["bourse"] = open_context(scope, started=0.0, trusted_proxy_hops=0)
        await rest(scope, receive, send)

    async with runtime.db.write() as unit:
        await unit.session.execute(sa.text("ALTER TABLE sign_in_session RENAME TO hidden"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/auth/session", headers={"cookie": "__Host-bourse=x", "x-request-id": "req_0123456789"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == "internal_error"
    assert "req_0123456789" in answer.json()["error"]["message"]
    assert "sign_in_session" not in answer.text
