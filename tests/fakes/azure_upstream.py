"""What Azure OpenAI answers, as steps of an `OpenAIUpstream`: its content filter's annotations and refusals, its errors, its first chunk.

Wire: learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter and …/openai/reference; the chunks are as in
langchain-ai/langchain#18977 and openai/openai-python#1677, where they are recorded.
"""

from typing import Any

from tests.fakes.openai_upstream import USAGE, WORDS, Step, chunk, completion, events, whole

MODEL = "gpt-4o-2024-08-06"
SAFE = {category: {"filtered": False, "severity": "safe"} for category in ("hate", "self_harm", "sexual", "violence")}
PROMPT = [{"prompt_index": 0, "content_filter_results": {**SAFE, "jailbreak": {"filtered": False, "detected": False}}}]
FIRST = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": PROMPT}


def chunks(*, filtered: bool = False) -> list[Any]:
    """A stream in the default mode: every chunk with words has the filter's verdict; `filtered` cuts it off after some of them."""
    plain: dict[str, Any] = {"system_fingerprint": "fp_b705f0c291", "model": MODEL, "usage": None}

    def verdict(delta: dict[str, Any], finish: str | None, results: dict[str, Any]) -> dict[str, Any]:
        made = chunk(delta, finish, **plain)
        made["choices"][0]["content_filter_results"] = results
        return made

    said = [verdict({"content": word}, None, SAFE) for word in WORDS[: 4 if filtered else None]]
    results = {**SAFE, "violence": {"filtered": True, "severity": "medium"}} if filtered else {}
    end = verdict({}, "content_filter" if filtered else "stop", results)
    counted = chunk(None, usage=USAGE, model=MODEL, system_fingerprint="fp_b705f0c291")
    return [FIRST, verdict({"role": "assistant", "content": "", "refusal": None}, None, {}), *said, end, counted]


def annotation(start: int, end: int) -> dict[str, Any]:
    """What the asynchronous filter says of a part of the answer: a choice without a delta."""
    offsets = {"check_offset": start, "start_offset": start, "end_offset": end}
    choice = {"index": 0, "finish_reason": None, "content_filter_results": SAFE, "content_filter_offsets": offsets}
    return {"id": "", "object": "", "created": 0, "model": "", "choices": [choice], "usage": None}


def annotated() -> list[Any]:
    """A stream with the asynchronous filter: annotations come between the words, and after the end."""
    first, *rest = chunks()
    *said, end, counted = rest
    return [first, *said[:5], annotation(44, 80), *said[5:], end, annotation(80, 120), counted]


def streams(*values: Any) -> Step:
    return events(*values, end="done")


def answer() -> Step:
    """The good one, whole or streamed as asked."""
    filled = completion(model=MODEL, prompt_filter_results=PROMPT, system_fingerprint="fp_b705f0c291")
    filled["choices"][0]["content_filter_results"] = SAFE

    async def step(exchange: Any) -> None:
        await (streams(*chunks()) if exchange.seen.body.get("stream") else whole(filled))(exchange)

    return step


def refusal(**found: Any) -> dict[str, Any]:
    """The body of the 400 with which the filter refuses a prompt."""
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and "
        "retry. To learn more about our content filtering policies please read our documentation: "
        "https://go.microsoft.com/fwlink/?linkid=2198766"
    )
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {**SAFE, **found}}
    return {"error": {"message": message, "type": None, "param": "prompt", "code": "content_filter", "status": 400, "innererror": inner}}


UNKNOWN_CAP = {
    "error": {
        "message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "type": "invalid_request_error",
        "param": "max_tokens",
        "code": "unsupported_parameter",
    }
}
NO_DEPLOYMENT = {
    "error": {
        "code": "DeploymentNotFound",
        "message": "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please "
        "wait a moment and try again.",
    }
}
NO_CHAT = {"error": {"code": "OperationNotSupported", "message": "The chatCompletion operation does not work with the specified model."}}
BAD_KEY = {
    "error": {
        "code": "401",
        "message": "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
        "subscription and use a correct regional API endpoint for your resource.",
    }
}
BUSY = {
    "error": {
        "code": "429",
        "message": "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate "
        "limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds.",
    }
}
