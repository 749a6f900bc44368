"""A server that speaks Ollama's own API, which is no OpenAI-shaped one: steps of an `OpenAIUpstream`.

Wire: github.com/ollama/ollama `docs/api.md`, "Generate a chat completion" and "Show Model Information": JSON objects, one a line.
"""

import asyncio
import json
from typing import Any

from tests.fakes.openai_upstream import TEXT, WORDS, Exchange, Step, whole

MODEL = "llama3.2"
COUNTED = {
    "total_duration": 4_883_583_458,
    "load_duration": 1_334_875,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 342_546_000,
    "eval_count": 12,
    "eval_duration": 4_535_599_000,
}
SHOWN = {
    "modelfile": "",
    "parameters": "",
    "template": "{{ .Prompt }}",
    "details": {"format": "gguf", "family": "llama", "families": ["llama"], "parameter_size": "3.2B", "quantization_level": "Q4_K_M"},
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
    "capabilities": ["completion", "tools"],
}


def said(content: str, *, done: bool = False, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more}
    end = {"done_reason": "stop", **COUNTED} if done else {}
    return {"model": MODEL, "created_at": "2026-11-20T12:00:00.000000Z", "message": message, "done": done, **end}


def lines() -> list[Any]:
    return [*[said(word) for word in WORDS], said("", done=True)]


def answer() -> Step:
    """The good one, whole or streamed as asked; questions about the model are answered, too."""
    return of(whole(said(TEXT, done=True)), streams(*lines()))


def of(answered: Step, streamed: Step | None = None) -> Step:
    async def step(exchange: Exchange) -> None:
        if exchange.seen.path == "/api/show":
            await whole(SHOWN)(exchange)
        elif exchange.seen.body.get("stream"):
            await (streamed or answered)(exchange)
        else:
            await answered(exchange)

    return step


def streams(*values: Any, end: str = "eof") -> Step:
    """These lines, then `end`: eof, reset, hang."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type="application/x-ndjson")
        for value in values:
            await exchange.chunk(value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n")
        if end == "eof":
            await exchange.end()
        elif end == "reset":
            await asyncio.sleep(0.05)
            exchange.reset()
        else:
            await exchange.until_hang_up()

    return step


def embedded(*vectors: list[float], tokens: int = 7) -> Step:
    """`POST /api/embed`, "Generate Embeddings"."""
    return whole({"model": MODEL, "embeddings": list(vectors), "total_duration": 14_143_917, "prompt_eval_count": tokens})
