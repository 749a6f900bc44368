"""Errors in Anthropic's shape: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

The status stays what it is everywhere under `/v1`; the type is Anthropic's word for it, or the nearest that there is. Our own `code` and
`param` are beside it, for those who know them. Source: platform.claude.com/docs/en/api/errors.
"""

from collections.abc import Mapping
from typing import Any

MESSAGES = "/v1/messages"
_BY_CODE = {
    "invalid_api_key": "authentication_error",
    "model_not_found": "not_found_error",
    "not_found": "not_found_error",
    "request_too_large": "request_too_large",
    "overloaded": "overloaded_error",
    "upstream_timeout": "timeout_error",
}
_BY_TYPE = {
    "permission_error": "permission_error",
    "insufficient_quota": "billing_error",
    "rate_limit_error": "rate_limit_error",
    "invalid_request_error": "invalid_request_error",
}


def as_anthropic(body: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """The same error in Anthropic's shape.

    Args:
        body: in OpenAI's shape, as `as_openai` makes it.
    """
    given = body.get("error")
    error: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    code, kind, param = error.get("code"), error.get("type"), error.get("param")
    known = _BY_CODE.get(code) if isinstance(code, str) else None
    told: dict[str, Any] = {
        "type": known or (_BY_TYPE.get(kind, "api_error") if isinstance(kind, str) else "api_error"),
        "message": str(error.get("message") or ""),
    }
    if param is not None:
        told["param"] = param
    if code is not None:
        told["code"] = code
    return {"type": "error", "error": told, "request_id": request_id}


def speaks_anthropic(path: str) -> bool:
    """Whether who asks for this path reads errors in Anthropic's shape."""
    return path == MESSAGES or path.startswith(MESSAGES + "/")
