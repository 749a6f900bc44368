"""What was generated in a delta: where it is, how it reads, and how many tokens it is at least."""

from typing import Any

TOKEN_FIELDS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio", "reasoning_details")
_SPELLED = frozenset({"text", "name", "arguments", "function", "thinking", "summary", "transcript", "content"})
"""Where the words of a delta are that is not a text."""
LONGEST_TOKEN = 16


def tokens_at_least(content: str) -> int:
    """Of a chunk that holds several. Real tokens are not longer than this on average, runs of spaces apart."""
    return max(1, len(content.strip()) // LONGEST_TOKEN)


def spelled(value: Any) -> str:
    """What a delta says that is not a plain text: the name and arguments of a tool call, a thought."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(spelled, value))
    if isinstance(value, dict):
        return "".join([spelled(inner) for name, inner in value.items() if name in _SPELLED])
    return ""
