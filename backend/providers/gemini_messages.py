"""OpenAI-shaped messages as Gemini's `systemInstruction` and `contents`.

Signatures of thoughts travel in `extra_content.google.thought_signature`, of a tool call or of the message, as in Google's own
OpenAI-compatible API. Ids of calls go where they are known: Vertex AI and models before Gemini 3 refuse them, so results stand in the order
of their calls. Models from Gemini 3 on refuse a call of the running turn without one, so where the caller has lost it, or another
model made the call, the documented stand-in goes instead. Source: ai.google.dev/gemini-api/docs/thought-signatures and …/openai.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.gemini_media import Fetched, media_part, source_of

NO_SIGNATURE = "skip_thought_signature_validator"


@dataclass(frozen=True, slots=True)
class Conversation:
    contents: list[dict[str, Any]]
    system: dict[str, Any] | None


@dataclass(slots=True)
class _Reader:
    fetched: Mapping[str, Fetched]
    buckets: tuple[str, ...]
    signed: bool
    turn: int
    """The message that the running turn begins with."""
    ids: bool
    called: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Number and function of each call, by its id."""
    contents: list[dict[str, Any]] = field(default_factory=list)
    system: list[dict[str, Any]] = field(default_factory=list)
    results: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Of the step that is being read, with the numbers of their calls."""


def conversation(
    messages: list[dict[str, Any]],
    *,
    fetched: Mapping[str, Fetched] = {},
    buckets: tuple[str, ...] = (),
    signed: bool = False,
    ids: bool = False,
) -> Conversation:
    """The messages, which are not changed.

    Args:
        fetched, buckets: as in `media_part`.
        signed: the model wants its signatures back.
        ids: calls and results carry their ids.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, where one cannot be said.
    """
    turn = next((number for number in range(len(messages) - 1, -1, -1) if messages[number].get("role") == "user"), 0)
    reader = _Reader(fetched, buckets, signed, turn, ids)
    for number, message in enumerate(messages):
        where, role = f"messages[{number}]", message.get("role")
        if role in ("tool", "function"):
            _result(reader, message, where)
            continue
        reader.results = []
        if role in ("system", "developer"):
            reader.system += _texts(message.get("content"), f"{where}.content")
        elif role == "assistant":
            _assistant(reader, message, where, in_turn=number > turn)
        elif role == "user":
            parts = _parts(reader, message.get("content"), f"{where}.content")
            reader.contents.append({"role": "user", "parts": parts or [{"text": ""}]})
        else:
            raise BadRequest("A message is of the role system, developer, user, assistant or tool.", param=f"{where}.role")
    if not reader.contents and reader.system:
        # A call that says nothing but its instructions: somebody has to say them.
        return Conversation([{"role": "user", "parts": reader.system}], None)
    return Conversation(reader.contents, {"parts": reader.system} if reader.system else None)


def _assistant(reader: _Reader, message: Mapping[str, Any], where: str, *, in_turn: bool) -> None:
    if message.get("audio"):
        raise UnsupportedParameter("Spoken answers cannot be referred to here. Send their text.", param=f"{where}.audio")
    if message.get("function_call"):
        raise UnsupportedParameter("Functions are called by 'tool_calls' here.", param=f"{where}.function_call")
    parts = _parts(reader, message.get("content"), f"{where}.content")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append({"text": refusal})
    own = signature_of(message)
    if own:
        if not parts:
            parts.append({"text": ""})
        parts[-1]["thoughtSignature"] = own
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise BadRequest("'tool_calls' must be a list.", param=f"{where}.tool_calls")
    for index, call in enumerate(calls):
        part = _call(reader, call, f"{where}.tool_calls[{index}]")
        if not index and in_turn and reader.signed:
            part.setdefault("thoughtSignature", NO_SIGNATURE)
        parts.append(part)
    if parts:
        reader.contents.append({"role": "model", "parts": parts})


def _call(reader: _Reader, call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str):
        raise UnsupportedParameter("Only calls of functions can be said here.", param=where)
    given = function.get("arguments")
    try:
        arguments = orjson.loads(given) if isinstance(given, str) and given.strip() else {}
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise BadRequest("The arguments of a function must be a JSON object.", param=f"{where}.function.arguments")
    said: dict[str, Any] = {"name": name, "args": arguments}
    identity = call.get("id")
    if isinstance(identity, str):
        reader.called[identity] = len(reader.called), name
        if reader.ids:
            said["id"] = identity
    part: dict[str, Any] = {"functionCall": said}
    signature = signature_of(call)
    if signature:
        part["thoughtSignature"] = signature
    return part


def signature_of(value: Mapping[str, Any]) -> str | None:
    """The signature that a tool call or a message carries."""
    extra = value.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None


def _result(reader: _Reader, message: Mapping[str, Any], where: str) -> None:
    """All results of one step are one content: Gemini counts them against the calls."""
    identity = message.get("tool_call_id")
    number, name = reader.called.get(identity, (-1, None)) if isinstance(identity, str) else (-1, None)
    name = name or message.get("name")
    if not isinstance(name, str):
        raise BadRequest("No call of a tool before this has this id.", param=f"{where}.tool_call_id")
    text = "".join([part["text"] for part in _texts(message.get("content"), f"{where}.content")])
    response = None
    if text.lstrip()[:1] == "{":
        with suppress(orjson.JSONDecodeError):
            response = orjson.loads(text)
    answer: dict[str, Any] = {"name": name, "response": response if isinstance(response, dict) else {"output": text}}
    if reader.ids and isinstance(identity, str):
        answer["id"] = identity
    if not reader.results:
        reader.contents.append({"role": "user"})
    reader.results.append((number, {"functionResponse": answer}))
    reader.results.sort(key=lambda one: one[0])
    reader.contents[-1]["parts"] = [part for _, part in reader.results]


def _texts(content: Any, where: str) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    if not isinstance(content, list):
        raise BadRequest("'content' must be a text or a list of parts.", param=where)
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise UnsupportedParameter("Only texts can be said here.", param=f"{where}[{index}]")
    return [{"text": part["text"]} for part in content if part["text"]]


def _parts(reader: _Reader, content: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        return _texts(content, where)
    parts: list[dict[str, Any]] = []
    for index, part in enumerate(content):
        place = f"{where}[{index}]"
        if not isinstance(part, dict):
            raise BadRequest("A part of a message must be an object.", param=place)
        kind = part.get("type")
        if kind in ("text", "refusal"):
            text = part.get(kind)
            if not isinstance(text, str):
                raise BadRequest(f"A part of type {kind} needs its '{kind}'.", param=place)
            if text:
                parts.append({"text": text})
            continue
        source = source_of(part, place)
        if source is None:
            raise UnsupportedParameter("Parts of this type cannot be said to this provider.", param=f"{place}.type")
        parts.append(media_part(source, reader.fetched, reader.buckets, place))
    return parts
