"""Why an answer ended, in Anthropic's words.

OpenAI's `finish_reason` says less: `stop` is the end of a turn and a stop sequence alike. Where a server says more beside it, that counts:
`stop_reason`, the sequence that was met (vLLM, and our own Anthropic adapter), and `native_finish_reason` (OpenRouter, and our own).
"""

from collections.abc import Mapping
from typing import Any

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_NATIVE = frozenset({"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"})


def stopped(choice: Mapping[str, Any], refusal: str) -> dict[str, Any]:
    """`stop_reason`, `stop_sequence` and `stop_details` of an answer.

    Args:
        choice: with the `finish_reason`.
        refusal: why the model refused, "" where it did not say.
    """
    finish, native, met = choice.get("finish_reason"), choice.get("native_finish_reason"), choice.get("stop_reason")
    sequence = met if isinstance(met, str) and met and finish == "stop" and met not in _NATIVE else None
    if sequence is not None:
        reason = "stop_sequence"
    elif isinstance(native, str) and native in _NATIVE and native != "stop_sequence":
        reason = native
    else:
        reason = _REASONS.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"
    if refusal and reason == "end_turn":
        reason = "refusal"
    details = {"type": "refusal", "category": None, "explanation": refusal or None} if reason == "refusal" else None
    return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}
