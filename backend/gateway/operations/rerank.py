"""`POST /v1/rerank`: documents in the order in which they answer a query, in the shape of Cohere and Jina.

Priced by the search (one query with up to 100 documents; a long document counts as several, docs.cohere.com/docs/how-does-cohere-pricing-
work) or by the token.
"""

from collections.abc import Mapping
from typing import Any

from backend.gateway.normal_form import normalized_bytes
from backend.gateway.operations.operation import Asked, JsonOperation, Metered, Unit, estimated_tokens, number_of, objects_in, text_of
from backend.kernel.errors import BadRequest
from backend.pricing.usage import Usage
from backend.providers.provider import Operation as Name
from backend.providers.provider import OperationAnswer

MOST_DOCUMENTS = 10_000
MOST_QUERY = 100_000
DOCUMENTS_A_SEARCH = 100
_TOKENS_A_PIECE = 500
"""What of a document counts as one, query included."""


class Rerank(JsonOperation):
    name: Name = "rerank"

    def check(self, asked: Asked) -> None:
        body = asked.body
        text_of(body, "query", MOST_QUERY)
        documents = body.get("documents")
        if not isinstance(documents, list) or not 1 <= len(documents) <= MOST_DOCUMENTS:
            raise BadRequest(f"'documents' must be a list of 1 to {MOST_DOCUMENTS:,} texts.", param="documents")
        for at, one in enumerate(documents):
            if not isinstance(one, str) and not (isinstance(one, dict) and one):
                raise BadRequest("A document is a text, or an object that has one.", param=f"documents[{at}]")
        number_of(body, "top_n", MOST_DOCUMENTS, 1)

    def prompt(self, asked: Asked) -> Mapping[str, Any]:
        return {"query": asked.body["query"], "documents": asked.body["documents"]}

    def most(self, asked: Asked, tokens: int, longest: int | None) -> Mapping[Unit, Usage]:  # noqa: ARG002
        query, documents = normalized_bytes(asked.body["query"]) + 1, asked.body["documents"]
        room = max(_TOKENS_A_PIECE // 5, _TOKENS_A_PIECE - query)
        pieces = sum(max(1, -(-len(str(one).encode()) // room)) for one in documents)
        # The model reads the query again with each document.
        return {"query": Usage(requests=_searches(pieces)), "token": Usage(input=tokens + query * (len(documents) - 1))}

    def fault(self, asked: Asked, answer: OperationAnswer) -> str | None:
        results, many = objects_in(answer, "results"), len(asked.body["documents"])
        if results is None:
            return "an answer without results"
        sound = all(type(one.get("index")) is int and 0 <= one["index"] < many and "relevance_score" in one for one in results)
        return None if sound else "a result that is about no document"

    def used(self, asked: Asked, answer: OperationAnswer | None) -> list[Metered]:
        body = asked.body
        told = []
        if answer is not None and answer.usage is not None:
            told = [Metered("token" if answer.usage.total_input else "query", answer.usage, "provider")]
        read = estimated_tokens(body["documents"]) + estimated_tokens(body["query"]) * len(body["documents"])
        searches = Usage(requests=_searches(len(body["documents"])))
        return [*told, Metered("query", searches, "counted"), Metered("token", Usage(input=read), "estimated")]


def _searches(documents: int) -> int:
    return -(-documents // DOCUMENTS_A_SEARCH)
