"""How each provider says the same things on its own wire: words, calls of tools, JSON, and what went wrong."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import anthropic_upstream as claude
from tests.fakes import azure_upstream as azure
from tests.fakes import bedrock_upstream as aws
from tests.fakes import gemini_upstream as google
from tests.fakes import huggingface_upstream as hub
from tests.fakes import ollama_upstream as ollama
from tests.fakes import openrouter_upstream as router
from tests.fakes.openai_upstream import USAGE, Exchange, Step, chunk, completion, sse, status, whole

Arguments = dict[str, Any]
Called = Sequence[tuple[str, Arguments]]
FAULTS = ("invalid", "credentials", "unknown", "limited", "failing")
"""The request is refused, the key is, there is no such model, too many requests, and the provider's own mistake."""


@dataclass(frozen=True)
class Voice:
    """One provider. `says` answers with words, `calls` with calls of tools: whole or streamed as it is asked.

    Args:
        settings: of the provider, but for `protocol`, `base_url` and how it is let in.
        faults: its answer to each of `FAULTS`.
        at: the path that its `base_url` has.
    """

    protocol: str
    model: str
    says: Callable[[str], Step]
    calls: Callable[[Called], Step]
    faults: dict[str, Step]
    at: str = "/v1"
    settings: dict[str, Any] = field(default_factory=dict)


def _shaped(lead: Iterable[Any] = (), **named: Any) -> tuple[Callable[[str], Step], Callable[[Called], Step]]:
    """OpenAI's shape. `lead`: what comes before the first chunk, as bytes or as events."""

    def answering(words: str | None, called: Called, finish: str) -> Step:
        tools = [
            {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for at, (name, given) in enumerate(called)
        ]
        answer = completion(words or "", finish=finish, **named)
        if tools:
            answer["choices"][0]["message"] = {"role": "assistant", "content": None, "tool_calls": tools}
        pieces = [chunk({"role": "assistant", "content": "" if words else None}, **named)]
        pieces += [chunk({"content": piece}, **named) for piece in _cut(words or "")]
        for at, tool in enumerate(tools):
            function: Any = tool["function"]
            begun = {**tool, "index": at, "function": {"name": function["name"], "arguments": ""}}
            pieces.append(chunk({"tool_calls": [begun]}, **named))
            deltas = [{"index": at, "function": {"arguments": piece}} for piece in _cut(function["arguments"])]
            pieces += [chunk({"tool_calls": [delta]}, **named) for delta in deltas]
        pieces += [chunk({}, finish, **named), chunk(None, usage=USAGE, **named)]

        async def step(exchange: Exchange) -> None:
            if not exchange.seen.body.get("stream"):
                await whole(answer)(exchange)
                return
            await exchange.head(content_type="text/event-stream")
            for one in (*lead, *pieces, "[DONE]"):
                await exchange.chunk(one if isinstance(one, bytes) else sse(one))
            await exchange.end()

        return step

    return lambda words: answering(words, (), "stop"), lambda called: answering(None, called, "tool_calls")


def _cut(words: str) -> list[str]:
    return [words[at : at + 5] for at in range(0, len(words), 5)]


def _openai_error(code: int, kind: str, words: str, name: str | None = None) -> Step:
    return status(code, {"error": {"message": words, "type": kind, "param": None, "code": name}})


def _claude_blocks(called: Called) -> list[claude.Block]:
    return [claude.tool_use(name, given, f"toolu_{at}") for at, (name, given) in enumerate(called)]


def _google_faults() -> dict[str, Step]:
    return {
        "invalid": google.whole(google.error(400, "INVALID_ARGUMENT", "Invalid value at 'contents'."), 400),
        "credentials": google.whole(google.BAD_KEY, 400),
        "unknown": google.whole(google.error(404, "NOT_FOUND", "models/gemini-0 is not found for API version v1beta."), 404),
        "limited": google.whole(google.EXHAUSTED, 429),
        "failing": google.whole(google.error(500, "INTERNAL", "An internal error has occurred."), 500),
    }


def _aws_faults() -> dict[str, Step]:
    return {
        "invalid": aws.failing(400, "ValidationException", "The model returned the following errors: messages: at least one is required"),
        "credentials": aws.failing(403, "UnrecognizedClientException", "The security token included in the request is invalid."),
        "unknown": aws.failing(404, "ResourceNotFoundException", "Could not resolve the foundation model from the provided identifier."),
        "limited": aws.failing(429, "ThrottlingException", "Too many requests, please wait before trying again."),
        "failing": aws.failing(500, "InternalServerException", "The system encountered an unexpected error during processing."),
    }


def _ollama_lines(*, words: str = "", tools: Sequence[Any] = ()) -> list[Any]:
    said = [ollama.said(piece) for piece in _cut(words)]
    return [*said, *([ollama.said("", tool_calls=list(tools))] if tools else []), ollama.said("", done=True)]


def _ollama_says(words: str) -> Step:
    return ollama.of(whole(ollama.said(words, done=True)), ollama.streams(*_ollama_lines(words=words)))


def _ollama_calls(called: Called) -> Step:
    tools = [{"function": {"name": name, "arguments": given}} for name, given in called]
    return ollama.of(whole(ollama.said("", done=True, tool_calls=tools)), ollama.streams(*_ollama_lines(tools=tools)))


_PLAIN, _PLAIN_TOOLS = _shaped()
_AZURE, _AZURE_TOOLS = _shaped([azure.FIRST], model=azure.MODEL, system_fingerprint="fp_b705f0c291")
_ROUTER, _ROUTER_TOOLS = _shaped([router.COMMENT, router.COMMENT], model=router.MODEL, provider="Anthropic")

VOICES = {
    "openai": Voice(
        "openai", "gpt-4o", _PLAIN, _PLAIN_TOOLS,
        {
            "invalid": _openai_error(400, "invalid_request_error", "Invalid 'messages': empty array."),
            "credentials": _openai_error(401, "invalid_request_error", "Incorrect API key provided: sk-ups***.", "invalid_api_key"),
            "unknown": _openai_error(404, "invalid_request_error", "The model `gpt-0` does not exist.", "model_not_found"),
            "limited": _openai_error(429, "tokens", "Rate limit reached for gpt-4o.", "rate_limit_exceeded"),
            "failing": _openai_error(500, "server_error", "The server had an error while processing your request."),
        },
        settings={"api_key": "sk-upstream-0123456789abcdef"},
    ),
    "azure": Voice(
        "azure", "chat-default", _AZURE, _AZURE_TOOLS,
        {
            "invalid": _openai_error(400, "invalid_request_error", "Invalid 'messages': empty array."),
            "credentials": status(401, azure.BAD_KEY),
            "unknown": status(404, azure.NO_DEPLOYMENT),
            "limited": status(429, azure.BUSY),
            "failing": _openai_error(500, "server_error", "The server had an error while processing your request.", "InternalServerError"),
        },
        at="", settings={"api_key": "0123456789abcdef0123456789abcdef"},
    ),
    "anthropic": Voice(
        "anthropic", "claude-sonnet-4-5-20250929",
        lambda words: claude.message(claude.text(words)),
        lambda called: claude.message(*_claude_blocks(called), stop="tool_use"),
        {
            "invalid": claude.failing(400, "invalid_request_error", "messages: at least one message is required"),
            "credentials": claude.failing(401, "authentication_error", "invalid x-api-key"),
            "unknown": claude.failing(404, "not_found_error", "model: claude-0"),
            "limited": claude.failing(429, "rate_limit_error", "This request would exceed your organization's rate limit."),
            "failing": claude.failing(529, "overloaded_error", "Overloaded"),
        },
        settings={"api_key": "sk-ant-api03-0123456789abcdef"},
    ),
    "gemini": Voice(
        "gemini", "gemini-2.5-flash",
        lambda words: google.answer(google.text(words)),
        lambda called: google.answer(*[google.call(name, given) for name, given in called]),
        _google_faults(), at="", settings={"api_key": "AIzaSyFakeKeyOfTheTests0123456789abcdef"},
    ),
    "vertex": Voice(
        "vertex", "gemini-2.5-pro",
        lambda words: google.answer(google.text(words)),
        lambda called: google.answer(*[google.call(name, given) for name, given in called]),
        {**_google_faults(), "credentials": google.whole(google.error(401, "UNAUTHENTICATED", "Request had invalid credentials."), 401)},
        at="", settings={"metadata": {"location": "europe-west4"}},
    ),
    "bedrock-claude": Voice(
        "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        lambda words: aws.claude(claude.text(words)),
        lambda called: aws.claude(*_claude_blocks(called), stop="tool_use"),
        _aws_faults(), at="",
    ),
    "bedrock-converse": Voice(
        "bedrock", "amazon.nova-pro-v1:0",
        lambda words: aws.converse({"text": words}),
        lambda called: aws.converse(
            *[{"toolUse": {"toolUseId": f"tooluse_{at}", "name": name, "input": given}} for at, (name, given) in enumerate(called)],
            stop="tool_use",
        ),
        _aws_faults(), at="",
    ),
    "openrouter": Voice(
        "openrouter", router.MODEL, _ROUTER, _ROUTER_TOOLS,
        {
            "invalid": status(400, {"error": {"message": "Input required: specify \"prompt\" or \"messages\"", "code": 400}}),
            "credentials": status(401, {"error": {"message": "No auth credentials found", "code": 401}}),
            "unknown": status(404, router.NO_ENDPOINTS),
            "limited": status(429, {"error": {"message": "Rate limit exceeded: free-models-per-min.", "code": 429}}),
            "failing": status(502, router.provider_error(502, "upstream connect error")),
        },
        settings={"api_key": "sk-or-v1-0123456789abcdef0123456789abcdef"},
    ),
    "huggingface": Voice(
        "huggingface", hub.MODEL, _PLAIN, _PLAIN_TOOLS,
        {
            "invalid": status(422, hub.INVALID),
            "credentials": status(401, hub.BAD_TOKEN),
            "unknown": status(400, hub.NOT_SERVED),
            "limited": status(429, hub.OVERLOADED),
            "failing": status(424, hub.FAILED),
        },
        settings={"api_key": "hf_0123456789abcdefghijklmnopqrstuvwx"},
    ),
    "litellm": Voice(
        "litellm", f"ollama_chat/{ollama.MODEL}", _ollama_says, _ollama_calls,
        {
            "invalid": whole({"error": "invalid message content type"}, 400),
            "credentials": whole({"error": "unauthorized"}, 401),
            "unknown": whole({"error": f"model '{ollama.MODEL}' not found"}, 404),
            "limited": whole({"error": "too many requests"}, 429),
            "failing": whole({"error": "llama runner process has terminated"}, 500),
        },
        at="", settings={"api_key": "ollama-key-0123456789abcdef0123", "metadata": {"allow_litellm": True}},
    ),
}  # fmt: skip
