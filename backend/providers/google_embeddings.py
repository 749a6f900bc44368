"""Embeddings of Google's models, from OpenAI's shape and back. No I/O.

With an API key: `batchEmbedContents` (ai.google.dev/api/embeddings), at most 100 texts. On Vertex AI: `predict`, of Gemini's models one
text at a time, of the others so many that the longest fit into the 20,000 tokens of a request; texts that are too long are refused there
rather than cut silently (cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api).
"""

from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.dropping import Vocabulary

BATCH = "batchEmbedContents"
MOST_OF_A_BATCH = 100
PREDICT = "predict"
_MOST_OF_A_PREDICTION = 9
_VOCABULARY = Vocabulary("Google's embeddings", frozenset({"model", "input", "dimensions", "encoding_format", "task_type", "title"}))


def predictions_at_once(model: str) -> int:
    """How many texts a model on Vertex AI takes in one request."""
    return 1 if "gemini" in model else _MOST_OF_A_PREDICTION


def batch_body(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Raises UnsupportedParameter: it cannot be said there."""
    path = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
    more = _options(body, {"dimensions": "outputDimensionality", "task_type": "taskType", "title": "title"})
    return {"requests": [{"model": path, "content": {"parts": [{"text": text}]}, **more} for text in _texts(body)]}


def prediction_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """Raises UnsupportedParameter: it cannot be said there."""
    more = _options(body, {"task_type": "task_type", "title": "title"})
    size = {"outputDimensionality": body["dimensions"]} if body.get("dimensions") else {}
    return {"instances": [{"content": text, **more} for text in _texts(body)], "parameters": {"autoTruncate": False, **size}}


def from_batch(value: Mapping[str, Any], model: str) -> tuple[dict[str, Any], Usage | None]:
    """What of it is no vector is left out, and is missed by whoever counts them."""
    given = value.get("embeddings")
    vectors = [one.get("values") for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    told = value.get("usageMetadata")
    return _embeddings(vectors, model, told.get("promptTokenCount") if isinstance(told, dict) else None)


def from_prediction(value: Mapping[str, Any], model: str) -> tuple[dict[str, Any], Usage | None]:
    """As `from_batch`."""
    given = value.get("predictions")
    found = [one.get("embeddings") for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    embeddings = [one for one in found if isinstance(one, dict)]
    counts = [_count((one.get("statistics") or {}).get("token_count")) for one in embeddings]
    tokens = None if not counts or None in counts else sum(count for count in counts if count is not None)
    return _embeddings([one.get("values") for one in embeddings], model, tokens)


def _embeddings(vectors: list[Any], model: str, tokens: Any) -> tuple[dict[str, Any], Usage | None]:
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors) if isinstance(vector, list)]
    value: dict[str, Any] = {"object": "list", "data": data, "model": model}
    counted = _count(tokens)
    if counted is None:
        return value, None
    return {**value, "usage": {"prompt_tokens": counted, "total_tokens": counted}}, Usage(input=counted)


def _count(value: Any) -> int | None:
    return int(value) if type(value) in (int, float) and 0 <= value < 2**31 else None


def _texts(body: Mapping[str, Any]) -> list[str]:
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise UnsupportedParameter("This provider embeds texts, not lists of tokens.", param="input")
    return texts


def _options(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    _VOCABULARY.check(body)
    return {theirs: body[ours] for ours, theirs in names.items() if body.get(ours) is not None}
