"""`input` and `prompt`: one text, many, or lists of tokens."""

from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest

MOST_TEXTS = 10_000


def check_texts(body: Mapping[str, Any], name: str, *, tokens: bool = True, most: int = MOST_TEXTS) -> list[Any]:
    """As many, each a text or a list of tokens.

    Raises:
        BadRequest: it is something else, or nothing.
    """
    value = body.get(name)
    shapes = "a text, a list of texts, or lists of tokens" if tokens else "a text or a list of texts"
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list) and value:
        if tokens and _are_tokens(value):
            return [value]
        if len(value) > most:
            raise BadRequest(f"'{name}' has more than {most:,} entries.", param=name)
        for at, one in enumerate(value):
            if not (isinstance(one, str) and one) and not (tokens and isinstance(one, list) and _are_tokens(one)):
                raise BadRequest(f"'{name}' must be {shapes}, none of them empty.", param=f"{name}[{at}]")
        return value
    raise BadRequest(f"'{name}' must be {shapes}.", param=name)


def _are_tokens(value: list[Any]) -> bool:
    return bool(value) and all(type(one) is int and 0 <= one < 2**31 for one in value)
