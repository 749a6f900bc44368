"""What `/v1` takes and gives, as OpenAPI tells it. The shapes are OpenAI's and Anthropic's: fields that are not named here go to the
provider and come back from it, so every object here is open."""

from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
ONE_OR_MORE: Json = {"type": "integer", "minimum": 1}
AMOUNT: Json = {"type": "number"}
FLAG: Json = {"type": "boolean"}
MODEL: Json = {"type": "string", "minLength": 1, "maxLength": 255, "description": "a route, `provider/model`, or a name of the catalog"}
OBJECT: Json = {"type": "object", "additionalProperties": True}


def shape(title: str, required: tuple[str, ...], properties: Json, example: Any = None, description: str = "") -> Json:
    """An open object."""
    made: Json = {"title": title, "type": "object", "required": list(required), "properties": properties, "additionalProperties": True}
    return made | ({"example": example} if example else {}) | ({"description": description} if description else {})


def or_null(kind: Json) -> Json:
    return {**kind, "type": [kind["type"], "null"]}


def many(kind: Json, **more: Any) -> Json:
    return {"type": "array", "items": kind, **more}


def named(title: str) -> Json:
    return {"$ref": f"#/components/schemas/{title}"}


_HELLO = [{"role": "user", "content": "Say hello."}]

REQUESTS = [
    shape("ChatMessage", ("role",), {"role": TEXT, "content": {"description": "a text, or parts"}}),
    shape(
        "ChatRequest",
        ("model", "messages"),
        {
            "model": MODEL,
            "messages": many(named("ChatMessage"), minItems=1),
            "stream": {**or_null(FLAG), "description": "server-sent events, of which the last is `[DONE]`"},
            "max_tokens": or_null(ONE_OR_MORE),
            "temperature": {
                "type": ["number", "null"],
                "minimum": 0,
                "description": "how far it may go depends on the model, mostly to 1 or 2",
            },
        },
        {"model": "sandbox/chat", "messages": _HELLO},
    ),
    shape(
        "EmbeddingsRequest",
        ("model", "input"),
        {
            "model": MODEL,
            "input": {"description": "a text, texts, or lists of tokens"},
            "dimensions": or_null(ONE_OR_MORE),
            "encoding_format": {"enum": ["float", "base64", None]},
        },
        {"model": "sandbox/embedding", "input": ["a ledger", "a book of accounts"], "dimensions": 64},
    ),
    shape(
        "CompletionRequest",
        ("model", "prompt"),
        {"model": MODEL, "prompt": {}, "max_tokens": or_null(ONE_OR_MORE), "stream": or_null(FLAG)},
        {"model": "sandbox/completion", "prompt": "Once upon a time", "max_tokens": 20},
    ),
    shape(
        "ModerationRequest", ("input",), {"model": or_null(MODEL), "input": {}}, {"model": "sandbox/moderation", "input": "peace and quiet"}
    ),
    shape(
        "RerankRequest",
        ("model", "query", "documents"),
        {"model": MODEL, "query": TEXT, "documents": many({}), "top_n": or_null(ONE_OR_MORE)},
        {
            "model": "sandbox/reranker",
            "query": "What is a ledger?",
            "documents": ["A bird.", "A ledger is a book of accounts."],
            "top_n": 1,
        },
    ),
    shape(
        "ImageRequest",
        ("model", "prompt"),
        {"model": MODEL, "prompt": TEXT, "n": or_null(ONE_OR_MORE), "size": or_null(TEXT), "quality": or_null(TEXT)},
        {"model": "sandbox/image", "prompt": "a ledger", "size": "1024x1024"},
    ),
    shape(
        "SpeechRequest",
        ("model", "input"),
        {"model": MODEL, "input": TEXT, "voice": {}, "response_format": or_null(TEXT)},
        {"model": "sandbox/speech", "input": "Every call is one row of the ledger.", "voice": "any", "response_format": "wav"},
    ),
    shape(
        "ResponseRequest",
        ("model", "input"),
        {
            "model": MODEL,
            "input": {"description": "a text, or items"},
            "instructions": or_null(TEXT),
            "stream": or_null(FLAG),
            "store": or_null(FLAG),
        },
        {"model": "sandbox/chat", "input": "Say hello.", "instructions": "Be brief."},
    ),
    shape(
        "MessagesRequest",
        ("model", "max_tokens", "messages"),
        {
            "model": MODEL,
            "max_tokens": ONE_OR_MORE,
            "messages": many(OBJECT, minItems=1),
            "system": {},
            "stream": or_null(FLAG),
        },
        {"model": "sandbox/chat", "max_tokens": 200, "messages": _HELLO},
    ),
    shape(
        "TokenCountRequest",
        ("model", "messages"),
        {"model": MODEL, "messages": many(OBJECT, minItems=1), "system": {}},
        {"model": "sandbox/chat", "messages": _HELLO},
    ),
]

_USAGE = shape(
    "TokenUsage", ("prompt_tokens", "total_tokens"), {name: COUNT for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
)
_BOURSE = {
    **OBJECT,
    "description": "who answered, what it cost (`cost_usd`), how it was counted; what docs/gateway.md describes under “The answer”",
}
_MONEY = or_null({**AMOUNT, "description": "USD"})
_INSTANT = or_null({**TEXT, "format": "date-time"})
_BUDGET = {
    "scope": {**TEXT, "description": "key, user, tenant or end_user"},
    "window": TEXT,
    "limit_usd": AMOUNT,
    "used_usd": AMOUNT,
    "remaining_usd": AMOUNT,
    "warning": FLAG,
    "exceeded": FLAG,
    "starts_at": _INSTANT,
    "resets_at": _INSTANT,
}
_CALL = {
    **{name: TEXT for name in ("id", "request_id", "endpoint", "outcome", "usage_source")},
    **{name: or_null(TEXT) for name in ("requested_model", "model", "provider", "error_code", "unit")},
    "created": COUNT,
    "status": or_null(COUNT),
    "stream": FLAG,
    "overrun": FLAG,
    **{name: or_null(COUNT) for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")},
    "attempts": COUNT,
    "cost_usd": {**_MONEY, "description": "USD; null: the price was unknown"},
    "saved_usd": _MONEY,
    "latency_ms": or_null(AMOUNT),
    "ttft_ms": or_null(AMOUNT),
}
_LISTED = {
    "id": TEXT,
    "object": {"const": "model"},
    "created": COUNT,
    "owned_by": TEXT,
    "alias": FLAG,
    "provider": TEXT,
    "deployment": TEXT,
    "enabled": FLAG,
    "context": or_null(COUNT),
    "price": or_null({**OBJECT, "description": "USD per 1M tokens; null: nobody knows"}),
    "capabilities": or_null(many(TEXT)),
    "candidates": many(named("ListedCandidate")),
}

ANSWERS = [
    shape("ListedCandidate", ("provider", "model"), {"provider": TEXT, "model": TEXT}),
    shape("ChatChoice", ("index", "message"), {"index": COUNT, "message": named("ChatAnswer"), "finish_reason": or_null(TEXT)}),
    shape("Embedding", ("index", "embedding"), {"index": COUNT, "embedding": {"description": "numbers, or base64"}}),
    shape("AnthropicErrorFacts", ("type", "message"), {"type": TEXT, "message": TEXT}),
    shape("ListedModel", tuple(_LISTED), _LISTED),
    shape("ListedModels", ("object", "data"), {"object": {"const": "list"}, "data": many(named("ListedModel"))}),
    shape(
        "ChatCompletion",
        ("id", "object", "created", "model", "choices"),
        {
            "id": TEXT,
            "object": {"const": "chat.completion"},
            "created": COUNT,
            "model": TEXT,
            "choices": many(named("ChatChoice")),
            "usage": {"oneOf": [named("TokenUsage"), {"type": "null"}]},
            "bourse": _BOURSE,
        },
    ),
    shape("ChatAnswer", ("role",), {"role": TEXT, "content": or_null(TEXT)}),
    _USAGE,
    shape(
        "Embeddings",
        ("object", "data", "model"),
        {
            "object": {"const": "list"},
            "data": many(named("Embedding")),
            "model": TEXT,
            "usage": {"oneOf": [named("TokenUsage"), {"type": "null"}]},
            "bourse": _BOURSE,
        },
    ),
    shape("Completion", ("choices",), {"id": TEXT, "choices": many(OBJECT), "bourse": _BOURSE}),
    shape("Moderation", ("results",), {"id": TEXT, "results": many(OBJECT), "bourse": _BOURSE}),
    shape("Reranking", ("results",), {"results": many(OBJECT), "bourse": _BOURSE}),
    shape("Images", ("data",), {"created": COUNT, "data": many(OBJECT), "bourse": _BOURSE}),
    shape("Transcription", ("text",), {"text": TEXT, "bourse": _BOURSE}),
    shape(
        "ModelResponse",
        ("id", "object", "status", "output"),
        {"id": TEXT, "object": {"const": "response"}, "status": TEXT, "output": many(OBJECT), "bourse": _BOURSE},
    ),
    shape("ResponseItems", ("object", "data"), {"object": {"const": "list"}, "data": many(OBJECT), "has_more": FLAG}),
    shape("DeletedResponse", ("id", "deleted"), {"id": TEXT, "deleted": {"const": True}}),
    shape(
        "AnthropicMessage",
        ("id", "type", "role", "content", "usage"),
        {"id": TEXT, "type": {"const": "message"}, "role": TEXT, "content": many(OBJECT), "stop_reason": or_null(TEXT), "usage": OBJECT},
    ),
    shape("TokenCount", ("input_tokens",), {"input_tokens": COUNT}),
    shape(
        "AnthropicError",
        ("type", "error"),
        {
            "type": {"const": "error"},
            "error": named("AnthropicErrorFacts"),
            "request_id": TEXT,
        },
    ),
    shape("BudgetInForce", tuple(_BUDGET), _BUDGET),
    shape(
        "KeyBudget",
        ("object", *_BUDGET, "budgets"),
        {"object": {"const": "budget"}, **_BUDGET, "budgets": many(named("BudgetInForce"))},
        description="the tightest budget that binds the key, and under `budgets` all of them",
    ),
    shape("OwnCall", tuple(_CALL), _CALL),
    shape(
        "OwnCalls",
        ("object", "data", "next_cursor"),
        {"object": {"const": "list"}, "data": many(named("OwnCall")), "next_cursor": or_null(TEXT)},
    ),
]
