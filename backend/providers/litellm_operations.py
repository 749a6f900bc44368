"""What litellm is asked for beside chat, and what it answers, in OpenAI's shape. No I/O, and litellm is not imported here.

As for chat, only the fields that are named here become arguments: to litellm any other may be an address, a key or a callback.
Source: `aembedding`, `arerank`, `atranscription` in litellm/main.py and litellm/rerank_api/main.py, `aimage_generation` in
litellm/images/main.py.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.answer_events import ANSWERED_WHOLE, as_text
from backend.providers.dropping import Vocabulary
from backend.providers.file_kinds import sound_type
from backend.providers.openai_usage import usage_from_openai, usage_from_operation
from backend.providers.provider import Operation, OperationAnswer, OperationRequest

FUNCTIONS: Mapping[Operation, str] = {
    "embeddings": "aembedding",
    "rerank": "arerank",
    "images.generations": "aimage_generation",
    "audio.transcriptions": "atranscription",
}
MOST_TEXTS = 96
"""The least that one of its larger providers takes at once (Cohere)."""
_FIELDS: Mapping[Operation, frozenset[str]] = {
    "embeddings": frozenset({"input", "dimensions", "input_type"}),
    "rerank": frozenset({"query", "documents", "top_n"}),
    "images.generations": frozenset({"prompt", "n", "size", "quality", "style", "response_format"}),
    "audio.transcriptions": frozenset(),
}
"""Which are arguments of the same name. Of a recording no language and no prompt: litellm leaves out in silence what some of its providers
do not have."""
_ELSEWHERE = frozenset({"model", "encoding_format", "response_format"})
_USUAL = {**ANSWERED_WHOLE, "return_documents": (False,), "moderation": ("auto",), "background": ("auto",)}
_VOCABULARIES = {operation: Vocabulary("Providers behind litellm", fields | _ELSEWHERE, _USUAL) for operation, fields in _FIELDS.items()}


def operation_arguments(request: OperationRequest) -> dict[str, Any]:
    """The arguments that come from the caller, and the model.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, where it cannot be said.
    """
    body, operation = request.body, request.operation
    _VOCABULARIES[operation].check(body)
    out = {name: body[name] for name in _FIELDS[operation] if body.get(name) is not None}
    out["model"] = request.model
    if operation == "embeddings":
        out["input"] = body["input"] if isinstance(body["input"], list) else [body["input"]]
        if not all(isinstance(text, str) for text in out["input"]):
            raise UnsupportedParameter("Providers behind litellm embed texts, not tokens.", param="input")
    elif operation == "audio.transcriptions":
        out |= _recording(request)
    return out


def _recording(request: OperationRequest) -> dict[str, Any]:
    body, upload = request.body, request.uploads[0]
    if body.get("response_format") not in (None, "json", "text"):
        raise UnsupportedParameter("Transcripts by litellm are json or text.", param="response_format")
    kind = sound_type(upload.data)
    if kind is None:
        raise BadRequest("The file is no sound: wav, mp3, flac, ogg, m4a, webm or aac.", param="file")
    # Bytes, for a text would be the name of a file here.
    return {"file": (f"sound.{kind.partition('/')[2]}", upload.data, kind)}


def operation_answer(request: OperationRequest, value: dict[str, Any]) -> OperationAnswer:
    """OpenAI's answer out of what litellm's dumps without what is None; whether it is one is for who asked.

    Of images litellm makes usage up where the provider told none, so it counts only where something was written."""
    if request.operation == "audio.transcriptions":
        told: dict[str, Any] = {name: value[name] for name in ("text", "duration", "usage") if name in value}
        usage = usage_from_operation(told)
        if as_text(request.body) and isinstance(told.get("text"), str):
            return OperationAnswer(f"{told['text']}\n".encode(), None, usage, "text/plain; charset=utf-8")
        return OperationAnswer(orjson.dumps(told), told, usage)
    if request.operation == "images.generations":
        told = {"created": value.get("created"), "data": value.get("data")}
        usage = usage_from_operation(value)
        if usage is not None and usage.total_output:
            told["usage"] = value.get("usage")
            return OperationAnswer(orjson.dumps(told), told, usage)
        return OperationAnswer(orjson.dumps(told), told, None)
    if request.operation == "rerank":
        return OperationAnswer(orjson.dumps(value), value, usage_from_operation(value))
    told = {"object": "list", "data": value.get("data"), "model": request.model.partition("/")[2] or request.model}
    usage = usage_from_openai(value.get("usage"))
    if usage is not None:
        told["usage"] = {"prompt_tokens": usage.total_input, "total_tokens": usage.total_input}
    return OperationAnswer(orjson.dumps(told), told, usage)
