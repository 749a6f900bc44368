"""A whole `chat.completion` into the items of a response's output; pure.

Thoughts come first, then what is said, then calls: the order in which models make them, which a whole chat answer does not tell.
"""

from typing import Any

from backend.gateway.responses_api.carried import OF_A_MESSAGE, carried
from backend.gateway.responses_api.generated import annotations, called, logprobs, pictures, thought, words
from backend.gateway.responses_api.response import Identity, Item, incomplete_reason


def output_of(completion: dict[str, Any], identity: Identity) -> tuple[list[Item], Any]:
    """The items, and the finish reason. An item that was cut off is the last one, and says that it is incomplete."""
    choice = _first(completion.get("choices"))
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    finish = choice.get("finish_reason")
    text, inner = words(message.get("content"))
    made: list[Item] = []

    def add(prefix: str, item: Item) -> None:
        made.append({"id": identity.item_id(prefix, len(made)), **item})

    reasoning = thought(message) or inner
    given = message.get("tool_calls")
    calls = [call for call in given if isinstance(call, dict)] if isinstance(given, list) else []
    things = _carried(message, calls)
    if reasoning or things:
        item: Item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": reasoning}] if reasoning else []}
        if things:
            item["encrypted_content"] = carried(identity.request.model, things)
        add("rs", item)
    parts: list[dict[str, Any]] = []
    if text:
        given = choice.get("logprobs")
        parts.append(
            {"type": "output_text", "text": text, "annotations": annotations(message.get("annotations")), "logprobs": logprobs(given)}
        )
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    if parts:
        add("msg", {"type": "message", "status": "completed", "role": "assistant", "content": parts})
    for call in calls:
        kind, name, passed = called(call)
        call_id = call.get("id")
        if not isinstance(call_id, str) or not call_id:
            call_id = identity.item_id("call", len(made))
        if kind == "custom":
            add("ctc", {"type": "custom_tool_call", "call_id": call_id, "name": name, "input": passed})
        else:
            add("fc", {"type": "function_call", "status": "completed", "call_id": call_id, "name": name, "arguments": passed})
    for picture in pictures(message.get("images")):
        add("ig", {"type": "image_generation_call", "status": "completed", "result": picture})
    if incomplete_reason(finish) is not None and made and "status" in made[-1]:
        made[-1]["status"] = "incomplete"
    return made, finish


def _carried(message: dict[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:
    things = {name: message[name] for name in OF_A_MESSAGE if message.get(name)}
    of_calls = {call["id"]: call["extra_content"] for call in calls if call.get("extra_content") and isinstance(call.get("id"), str)}
    return things | ({"calls": of_calls} if of_calls else {})


def _first(choices: Any) -> dict[str, Any]:
    choice = choices[0] if isinstance(choices, list) and choices else None
    return choice if isinstance(choice, dict) else {}
