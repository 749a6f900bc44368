"""Cohere's embeddings on Bedrock, third and fourth generation, and its and Amazon's models that rank documents; no I/O.

Sources: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html, …/model-parameters-embed-v4.html, …/rerank-use.html
(InvokeModel with a query, documents and `top_n`; Cohere's with `api_version` 2).
"""

import re
from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers.dropping import Vocabulary

COHERE = "cohere"
MOST_TEXTS = 96
INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
_EMBEDDERS = re.compile(r"cohere\.embed-")
_RANKERS = re.compile(r"(?:cohere|amazon)\.rerank-")
_SIZE_OF_V3 = 1024
_EMBEDDING = Vocabulary("Cohere's embeddings", frozenset({"model", "input", "dimensions", "encoding_format", "input_type", "truncate"}))
_RANKING = Vocabulary(
    "Bedrock's models that rank",
    frozenset({"model", "query", "documents", "top_n"}),
    {"return_documents": (False,), "rank_fields": (["text"],)},
)


def check_cohere(metadata: Mapping[str, Any]) -> None:
    """Raises ValueError: a field of the metadata is not what it must be."""
    if metadata.get("bedrock_embed_input_type") not in (None, *INPUT_TYPES):
        raise ValueError(f"metadata.bedrock_embed_input_type is {', '.join(INPUT_TYPES)}")


def embeds(model: str, metadata: Mapping[str, Any]) -> bool:
    return _EMBEDDERS.search(model) is not None or metadata.get("bedrock_embedding_format") == COHERE


def ranks(model: str) -> bool:
    return _RANKERS.search(model) is not None


def embedding_body(body: Mapping[str, Any], model: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The body for `invoke` of at most 96 texts.

    Args:
        metadata: `bedrock_embed_dims` and `bedrock_embed_input_type` stand where the caller says nothing.

    Raises:
        UnsupportedParameter: with `param`.
    """
    _EMBEDDING.check(body)
    given = body["input"]
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise UnsupportedParameter("Cohere embeds texts, and no tokens.", param="input")
    kind = body.get("input_type") or metadata.get("bedrock_embed_input_type") or INPUT_TYPES[0]
    out: dict[str, Any] = {"texts": texts, "input_type": kind, "embedding_types": ["float"]}
    if body.get("truncate"):
        out["truncate"] = body["truncate"]
    if "-v3" not in model:
        size = body.get("dimensions") or metadata.get("bedrock_embed_dims")
        return out | ({"output_dimension": size} if size else {})
    if body.get("dimensions") not in (None, _SIZE_OF_V3):
        raise UnsupportedParameter(f"This model's vectors have {_SIZE_OF_V3:,} dimensions, if they are not fewer.", param="dimensions")
    return out


def embedding_answer(answer: Mapping[str, Any], model: str, tokens: int | None) -> tuple[dict[str, Any], Usage | None]:
    """OpenAI's list of embeddings.

    Args:
        tokens: of all texts, as Bedrock counted them.

    Raises:
        LookupError, TypeError, AttributeError: it is none.
    """
    given = answer["embeddings"]
    vectors = given["float"] if isinstance(given, dict) else given
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    value: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if tokens is None:
        return value, None
    return {**value, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}, Usage(input=tokens)


def ranking_body(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The body for `invoke` of a query and its documents.

    Raises:
        UnsupportedParameter: with `param`.
    """
    _RANKING.check(body)
    texts = [one.get("text") if isinstance(one, dict) else one for one in body["documents"]]
    odd = next((at for at, text in enumerate(texts) if not isinstance(text, str)), None)
    if odd is not None:
        raise UnsupportedParameter("Bedrock ranks texts, and objects that have one in 'text'.", param=f"documents[{odd}]")
    out: dict[str, Any] = {"query": body["query"], "documents": texts, "top_n": min(body.get("top_n") or len(texts), len(texts))}
    return {**out, "api_version": 2} if "cohere." in model else out


def ranking_answer(answer: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Cohere's answer. Raises KeyError, TypeError, AttributeError: it is none."""
    results = [{"index": one["index"], "relevance_score": one["relevance_score"]} for one in answer["results"]]
    return {"model": model, "results": results}
