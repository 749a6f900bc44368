"""Items of a conversation into the messages of a chat; pure.

Chat knows turns where the Responses API knows items: what the assistant thought, said and called between two words of somebody else is one
message there. Source: platform.openai.com/docs/api-reference/responses/create, `input`.
"""

from typing import Any

from backend.gateway.responses_api.carried import OF_A_MESSAGE, carried_back
from backend.gateway.responses_api.content import chat_content, said
from backend.kernel.errors import BadRequest, NotFound, UnsupportedParameter

Item = dict[str, Any]
Message = dict[str, Any]
_ROLES = {"user": "user", "system": "system", "developer": "system"}
"""To chat `system` is what every server knows; OpenAI's own models take it for `developer`."""


class Conversation:
    """The messages so far. `model`: as the caller asks for it."""

    def __init__(self, model: str) -> None:
        self.messages: list[Message] = []
        self.places: list[str] = []
        """Where each message comes from, or begins to."""
        self._at = ""
        self._model = model
        self._turn_at = ""
        self._turn: Message | None = None
        """The assistant's, as long as nobody else has said anything."""
        self._carried: dict[str, Any] = {}

    def add(self, item: Any, at: str) -> None:
        """One item more.

        Raises:
            BadRequest, UnsupportedParameter, NotFound: with `param`, which begins with `at`.
        """
        self._at = at
        if not isinstance(item, dict):
            raise BadRequest("Each item of 'input' must be an object.", param=at)
        kind = item.get("type") or "message"
        if kind == "message":
            self._message(item, at)
        elif kind == "function_call":
            function = {"name": _needed(item, "name", at), "arguments": _needed(item, "arguments", at)}
            self._call({"id": _needed(item, "call_id", at), "type": "function", "function": function})
        elif kind == "custom_tool_call":
            custom = {"name": _needed(item, "name", at), "input": _needed(item, "input", at)}
            self._call({"id": _needed(item, "call_id", at), "type": "custom", "custom": custom})
        elif kind in ("function_call_output", "custom_tool_call_output"):
            content = chat_content(item.get("output"), f"{at}.output")
            self._told({"role": "tool", "tool_call_id": _needed(item, "call_id", at), "content": content})
        elif kind == "reasoning":
            self._thought(item)
        elif kind == "item_reference":
            raise NotFound(f"Item with id {str(item.get('id'))[:80]!r} not found. Items are kept with responses that are stored.", param=at)
        else:
            raise UnsupportedParameter(f"Items of type {str(kind)[:60]!r} cannot be told to a model by chat.", param=f"{at}.type")

    def done(self) -> list[Message]:
        """All messages, once there are no more items."""
        self._end_turn()
        return self.messages

    def _message(self, item: Item, at: str) -> None:
        role = item.get("role")
        if role == "assistant":
            self._said(*said(item.get("content"), f"{at}.content"))
        elif isinstance(role, str) and role in _ROLES:
            self._told({"role": _ROLES[role], "content": chat_content(item.get("content"), f"{at}.content")})
        else:
            raise BadRequest("A message's role is user, assistant, system or developer.", param=f"{at}.role")

    def _told(self, message: Message) -> None:
        self._end_turn()
        self.messages.append(message)
        self.places.append(self._at)

    def _said(self, text: str, refusal: str) -> None:
        turn = self._begun()
        if (turn["content"] or "refusal" in turn) and "tool_calls" not in turn:
            # Two messages stay two, unless calls stand between: their results have to follow right after the message that holds them.
            self._end_turn()
            turn = self._begun()
        turn["content"] = "\n\n".join([part for part in (turn["content"], text) if part]) or None
        if refusal:
            turn["refusal"] = refusal

    def _call(self, call: dict[str, Any]) -> None:
        self._begun().setdefault("tool_calls", []).append(call)

    def _thought(self, item: Item) -> None:
        self._begun()
        for name, value in carried_back(item.get("encrypted_content"), self._model).items():
            before = self._carried.get(name)
            if isinstance(before, list) and isinstance(value, list):
                value = before + value
            elif isinstance(before, dict) and isinstance(value, dict):
                value = before | value
            self._carried[name] = value

    def _begun(self) -> Message:
        if self._turn is None:
            self._turn = {"role": "assistant", "content": None}
            self._turn_at = self._at
        return self._turn

    def _end_turn(self) -> None:
        turn, things = self._turn, self._carried
        self._turn, self._carried = None, {}
        if turn is None or not (turn["content"] or len(turn) > 2):
            return  # thoughts without a word
        turn |= {name: things[name] for name in OF_A_MESSAGE if name in things}
        of_calls = things.get("calls")
        if isinstance(of_calls, dict):
            for call in turn.get("tool_calls", ()):
                if call["id"] in of_calls:
                    call["extra_content"] = of_calls[call["id"]]
        self.messages.append(turn)
        self.places.append(self._turn_at)


def _needed(item: Item, name: str, at: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"This item needs a text in '{name}'.", param=f"{at}.{name}")
    return value
