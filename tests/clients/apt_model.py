"""A provider on OpenAI's wire with as much sense as LangChain's standard tests expect of a model, in a thread of its own.

Asked for a function it calls it, with numbers and quoted words of the question as arguments; asked for JSON it gives that.
"""

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, repeat
from typing import Any

from tests.fakes.openai_upstream import TEXT, USAGE, WORDS, Exchange, OpenAIUpstream, chunk, completion, events, whole

SECONDS_TO_START = 10


@contextmanager
def apt_model() -> Iterator[str]:
    """Its base URL, while it serves."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    upstream = OpenAIUpstream()
    upstream.script(_answer)
    asyncio.run_coroutine_threadsafe(upstream.__aenter__(), loop).result(SECONDS_TO_START)
    yield upstream.base_url
    asyncio.run_coroutine_threadsafe(upstream.__aexit__(None, None, None), loop).result(SECONDS_TO_START)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(SECONDS_TO_START)
    loop.close()


async def _answer(exchange: Exchange) -> None:
    body = exchange.seen.body
    call, text = _call(body), _json(body) or TEXT
    if not body.get("stream"):
        message = {"role": "assistant", "content": text, "refusal": None}
        if call:
            message |= {"content": None, "tool_calls": [call]}
        said = completion(usage=USAGE, model=body["model"])
        said["choices"][0] |= {"message": message, "finish_reason": "tool_calls" if call else "stop"}
        await whole(said)(exchange)
        return
    pieces: list[dict[str, Any]] = [{"content": word} for word in (WORDS if text == TEXT else re.findall(r".{1,8}", text))]
    if call:
        name, written = call["function"]["name"], call["function"]["arguments"]
        pieces = [{"tool_calls": [{"index": 0, **call, "function": {"name": name, "arguments": ""}}]}]
        pieces += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in re.findall(r".{1,4}", written)]
    named: dict[str, Any] = {"model": body["model"]}
    deltas = [chunk(delta, usage=None, **named) for delta in [{"role": "assistant", "content": ""}, *pieces]]
    last = [chunk({}, "tool_calls" if call else "stop", usage=None, **named)]
    if (body.get("stream_options") or {}).get("include_usage"):
        last.append(chunk(None, usage=USAGE, **named))
    await events(*deltas, *last, end="done")(exchange)


def _call(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """A call of the function that is demanded, or, where it may choose, of the first one in reply to a person."""
    functions = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or []}
    choice, last = body.get("tool_choice") or "auto", body["messages"][-1]
    if not functions or choice == "none" or (choice == "auto" and last["role"] != "user"):
        return None
    name = choice["function"]["name"] if isinstance(choice, dict) else next(iter(functions))
    arguments = json.dumps(_value(functions[name].get("parameters") or {}, _words(body)), ensure_ascii=False)
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def _json(body: Mapping[str, Any]) -> str | None:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object":
        return json.dumps({key: "simulated" for key in re.findall(r"'(\w+)'", _question(body))})
    if wanted.get("type") == "json_schema":
        return json.dumps(_value(wanted["json_schema"]["schema"], _words(body)))
    return None


def _question(body: Mapping[str, Any]) -> str:
    content = [message["content"] for message in body["messages"] if message["role"] == "user"][-1]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def _words(body: Mapping[str, Any]) -> tuple[Iterator[int], Iterator[str]]:
    text = _question(body)
    return chain(map(int, re.findall(r"-?\d+", text)), repeat(0)), chain(re.findall(r"'([^']+)'", text), repeat("simulated"))


def _value(schema: Mapping[str, Any], words: tuple[Iterator[int], Iterator[str]]) -> Any:
    numbers, texts = words
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], words)
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _value(below, words) for name, below in (schema.get("properties") or {}).items()}
    return next(numbers) if kind in ("integer", "number") else next(texts)
