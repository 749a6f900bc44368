"""The gateway's addresses in the OpenAPI document. They are dispatched by hand (`app.py`), so they are described by hand, too."""

from typing import Any

from backend.gateway.document_schemas import ANSWERS, MODEL, REQUESTS, TEXT, Json, named, shape

ERRORS = {
    400: "the request is not valid; `error.param` names the field",
    401: "the key is missing, unknown, expired or revoked",
    403: "the key may not, or its budget is used up",
    404: "there is no such model, or it is none of yours",
    408: "the body did not come in time",
    409: "a request with this `Idempotency-Key` is being answered",
    413: "the body is too large",
    415: "the body is compressed in a way that is not understood",
    422: "this `Idempotency-Key` belongs to another request, or the answer does not fit the schema that was asked for",
    429: "too much at once: `Retry-After` says when to come back",
    502: "the provider failed, and nobody else could answer",
    503: "nobody can answer right now",
    504: "the provider took too long",
}
_ASKING = tuple(ERRORS)
_READING = (400, 401, 403, 404, 429)
_EVENTS: Json = {"text/event-stream": {"schema": {"description": "server-sent events, with `stream: true`"}}}
_KEY: Json = {"security": [{"key": []}]}
_REPLAY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "a request that is sent again with it is answered as it was, and charged once",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def _json(title: str) -> Json:
    return {"application/json": {"schema": named(title)}}


def _refused(statuses: tuple[int, ...], body: str = "Error") -> Json:
    return {str(status): {"description": ERRORS[status], "content": _json(body)} for status in statuses}


def _asks(
    operation: str, summary: str, text: str, takes: Json, gives: Json, *, replays: bool = True, error: str = "Error", **more: Any
) -> dict[str, Json]:
    """A POST that may be a call of a model."""
    described = {
        "tags": ["gateway"],
        "operationId": operation,
        "summary": summary,
        "description": text,
        "requestBody": {"required": True, "content": takes},
        "responses": {"200": {"description": "the answer", "content": gives}, **_refused(_ASKING, error)},
        **_KEY,
        **more,
    }
    return {"post": described | ({"parameters": [_REPLAY]} if replays else {})}


def _reads(operation: str, summary: str, text: str, answer: str, *parameters: Json, method: str = "get") -> dict[str, Json]:
    described = {
        "tags": ["gateway"],
        "operationId": operation,
        "summary": summary,
        "description": text,
        "parameters": list(parameters),
        "responses": {"200": {"description": "the answer", "content": _json(answer)}, **_refused(_READING)},
        **_KEY,
    }
    return {method: described}


def _in_query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _in_path(name: str, description: str, example: str) -> Json:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": TEXT, "example": example}


def _form(title: str, file: str, required: tuple[str, ...], **fields: Json) -> Json:
    """A form with a file."""
    properties = {"model": MODEL, file: {"type": "string", "format": "binary"}, **fields}
    return {"multipart/form-data": {"schema": shape(title, ("model", file, *required), properties)}}


_SOUND: Json = {"audio/*": {"schema": {"type": "string", "format": "binary"}}}
_SAID: Json = _json("Transcription") | {kind: {"schema": TEXT} for kind in ("text/plain", "text/vtt", "application/x-subrip")} | _EVENTS
_RESPONSE = _in_path("response_id", "as `POST /v1/responses` gave it", "resp_0")
_SPEECH_FIELDS = {
    "response_format": {"enum": ["json", "verbose_json", "text", "srt", "vtt", "diarized_json"]},
    "language": TEXT,
    "prompt": TEXT,
}

PATHS: dict[str, dict[str, Json]] = {
    "/v1/models": _reads("list_callable_models", "The models that this key may call", "Routes, and what providers sell.", "ListedModels"),
    "/v1/models/{model}": _reads(
        "get_callable_model",
        "One of them",
        "By its name, which may hold slashes.",
        "ListedModel",
        _in_path("model", "as `GET /v1/models` names it", "sandbox/chat"),
    ),
    "/v1/chat/completions": _asks(
        "create_chat_completion",
        "Chat",
        "Whole, or streamed with `stream: true`. Fields that are not described here reach the provider.",
        _json("ChatRequest"),
        _json("ChatCompletion") | _EVENTS,
    ),
    "/v1/responses": _asks(
        "create_response",
        "OpenAI's Responses API",
        "In front of any chat model, whole or streamed.",
        _json("ResponseRequest"),
        _json("ModelResponse") | _EVENTS,
    ),
    "/v1/responses/{response_id}": {
        **_reads("get_response", "A response that was kept", "Of the same key's tenant.", "ModelResponse", _RESPONSE),
        **_reads("delete_response", "Forget it", "At once, with its input.", "DeletedResponse", _RESPONSE, method="delete"),
    },
    "/v1/responses/{response_id}/input_items": _reads(
        "list_response_input",
        "What it was asked",
        "The items of its input, by pages.",
        "ResponseItems",
        _RESPONSE,
        _in_query("limit", "items of a page", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        _in_query("order", "which end comes first", {"enum": ["asc", "desc"]}),
        _in_query("after", "the id of the last item of the page before", TEXT),
    ),
    "/v1/messages": _asks(
        "create_message",
        "Anthropic's Messages API",
        "In front of any chat model. The key may come in `x-api-key`, too.",
        _json("MessagesRequest"),
        _json("AnthropicMessage") | _EVENTS,
        replays=False,
        error="AnthropicError",
    ),
    "/v1/messages/count_tokens": _asks(
        "count_message_tokens",
        "Count a message's tokens",
        "Without a call; nothing is charged.",
        _json("TokenCountRequest"),
        _json("TokenCount"),
        replays=False,
        error="AnthropicError",
    ),
    "/v1/embeddings": _asks("create_embeddings", "Embeddings", "At most 10,000 inputs.", _json("EmbeddingsRequest"), _json("Embeddings")),
    "/v1/completions": _asks(
        "create_completion", "Completions", "The older form of chat.", _json("CompletionRequest"), _json("Completion") | _EVENTS
    ),
    "/v1/moderations": _asks(
        "create_moderation", "Moderations", "Whether a text is harmful.", _json("ModerationRequest"), _json("Moderation")
    ),
    "/v1/rerank": _asks("rerank", "Rerank documents", "In Cohere's and Jina's shape.", _json("RerankRequest"), _json("Reranking")),
    "/v1/images/generations": _asks(
        "create_image", "Images", "As `b64_json` or `url`, as the provider gives them.", _json("ImageRequest"), _json("Images") | _EVENTS
    ),
    "/v1/images/edits": _asks(
        "edit_image",
        "Edit an image",
        "A form with up to 16 files.",
        _form("ImageEdit", "image", ("prompt",), prompt=TEXT),
        _json("Images") | _EVENTS,
    ),
    "/v1/images/variations": _asks(
        "vary_image", "Variations of an image", "A form with one file.", _form("ImageVariation", "image", ()), _json("Images")
    ),
    "/v1/audio/speech": _asks("create_speech", "Speech", "Sound as it comes.", _json("SpeechRequest"), _SOUND | _EVENTS),
    "/v1/audio/transcriptions": _asks(
        "create_transcription",
        "Transcriptions",
        "A form with a file of at most 25 MiB.",
        _form("TranscriptionForm", "file", (), **_SPEECH_FIELDS),
        _SAID,
    ),
    "/v1/audio/translations": _asks(
        "create_translation", "Translations", "The same, in English.", _form("TranslationForm", "file", (), **_SPEECH_FIELDS), _SAID
    ),
    "/v1/budget": _reads(
        "get_own_budget",
        "What this key may still spend",
        "In each budget that binds it.",
        "KeyBudget",
        _in_query("user", "an end user of the key, where it limits them", TEXT),
    ),
    "/v1/usage": _reads(
        "list_own_calls",
        "This key's own calls",
        "The newest first.",
        "OwnCalls",
        _in_query("limit", "calls of a page", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
        _in_query("cursor", "`next_cursor` of the page before", TEXT),
        _in_query("since", "seconds since 1970 or ISO 8601", TEXT),
    ),
}
"""Operations by path and method."""

SCHEMAS: Json = {one["title"]: one for one in (*REQUESTS, *ANSWERS)}
