"""What Hugging Face answers, as steps of an `OpenAIUpstream`: the router's chat, feature extraction, and their many kinds of errors.

Wire: huggingface.co/docs/inference-providers/tasks/chat-completion, …/feature-extraction, …/text-to-image and
…/automatic-speech-recognition; huggingface/text-generation-inference `router/src/server.rs`.
"""

import json
from typing import Any

from tests.fakes.openai_upstream import Exchange, Step

MODEL = "deepseek-ai/DeepSeek-V3.1"
EMBEDDER = "intfloat/multilingual-e5-large"
PAINTER, HEARER = "stabilityai/stable-diffusion-xl-base-1.0", "openai/whisper-large-v3"
LOADING = {"error": f"Model {MODEL} is currently loading", "estimated_time": 20.0}
NOT_SERVED = {
    "error": {
        "message": "The requested model 'acme/nothing' is not supported by any provider you have enabled.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_supported",
    }
}
BAD_TOKEN = {"error": "Invalid username or password."}
NO_CREDIT = {"error": "You have exceeded your monthly included credits for Inference Providers. Subscribe to PRO to get 20x more."}
OVERLOADED = {"error": "Model is overloaded", "error_type": "overloaded"}
TOO_LONG = {
    "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and 64 "
    "`max_new_tokens`",
    "error_type": "validation",
}
INVALID = {"error": "Input validation error: `temperature` must be strictly positive", "error_type": "validation"}
FAILED = {"error": "Request failed during generation: Server error: CUDA out of memory", "error_type": "generation"}
IN_STREAM = {"error": {"message": "Input validation error: `inputs` must have less than 1024 tokens. Given: 1025", "http_status_code": 422}}


def vectors(*given: Any, tokens: int | None = 7) -> Step:
    """Feature extraction's answer; text-embeddings-inference says in headers what it computed."""

    async def step(exchange: Exchange) -> None:
        data = json.dumps(list(given)).encode()
        headers = [] if tokens is None else ["x-compute-type: cpu", "x-compute-characters: 30", f"x-compute-tokens: {tokens}"]
        await exchange.head(headers=headers, length=len(data))
        await exchange.send(data)

    return step


def picture(data: bytes, content_type: str = "image/jpeg") -> Step:
    """Text-to-image's answer: the bytes."""

    async def step(exchange: Exchange) -> None:
        await exchange.head(content_type=content_type, headers=["x-compute-type: gpu", "x-compute-time: 3.1"], length=len(data))
        await exchange.send(data)

    return step
