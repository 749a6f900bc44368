"""OpenAI's embeddings out of Hugging Face's feature extraction, and back. No I/O.

Source: huggingface.co/docs/inference-providers/tasks/feature-extraction. Its answer has a vector for each text, and no count of tokens.
"""

import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import UnsupportedParameter
from backend.providers.dropping import Vocabulary

_OWN = ("normalize", "prompt_name", "truncate", "truncation_direction")
"""Fields of feature extraction that OpenAI has no words for."""
_VOCABULARY = Vocabulary("Hugging Face's embeddings", frozenset({"input", "model", "encoding_format", *_OWN}))


class NoVectors(ValueError):
    """What came is not one vector for each text; the message says what it is."""


def extraction_body(body: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The request. `defaults` are the operator's values of the fields that only feature extraction has.

    Raises:
        UnsupportedParameter: it cannot be said.
    """
    _VOCABULARY.check(body)
    texts = texts_of(body.get("input"))
    if texts is None:
        raise UnsupportedParameter("Hugging Face's feature extraction takes texts, not tokens.", param="input")
    own = {name: body.get(name, defaults.get(name)) for name in _OWN}
    return {"inputs": texts, **{name: value for name, value in own.items() if value is not None}}


def texts_of(given: Any) -> list[str] | None:
    """The texts of `input`, None if it is something else."""
    texts = [given] if isinstance(given, str) else given
    return texts if isinstance(texts, list) and texts and all([isinstance(text, str) for text in texts]) else None


def embeddings(value: Any, texts: int, model: str, encoding_format: Any, tokens: int | None) -> dict[str, Any]:
    """OpenAI's answer.

    Args:
        value: what the answer spells.
        texts: how many were sent.
        tokens: of all of them, where the server said so.

    Raises:
        NoVectors: it is not one vector for each text.
    """
    vectors = [value] if texts == 1 and isinstance(value, list) and value and _is_number(value[0]) else value
    if not isinstance(vectors, list) or len(vectors) != texts:
        raise NoVectors("another number of vectors than of texts")
    for vector in vectors:
        if isinstance(vector, list) and vector and isinstance(vector[0], list):
            raise NoVectors("a vector for each token instead of one for each text")
        if not isinstance(vector, list) or not vector or not all([_is_number(one) for one in vector]):
            raise NoVectors("what is no vector")
    shown = [_packed(vector) for vector in vectors] if encoding_format == "base64" else vectors
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(shown)]
    usage = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if tokens is not None else {}
    return {"object": "list", "data": data, "model": model, **usage}


def _packed(vector: list[float]) -> str:
    try:
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise NoVectors("numbers beyond 32 bits") from None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
