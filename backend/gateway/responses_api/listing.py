"""Pages of the items that a kept response was asked with."""

from typing import Any
from urllib.parse import parse_qsl

from backend.gateway.responses_api.kept import Item, Kept
from backend.gateway.responses_api.response import input_item_id
from backend.kernel.errors import BadRequest

_USUAL, _MOST = 20, 100
_TEXT_OF = {"assistant": "output_text"}
_USUALLY: dict[str, dict[str, Any]] = {"output_text": {"annotations": [], "logprobs": []}, "input_image": {"detail": "auto"}}
"""What may be left out of a part by who sends it, and is there for who reads it."""
_WITH_STATUS = frozenset({"function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"})


def page_of(kept: Kept, query: bytes) -> dict[str, Any]:
    """One page, newest first unless `order=asc`; `after` is the id of the last item of the page before.

    Raises:
        BadRequest: a parameter that cannot be meant.
    """
    given = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    limit, order, after = given.get("limit", str(_USUAL)), given.get("order", "desc"), given.get("after")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= _MOST):
        raise BadRequest(f"'limit' must be a whole number from 1 to {_MOST}.", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequest("'order' must be asc or desc.", param="order")
    items = [_listed(item, input_item_id(kept.response["id"], number)) for number, item in enumerate(kept.input)]
    if order == "desc":
        items.reverse()
    if after is not None:
        ids = [item["id"] for item in items]
        if after not in ids:
            raise BadRequest("There is no such item in this response.", param="after")
        items = items[ids.index(after) + 1 :]
    page = items[: int(limit)]
    ends = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return {"object": "list", "data": page, "first_id": ends[0], "last_id": ends[1], "has_more": len(items) > len(page)}


def _listed(item: Item, own_id: str) -> Item:
    """With an id, and a content in parts, whichever way it was written."""
    kind = item.get("type") or "message"
    listed = {"id": own_id, "type": kind, **{name: value for name, value in item.items() if value is not None}}
    if kind == "message":
        content = item.get("content")
        if isinstance(content, str):
            content = [{"type": _TEXT_OF.get(str(item.get("role")), "input_text"), "text": content}]
        if isinstance(content, list):
            listed["content"] = [
                {**_USUALLY.get(str(part.get("type")), {}), **part} if isinstance(part, dict) else part for part in content
            ]
        listed.setdefault("status", "completed")
    elif kind in _WITH_STATUS:
        listed.setdefault("status", "completed")
    return listed
