"""Claude's messages through InvokeModel: Anthropic's own bodies and events, in Bedrock's envelope; no I/O.

The model is in the path and not in the body, which has `anthropic_version` and `anthropic_beta` instead of Anthropic's headers. Sources:
docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html, platform.claude.com/docs/en/build-with-claude
/claude-on-amazon-bedrock.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.errors import UnsupportedParameter
from backend.providers.anthropic_request import messages_body
from backend.providers.anthropic_stream import MALFORMED, MessageStream
from backend.providers.bedrock_messages import marked_at_its_end

VERSION = "bedrock-2023-05-31"
_METRICS = "amazon-bedrock-invocationMetrics"
_METRICS_MARK = _METRICS.encode()
_COUNTS = {
    "inputTokenCount": "input_tokens",
    "outputTokenCount": "output_tokens",
    "cacheReadInputTokenCount": "cache_read_input_tokens",
    "cacheWriteInputTokenCount": "cache_creation_input_tokens",
}
"""As Anthropic's `input_tokens`, `inputTokenCount` has nothing of the cache."""


def claude_body(body: Mapping[str, Any], model: str, cap: int | None, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The body for `invoke` and `invoke-with-response-stream`; the one given is not changed.

    Args:
        metadata: `anthropic_version`, `anthropic_beta` (a text or a list).

    Raises:
        BadRequest, UnsupportedParameter: with `param`.
    """
    tier = body.get("service_tier")
    if tier not in (None, "auto", "default"):
        raise UnsupportedParameter("Bedrock has no other tier than the default one for Claude's models.", param="service_tier")
    if body.get("anthropic_beta"):
        # Bedrock refuses the call for those that it does not have; the operator knows which it has.
        raise UnsupportedParameter("On Bedrock, betas are the operator's to ask for.", param="anthropic_beta")
    out = messages_body({**marked_at_its_end(body), "service_tier": None}, model, cap, stream=False)
    del out["model"]
    beta = metadata.get("anthropic_beta")
    if beta:
        out["anthropic_beta"] = [str(one) for one in beta] if isinstance(beta, list) else str(beta).replace(" ", "").split(",")
    return {"anthropic_version": str(metadata.get("anthropic_version") or VERSION), **out}


class ClaudeEvents:
    """The payloads of an InvokeModelWithResponseStream as `chat.completion.chunk` events."""

    __slots__ = ("_message",)

    def __init__(self, created: int) -> None:
        self._message = MessageStream(created)

    def event(self, kind: str, payload: bytes) -> bytes:
        """What an event becomes. Raises ThoughtTooLong: it cannot be held."""
        if kind != "chunk":
            return b""
        try:
            data = b64decode(orjson.loads(payload)["bytes"])
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError):
            return MALFORMED
        # Bedrock counts once more in the last event. That is looked at only where Anthropic's own events did not count.
        if _METRICS_MARK in data and not self._message.is_counted:
            return self._counted(data) + self._message.event(data)
        return self._message.event(data)

    def end(self) -> bytes:
        return b""

    def _counted(self, data: bytes) -> bytes:
        try:
            metrics = orjson.loads(data).get(_METRICS)
        except (orjson.JSONDecodeError, AttributeError):
            return b""
        if not isinstance(metrics, dict):
            return b""
        usage = {ours: metrics[theirs] for theirs, ours in _COUNTS.items() if metrics.get(theirs) is not None}
        return self._message.take({"type": "message_delta", "delta": {}, "usage": usage})
