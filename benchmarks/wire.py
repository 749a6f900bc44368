"""What the load generator sends and the scripted upstream answers: one fixed call, whole and streamed, in OpenAI's shapes.

Every piece of content carries `WITNESS`, so a lost, doubled or rewritten piece shows as a wrong count at the receiving end.
"""

import json

MODEL = "bench-model"
WITNESS = b"wit7"
WHOLE_PIECES = 40  # words of content in a whole answer
PRICE = {"input": 0.15, "output": 0.60}  # USD per million tokens
STREAM_PIECES = 100  # content chunks in a stream, and completion tokens in its usage

_SYSTEM = "You are a terse assistant. Answer in plain words, name your sources, and say so when you do not know. " * 3
_QUESTION = "Compare the price of two language models for a prompt of 900 words and an answer of 200, in US dollars. " * 2


def request_body(model: str, *, stream: bool) -> bytes:
    """A chat request of about 650 bytes. A streamed one does not ask for usage, as most callers do not."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}],
        "temperature": 0.2,
        "max_tokens": 256,
    }
    if stream:
        body["stream"] = True
    return json.dumps(body).encode()


def agent_body(model: str) -> bytes:
    """What an agent asks after forty turns with tools: about 60 KB, 121 messages, 15 tools."""
    properties = {f"option_{number}": {"type": "string", "description": "what it is to do " * 3} for number in range(6)}
    schema = {"type": "object", "properties": properties, "required": ["option_0"]}
    tools = [
        {"type": "function", "function": {"name": f"tool_{number}", "description": "Does something to a file. " * 5, "parameters": schema}}
        for number in range(15)
    ]
    messages: list[dict[str, object]] = [{"role": "system", "content": _SYSTEM * 10}]
    for turn in range(40):
        arguments = json.dumps({"option_0": "path/to/a/file " * 8, "option_1": str(turn)})
        call = {"id": f"call_{turn}", "type": "function", "function": {"name": "tool_1", "arguments": arguments}}
        messages.append({"role": "user", "content": _QUESTION})
        messages.append({"role": "assistant", "content": "I look at it.", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": "a line of what it printed\n" * 24})
    return json.dumps({"model": model, "messages": messages, "tools": tools, "temperature": 0.2, "max_tokens": 256}).encode()


def http_request(host: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
    """One complete HTTP/1.1 POST, ready to be written to a socket again and again."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def usage(completion: int) -> dict[str, object]:
    """Fixed token counts: 160 in, `completion` out."""
    return {
        "prompt_tokens": 160,
        "completion_tokens": completion,
        "total_tokens": 160 + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def whole_answer() -> bytes:
    """The body of a non-streamed answer."""
    message = {"role": "assistant", "content": f"{WITNESS.decode()} " * WHOLE_PIECES, "refusal": None}
    answer = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage(WHOLE_PIECES),
        "system_fingerprint": "fp_bench",
    }
    return json.dumps(answer, separators=(",", ":")).encode()


def event(delta: dict[str, object] | None, *, finish: str | None = None, tokens: int | None = None, with_usage: bool = False) -> bytes:
    """One SSE event of a stream; `delta=None` makes the usage event with an empty `choices`."""
    chunk: dict[str, object] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": MODEL,
        "system_fingerprint": "fp_bench",
        "choices": [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    if with_usage:
        chunk["usage"] = None if tokens is None else usage(tokens)
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def http_chunk(payload: bytes) -> bytes:
    """One chunk of HTTP/1.1 chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
