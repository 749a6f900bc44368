"""What Bedrock's models do beside chat by `invoke`: who of them does what, and how it is asked for and read. No I/O."""

from collections.abc import Callable, Mapping
from typing import Any

from backend.kernel.errors import UnsupportedParameter
from backend.pricing.usage import Usage
from backend.providers import bedrock_cohere as cohere
from backend.providers import bedrock_titan as titan
from backend.providers.provider import Operation, OperationRequest

OPERATIONS: frozenset[Operation] = frozenset({"embeddings", "rerank", "images.generations"})
FIELDS = (*titan.TITAN_FIELDS, "bedrock_embed_input_type")
"""Of the metadata."""
Read = Callable[[dict[str, Any], int | None], tuple[dict[str, Any], Usage | None]]
"""An answer, and the tokens of the prompt as Bedrock counted them, into OpenAI's shape and what was used. Raises LookupError, TypeError,
AttributeError: it cannot be read."""


def inputs_at_once(model: str) -> int:
    """How many texts a model takes in one request."""
    return cohere.MOST_TEXTS if cohere.embeds(model, {}) else 1


def asking(request: OperationRequest, metadata: Mapping[str, Any], now: int) -> tuple[dict[str, Any], Read]:
    """The body for `invoke`, and what reads its answer.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, where the model does not do it, or it cannot be said.
    """
    body, model = request.body, request.model
    if request.operation == "rerank" and cohere.ranks(model):
        return cohere.ranking_body(body, model), lambda answer, _: (cohere.ranking_answer(answer, model), None)
    if request.operation == "embeddings" and cohere.embeds(model, metadata):
        return cohere.embedding_body(body, model, metadata), lambda answer, tokens: cohere.embedding_answer(answer, model, tokens)
    if request.operation == "embeddings" and titan.embeds(model, metadata):
        return titan.embedding_body(body, model, metadata), lambda answer, _: titan.embedding_answer(answer, model)
    if request.operation == "images.generations" and titan.draws(model, metadata):
        return titan.image_body(body, metadata), lambda answer, _: (titan.image_answer(answer, now), None)
    told = "On Bedrock, Titan and Cohere embed, Cohere and Amazon's reranker rank, Titan and Nova Canvas draw; this model does not."
    raise UnsupportedParameter(told, param="model")


def check(metadata: Mapping[str, Any]) -> None:
    """Raises ValueError: a field of the metadata is not what it must be."""
    if metadata.get("bedrock_embedding_format") not in (None, titan.TITAN_TEXT, cohere.COHERE):
        raise ValueError(f"metadata.bedrock_embedding_format is {titan.TITAN_TEXT} or {cohere.COHERE}")
    titan.check_titan(metadata)
    cohere.check_cohere(metadata)
