"""What every error of ours has in common."""

import httpx


def assert_error(response: httpx.Response, expected_status: int, kind: str, code: str | None, param: str | None = None) -> str:
    assert response.status_code == expected_status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["type"], body["error"]["code"], body["error"]["param"]) == (kind, code, param)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    if expected_status in (429, 503):
        assert int(response.headers["retry-after"]) >= 0
    message: str = body["error"]["message"]
    assert message
    return message
