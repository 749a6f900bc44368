"""A stream's chunks put together to the `chat.completion` that they spell. Pure.

Servers agree on what grows by concatenation (texts, arguments) and on how tool calls are told apart (`index`). Beyond that nothing is
guessed: a field that comes twice with two values is no answer that we can give again, and the assembly says so.
"""

from typing import Any

import orjson

from backend.kernel.sse import EventSplitter, EventTooLarge

_TEXTS = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "arguments", "input", "text", "summary", "data", "thinking", "transcript"}
)
"""Of a delta, at any depth: what goes on where the delta before has ended."""
_OF_THE_STREAM = frozenset({"object", "choices", "usage", "bourse", "obfuscation", "x_groq"})
"""What chunks have and the whole answer has not, or has otherwise."""
_OF_THE_CHOICE = frozenset({"index", "delta", "logprobs"})

_BYTES_OF_A_LOGPROB = 100
_PLAIN_CHOICE = 4
"""index, delta, finish_reason and logprobs."""
_MALFORMED = (AttributeError, EventTooLarge, KeyError, RecursionError, TypeError, ValueError)


class CannotAssemble(Exception):
    """Nobody can say for certain what the chunks spell together."""


class _Pieces(list[str]):
    """A text that still grows; adding each piece to the text before would take quadratic time."""


class Assembly:
    """Feed a stream that has the form in which we send it, cut anywhere; ask for the whole once it has ended.

    All methods raise CannotAssemble; nothing is to be made of the assembly afterwards.
    """

    __slots__ = ("_choices", "_fields", "_splitter", "_top", "_usage", "size")

    def __init__(self) -> None:
        self._splitter = EventSplitter()
        self._top: dict[str, Any] = {}
        self._usage: Any = None
        self._fields = 0
        """Of the last chunk that was looked at as a whole."""
        self._choices: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        self.size = 0
        """Characters of text so far."""

    def feed(self, data: bytes) -> None:
        try:
            for payload in self._splitter.feed(data):
                if payload != b"[DONE]":
                    self._take(orjson.loads(payload))
        except _MALFORMED as error:
            raise CannotAssemble("a chunk that is none") from error

    def whole(self) -> dict[str, Any]:
        """The `chat.completion`."""
        if not self._choices:
            raise CannotAssemble("a stream without choices")
        try:
            choices = [_choice(index, message, rest) for index, (message, rest) in sorted(self._choices.items())]
        except _MALFORMED as error:
            raise CannotAssemble("tool calls that are none") from error
        top = self._top
        first = {"id": top.pop("id", ""), "object": "chat.completion", "created": top.pop("created", 0), "model": top.pop("model", "")}
        usage = {"usage": self._usage} if self._usage else {}
        return {**first, "choices": choices, **usage, **top}

    def _take(self, chunk: dict[str, Any]) -> None:
        if len(chunk) == self._fields and self._goes_on(chunk["choices"]):
            return
        self._fields = len(chunk)
        for name, value in chunk.items():
            if name not in _OF_THE_STREAM and (value or name not in self._top):
                self._top[name] = value
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk["choices"]:
            index = choice.get("index", 0)
            if type(index) is not int:
                raise CannotAssemble("a choice without a number")
            message, rest = self._choices.setdefault(index, ({}, {}))
            self._merge(message, choice.get("delta") or {})
            if "logprobs" in choice:
                self._take_logprobs(rest, choice["logprobs"])
            for name, value in choice.items():
                if name not in _OF_THE_CHOICE and (value is not None or name not in rest):
                    rest[name] = value

    def _goes_on(self, choices: list[dict[str, Any]]) -> bool:
        """The chunk that most are: a few more letters of one choice, and the rest as in the chunk before. It is taken, or left alone."""
        if len(choices) != 1:
            return False
        choice = choices[0]
        known, delta = self._choices.get(choice.get("index", 0)), choice.get("delta") or {}
        if known is None or choice.get("finish_reason") or choice.get("logprobs") or len(choice) > _PLAIN_CHOICE or len(delta) != 1:
            return False
        ((name, value),) = delta.items()
        before = known[0].get(name)
        if type(before) is not _Pieces or type(value) is not str:
            return False
        before.append(value)
        self.size += len(value)
        return True

    def _take_logprobs(self, rest: dict[str, Any], logprobs: dict[str, list[Any]] | None) -> None:
        known = rest.setdefault("logprobs", None)
        if logprobs is None:
            return
        if known is None:
            known = rest["logprobs"] = {}
        for name, tokens in logprobs.items():
            if not tokens:
                known.setdefault(name, tokens)
            elif known.get(name):
                known[name] += tokens
            else:
                known[name] = tokens
            self.size += _BYTES_OF_A_LOGPROB * len(tokens or ())

    def _merge(self, into: dict[str, Any], more: dict[str, Any]) -> None:
        for name, value in more.items():
            before = into.get(name)
            if value is None:
                into.setdefault(name, None)
            elif name in _TEXTS and isinstance(value, str):
                self.size += len(value)
                if before is None:
                    into[name] = _Pieces([value])
                elif isinstance(before, _Pieces):
                    before.append(value)
                else:
                    raise CannotAssemble(f"{name} that is a text and something else")
            elif name in _TEXTS and before is not None:
                raise CannotAssemble(f"{name} in parts that are no text")
            elif isinstance(value, dict) and (before is None or isinstance(before, dict)):
                self._merge(before if before is not None else _put(into, name, {}), value)
            elif isinstance(value, list) and (before is None or type(before) is list):
                self._extend(before if before is not None else _put(into, name, []), value, name)
            elif before is None or before == "":
                into[name] = value
            elif value not in (before, ""):
                raise CannotAssemble(f"{name} that changes")

    def _extend(self, known: list[Any], more: list[Any], name: str) -> None:
        for entry in more:
            if not isinstance(entry, dict):
                self.size += len(str(entry))
                known.append(entry)
                continue
            index = entry.get("index")
            if name == "tool_calls" and index is None and not entry.get("id"):
                raise CannotAssemble("a piece of a tool call without a number")
            same = next((one for one in reversed(known) if _goes_on(one, entry)), None) if index is not None else None
            if same is None:
                known.append(same := {})
            self._merge(same, entry)


def _choice(index: int, message: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    told = {"role": "assistant", "content": None, **_finished(message)}
    if "tool_calls" in told:
        told["tool_calls"] = _numbered_off(told["tool_calls"])
    return {"index": index, "message": told, **_finished(rest)}


def _goes_on(known: Any, entry: dict[str, Any]) -> bool:
    """Whether an entry of a list is the next piece of one that is there."""
    if not isinstance(known, dict) or known.get("index") != entry["index"]:
        return False
    return not (known.get("type") and entry.get("type")) or known["type"] == entry["type"]


def _put(into: dict[str, Any], name: str, value: Any) -> Any:
    into[name] = value
    return value


def _finished(value: Any) -> Any:
    if isinstance(value, _Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {name: _finished(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finished(inner) for inner in value]
    return value


def _numbered_off(calls: Any) -> Any:
    """Tool calls in their order; a whole answer's have no number."""
    if not isinstance(calls, list):
        return calls
    in_order = sorted(calls, key=lambda call: call.get("index") or 0)
    return [{name: value for name, value in call.items() if name != "index"} for call in in_order]
