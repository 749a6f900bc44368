"""The OpenAPI document: what FastAPI reads off the routes, made true and whole.

FastAPI promises a 422 of its own for every request; here every error has one shape and says 400 for what does not parse. What all
operations of a kind may answer is said here once, what one alone may answer beside its route; the gateway's addresses are described by
the gateway.
"""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backend import __version__
from backend.gateway.document import PATHS, SCHEMAS
from backend.validators import has_validator

Json = dict[str, Any]

ABOUT = (
    "Models, what they cost, how good they are and which to take; and the gateway that calls them. Every answer carries `x-request-id`; "
    "every error has the shape of `Error`. Parameters and fields that are not described here are refused where a program could mean "
    "something by them."
)
TAGS = {
    "catalog": "Every model: what it can do, who sells it, and what operators say of it.",
    "pricing": "What offers cost, over time and side by side, and the prices that wait for a person.",
    "benchmarks": "What models scored, by whom, with sources.",
    "matching": "Which model for a task, and what could be taken instead.",
    "prompts": "One prompt for many models: what it costs, and what they say.",
    "offers": "What is sold, in Price Runner's shape.",
    "carbon": "What calls are estimated to emit.",
    "gateway": "Calling models, in OpenAI's and Anthropic's shapes, with a key.",
    "sign-in": "Sessions of people.",
    "routes": "Names that callers may ask for, and what they stand for. For super admins.",
    "providers": "Whom the gateway asks, with which keys. For super admins; a tenant's own keys also for its admins.",
    "health": "How providers and candidates do. For super admins.",
    "ingestion": "Where models and prices come from. For super admins.",
    "document": "This document.",
}
"""In the order in which a reader wants them."""

ERRORS: Json = {
    "Error": {
        "title": "Error",
        "type": "object",
        "required": ["error"],
        "properties": {
            "success": {"type": "boolean", "description": "false, and below /api alone"},
            "error": {"$ref": "#/components/schemas/ErrorFacts"},
        },
    },
    "ErrorFacts": {
        "title": "ErrorFacts",
        "type": "object",
        "required": ["message", "type", "param", "code"],
        "properties": {
            "message": {"type": "string", "description": "one sentence for a person"},
            "type": {"type": "string"},
            "param": {"type": ["string", "null"], "description": "the field or parameter at fault"},
            "code": {"type": ["string", "null"], "description": "for programs; it stays the same when the message is reworded"},
            "details": {"type": "object", "additionalProperties": True},
        },
    },
}
_SHAPE = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_NOT_OURS = "HTTPValidationError"

ALWAYS = {503: "not ready, or the database cannot be reached: `Retry-After` says when to come back"}
READS_INPUT = {400: "a parameter or field is unknown, missing or not what it has to be; `error.param` names it"}
TAKES_A_BODY = {
    **READS_INPUT,
    408: "the body did not come in time",
    413: "the body is too large",
    415: "the body is compressed in a way that is not understood",
}
NEEDS_SOMEBODY = {401: "nobody is signed in, or the key is not good"}
NEEDS_A_PERSON = {**NEEDS_SOMEBODY, 403: "he may not, or the page of another site asks"}
NAMES_A_THING = {404: "there is no such thing"}
OPEN_READS = {"catalog", "pricing", "benchmarks", "matching", "carbon", "offers", "prompts"}
"""Rooms whose reads need a session or a key where `store.public` is false."""


def describe(api: FastAPI) -> Json:
    """The document of `api` with the gateway's part, made anew each time; takes half a second."""
    found = get_openapi(title="Bourse", version=__version__, description=ABOUT, routes=api.routes)
    found["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    found["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    found["servers"] = [{"url": "/", "description": "this installation"}]
    schemas = found["components"]["schemas"]
    for name in (_NOT_OURS, "ValidationError"):
        schemas.pop(name, None)
    # Settled in place below, and made once for each app.
    found["paths"] |= deepcopy(PATHS) | _ITSELF
    schemas |= SCHEMAS | ERRORS
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            if method == "get" and has_validator(path):
                operation["responses"].setdefault("304", {"description": "what the client has by `If-None-Match` is what there is"})
            _settle(path, operation)
    return found


def _settle(path: str, operation: Json) -> None:
    """Give an operation the errors that it shares with others, each in the one shape, and drop what it never answers."""
    said: Json = operation["responses"]
    if "422" in said and _NOT_OURS in str(said["422"]):
        del said["422"]
    for number, description in _shared(path, operation).items():
        said.setdefault(str(number), {"description": description})
    for status, answer in said.items():
        if answer.get("description") == "Successful Response":
            answer["description"] = "the answer" if "content" in answer else "done"
        if status >= "400":
            answer.setdefault("content", _SHAPE)
    operation["responses"] = dict(sorted(said.items()))


def _shared(path: str, operation: Json) -> dict[int, str]:
    errors = dict(ALWAYS)
    if operation.get("parameters"):
        errors |= READS_INPUT
    if "requestBody" in operation:
        errors |= TAKES_A_BODY
    if "{" in path:
        errors |= NAMES_A_THING
    needed = {name for one in operation.get("security", ()) for name in one}
    if "session" in needed:
        errors |= NEEDS_A_PERSON
    elif needed or OPEN_READS & set(operation["tags"]):
        errors |= NEEDS_SOMEBODY
    return errors


_ITSELF: Json = {
    "/openapi.json": {
        "get": {
            "tags": ["document"],
            "operationId": "get_openapi_document",
            "summary": "This document",
            "description": "The whole surface as OpenAPI 3.1; a page at `/docs/api` shows it.",
            "responses": {"200": {"description": "the document", "content": {"application/json": {"schema": {"type": "object"}}}}},
        }
    }
}
