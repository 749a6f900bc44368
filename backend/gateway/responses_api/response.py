"""The response object: what an answer is called, what it repeats of its request, and how it ended.

Ids of items say which response they belong to, so that one that is referred to is found without an index of its own.
"""

from typing import Any

from backend.gateway.responses_api.body import SIGNED_THOUGHTS, Asked, echo
from backend.providers.openai_usage import usage_from_openai

Item = dict[str, Any]
_TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
"""What a response says that it was served by; other words are a provider's own, and clients refuse them."""
_PREFIX = "resp_"
_ULID = 26
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Identity:
    """Of one response.

    Args:
        created: Unix time.
        stored: whether it is going to be kept.
    """

    def __init__(self, response_id: str, request: Asked, created: int, *, stored: bool) -> None:
        self.id = response_id
        self._ulid = response_id[len(_PREFIX) :]
        self._created = created
        self._stored = stored
        self._echo = echo(request)
        self.request = request
        self.model = request.model

    def item_id(self, prefix: str, number: int) -> str:
        """Of the item at that place of the output."""
        return f"{prefix}_{self._ulid}o{number}"

    def shows_signed(self) -> bool:
        return SIGNED_THOUGHTS in self.request.include

    def head(self, status: str) -> dict[str, Any]:
        """The response without anything that has been generated."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": [],
            "usage": None,
            "store": self._stored,
            **self._echo,
        }

    def ended(self, finish_reason: Any, output: list[Item], *, usage: Any, tier: Any, now: int) -> dict[str, Any]:
        """The response once the answer is there, completed or incomplete as its chat says that it finished."""
        reason = incomplete_reason(finish_reason)
        whole = self.head("completed" if reason is None else "incomplete")
        whole["output"] = output
        whole["usage"] = response_usage(usage)
        if reason is None:
            whole["completed_at"] = now
        else:
            whole["incomplete_details"] = {"reason": reason}
        if isinstance(tier, str) and tier in _TIERS:
            whole["service_tier"] = tier
        return whole


def input_item_id(response_id: str, number: int) -> str:
    """Of the item at that place of the input, where it came without an id."""
    return f"item_{response_id[len(_PREFIX) :]}i{number}"


def is_response_id(text: str) -> bool:
    """Whether a response of ours could have this id."""
    rest = text[len(_PREFIX) :]
    return text.startswith(_PREFIX) and len(rest) == _ULID and rest.isascii() and rest.isalnum()


def response_of(item_id: str) -> str | None:
    """The id of the response that an item is a part of; None where the item's own id says nothing of it."""
    _, _, rest = item_id.partition("_")
    return _PREFIX + rest[:_ULID] if len(rest) > _ULID and rest.isascii() and rest.isalnum() else None


def incomplete_reason(finish_reason: Any) -> str | None:
    """Why an answer that finished so is incomplete; None where it is not."""
    return _REASONS.get(finish_reason) if isinstance(finish_reason, str) else None


def response_usage(usage: Any) -> dict[str, Any] | None:
    """Chat's `usage` in the words of the Responses API; None where the provider did not count."""
    buckets = usage_from_openai(usage)
    if buckets is None:
        return None
    taken, made = buckets.total_input, buckets.total_output
    written = buckets.cache_write + buckets.cache_write_1h
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": buckets.cache_read, "cache_write_tokens": written},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": buckets.reasoning},
        "total_tokens": taken + made,
    }


def shown(item: Item, identity: Identity) -> Item:
    """An item as its caller sees it: signed thoughts only where they are asked for."""
    if "encrypted_content" not in item or identity.shows_signed():
        return item
    return {name: value for name, value in item.items() if name != "encrypted_content"}
