"""What OpenRouter answers, as steps of an `OpenAIUpstream`: comments while it waits, what an answer cost, errors of providers behind it.

Wire: openrouter.ai/docs/api/reference/streaming, …/errors-and-debugging, …/overview and openrouter.ai/docs/use-cases/usage-accounting;
pictures, speech, transcripts and rankings as in openrouter.ai/openapi.json (createImages, createAudioSpeech, createAudioTranscriptions,
createRerank).
"""

from typing import Any

from tests.fakes.openai_upstream import TEXT, WORDS, Exchange, Step, sse, whole

MODEL = "anthropic/claude-sonnet-4.5"
COMMENT = b": OPENROUTER PROCESSING\n\n"
# 1,000 tokens of prompt of which 600 were cached and 100 written, 50 of answer of which 20 thought, at 3, 0.3, 3.75 and 15 USD per 1M.
COST = (300 * 3 + 600 * 0.3 + 100 * 3.75 + 50 * 15) / 1_000_000
USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "cost": COST,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 100, "audio_tokens": 0, "video_tokens": 0},
    "cost_details": {"upstream_inference_cost": None, "upstream_inference_prompt_cost": 0.0, "upstream_inference_completions_cost": 0.0},
    "completion_tokens_details": {"reasoning_tokens": 20, "image_tokens": 0},
}
THOUGHT = [{"type": "reasoning.text", "text": "Foxes jump.", "format": "anthropic-claude-v1", "index": 0, "signature": "c2ln"}]


def completion(*, usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": TEXT, "refusal": None, "reasoning": "Foxes jump.", "reasoning_details": THOUGHT}
    choice = {"logprobs": None, "finish_reason": "stop", "native_finish_reason": "end_turn", "index": 0, "message": message, **more}
    named = {"id": "gen-1763667000-abc", "provider": "Anthropic", "model": MODEL, "object": "chat.completion", "created": 1_763_667_000}
    return {**named, "choices": [choice], "usage": usage}


def chunk(delta: dict[str, Any], finish: str | None = None, native: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "native_finish_reason": native, "logprobs": None}
    named = {"id": "gen-1763667000-abc", "provider": "Anthropic", "model": MODEL, "object": "chat.completion.chunk"}
    return {**named, "created": 1_763_667_000, "choices": [choice], **more}


def chunks(*, usage: Any = USAGE) -> list[Any]:
    thought = {"role": "assistant", "content": "", "reasoning": "Foxes jump.", "reasoning_details": THOUGHT}
    said = [chunk({"role": "assistant", "content": word}) for word in WORDS]
    end = chunk({"role": "assistant", "content": ""}, "stop", "end_turn")
    return [chunk(thought), *said, end, chunk({"role": "assistant", "content": ""}, usage=usage)]


def answer(*, usage: Any = USAGE) -> Step:
    """The good one, whole or streamed as asked; streams begin with comments."""

    async def step(exchange: Exchange) -> None:
        if not exchange.seen.body.get("stream"):
            await whole(completion(usage=usage))(exchange)
            return
        await exchange.head(content_type="text/event-stream")
        for data in (COMMENT, COMMENT, *map(sse, chunks(usage=usage)), COMMENT, sse("[DONE]")):
            await exchange.chunk(data)
        await exchange.end()

    return step


def broken(code: Any = "server_error", message: str = "Provider disconnected unexpectedly") -> dict[str, Any]:
    """The event that ends a stream whose provider failed in the middle."""
    return chunk({"content": ""}, "error", None, error={"code": code, "message": message})


def provider_error(code: int, raw: Any) -> dict[str, Any]:
    return {"error": {"message": "Provider returned error", "code": code, "metadata": {"raw": raw, "provider_name": "DeepInfra"}}}


FLAGGED = {
    "error": {
        "code": 403,
        "message": "openai/gpt-4o requires moderation on OpenRouter. Your input was flagged.",
        "metadata": {"reasons": ["violence", "hate"], "flagged_input": "…", "provider_name": "OpenAI", "model_slug": "openai/gpt-4o"},
    }
}
NO_CREDIT = {"error": {"message": "This request requires more credits, or fewer max_tokens.", "code": 402}}
NO_ENDPOINTS = {"error": {"message": "No endpoints found for openai/nothing.", "code": 404}}


def limited(reset_ms: int) -> dict[str, Any]:
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset_ms)}
    return {"error": {"message": "Rate limit exceeded: free-models-per-min. ", "code": 429, "metadata": {"headers": headers}}}


PICTURE = "iVBORw0KGgo="


def images(many: int = 1, *, usage: Any = None) -> dict[str, Any]:
    used = {"completion_tokens": 4175, "cost": 0.04, "prompt_tokens": 12, "total_tokens": 4187} if usage is None else usage
    return {"created": 1_748_372_400, "data": [{"b64_json": PICTURE, "media_type": "image/png"}] * many, "usage": used}


def transcript(text: str, **usage: Any) -> dict[str, Any]:
    return {"text": text, "usage": {"cost": 0.000508, **usage}}


def speech(data: bytes, content_type: str = "audio/mpeg") -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=content_type, headers=["x-generation-id: gen-tts-1763667000-abc"])
        await exchange.chunk(data)
        await exchange.end()

    return step


def ranking(*scores: tuple[int, float], **usage: Any) -> dict[str, Any]:
    results = [{"index": index, "relevance_score": score, "document": {"text": "…"}} for index, score in scores]
    return {"id": "gen-rerank-1", "model": "cohere/rerank-v3.5", "provider": "Cohere", "results": results, "usage": usage}
