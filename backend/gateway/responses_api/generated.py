"""What a message of chat, or a delta of one, holds beyond plain text, as the Responses API has it."""

from typing import Any

Item = dict[str, Any]


def words(content: Any) -> tuple[str, str]:
    """What a content says, and the thoughts in it. Mistral sends both as parts of a list where it thinks."""
    if isinstance(content, str):
        return content, ""
    texts, thoughts = [], []
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            thoughts.append(words(part.get("thinking"))[0])
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    return "".join(texts), "".join(thoughts)


def thought(message: dict[str, Any]) -> str:
    """The reasoning that is not a part of the content, under whichever name the server has for it."""
    text = message.get("reasoning_content") or message.get("reasoning")
    return text if isinstance(text, str) else ""


def annotations(given: Any) -> list[dict[str, Any]]:
    """Citations; chat has what they say in an object of its own."""
    found = []
    for annotation in given if isinstance(given, list) else ():
        if isinstance(annotation, dict) and annotation.get("type") == "url_citation":
            said = annotation.get("url_citation")
            said = said if isinstance(said, dict) else annotation
            fields = {name: said.get(name) for name in ("start_index", "end_index", "url", "title")}
            found.append({"type": "url_citation", **fields})
    return found


def logprobs(given: Any) -> list[dict[str, Any]]:
    """Of the tokens of a text."""
    content = given.get("content") if isinstance(given, dict) else None
    return [token for token in content if isinstance(token, dict)] if isinstance(content, list) else []


def pictures(given: Any) -> list[str]:
    """Base64 of the images that a model has drawn."""
    found = []
    for image in given if isinstance(given, list) else ():
        source = image.get("image_url") if isinstance(image, dict) else None
        url = source.get("url") if isinstance(source, dict) else source
        if isinstance(url, str) and url.startswith("data:") and ";base64," in url:
            found.append(url.partition(";base64,")[2])
    return found


def called(call: dict[str, Any]) -> tuple[str, str, str]:
    """Kind, name and what is passed of a call of chat's, or of a delta of one; kind is function or custom."""
    custom = call.get("custom")
    if isinstance(custom, dict):
        return "custom", _text(custom.get("name")), _text(custom.get("input"))
    function = call.get("function")
    if not isinstance(function, dict):
        return "function", "", ""
    return "function", _text(function.get("name")), _text(function.get("arguments"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
