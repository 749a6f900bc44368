"""Anthropic's clients send their key as `x-api-key`."""

from backend.kernel.request import Scope


def with_authorization(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers with Anthropic's `x-api-key` where everybody looks for a key; who sends both is known by `authorization`."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    key = None
    for name, value in headers:
        if name == b"authorization":
            return headers
        if name == b"x-api-key":
            key = value
    return headers if key is None else [*headers, (b"authorization", b"Bearer " + key)]
