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
    """Citations; chat has what they say in an object of its own. Those that do not say where they belong are about its start."""
    found = []
    for annotation in given if isinstance(given, list) else ():
        if isinstance(annotation, dict) and annotation.get("type") == "url_citation":
            said = annotation.get("url_citation")
            said = said if isinstance(said, dict) else annotation
            start, end = (place if type(place) is int else 0 for place in (said.get("start_index"), said.get("end_index")))
            url, title = _text(said.get("url")), _text(said.get("title"))
            if url:
                found.append({"type": "url_citation", "start_index": start, "end_index": end, "url": url, "title": title})
    return found


def logprobs(given: Any) -> list[dict[str, Any]]:
    """Of the tokens of a text. Servers leave out what the Responses API has in any case."""
    content = given.get("content") if isinstance(given, dict) else None
    return [
        {**_token(token), "top_logprobs": [_token(other) for other in _list(token.get("top_logprobs")) if _is_token(other)]}
        for token in _list(content)
        if _is_token(token)
    ]


def _is_token(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("token"), str) and type(value.get("logprob")) in (int, float)


def _token(token: dict[str, Any]) -> dict[str, Any]:
    text, known = token["token"], token.get("bytes")
    return {"token": text, "bytes": known if isinstance(known, list) else list(text.encode()), "logprob": token["logprob"]}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


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
