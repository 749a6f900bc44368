"""What Azure OpenAI adds to OpenAI's answers: the verdicts of its content filter. No I/O.

Sources: learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter (annotations, the asynchronous filter's chunks, which have
`content_filter_offsets` and no `delta`) and …/openai/reference (`innererror`). The first chunk of a stream has no choices, no id and no
object, only `prompt_filter_results`.
"""

from typing import Any

import orjson

CHUNK = "chat.completion.chunk"


def explained(body: Any) -> Any:
    """An error body whose message begins with what the content filter found, where it was the filter that refused; else the same."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(inner := error.get("innererror"), dict):
        return body
    found = findings(inner.get("content_filter_result") or inner.get("content_filter_results"))
    if not found:
        return body
    return {**body, "error": {**error, "message": f"Azure's content filter found {found}. {error.get('message') or ''}".strip()}}


def findings(results: Any) -> str:
    """The categories that made the filter refuse, such as `hate (high), jailbreak`; empty if there are none."""
    if not isinstance(results, dict):
        return ""
    found = []
    for category, result in results.items():
        if isinstance(result, dict) and result.get("filtered"):
            severity = result.get("severity")
            found.append(f"{category} ({severity})" if isinstance(severity, str) and severity else category)
    return ", ".join(found)


def edited(data: bytes) -> bytes:
    """The data of one event as OpenAI's clients know it: a chunk says that it is one, and its choices have a delta."""
    if b'"delta"' in data and b'"chat.completion.chunk"' in data:
        return data
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return data
    if not isinstance(chunk, dict):
        return data
    if chunk.get("error"):
        told = explained(chunk)
        return data if told is chunk else orjson.dumps(told)
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return data
    bare = [choice for choice in choices if isinstance(choice, dict) and not isinstance(choice.get("delta"), dict)]
    if chunk.get("object") == CHUNK and not bare:
        return data
    for choice in bare:
        choice["delta"] = {}
    return orjson.dumps({**chunk, "object": CHUNK})
