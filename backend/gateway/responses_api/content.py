"""Parts of a message's content: `input_text`, `input_image`, `input_file` and `input_audio` into those of chat."""

from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter

Part = dict[str, Any]
_TEXTS = ("input_text", "output_text", "text")


def chat_content(content: Any, at: str) -> str | list[Part]:
    """The content of a message of the user, the system or a tool. A single plain text is a string: some servers know nothing else.

    Raises:
        BadRequest, UnsupportedParameter: with `param`, such as `input[2].content[0]`.
    """
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{at}[{number}]") for number, part in enumerate(_list(content, at))]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def said(content: Any, at: str) -> tuple[str, str]:
    """What an assistant's message says, and how it refused.

    Raises:
        BadRequest: it holds something else, which chat cannot say of an assistant.
    """
    if isinstance(content, str):
        return content, ""
    texts, refusals = [], []
    for number, part in enumerate(_list(content, at)):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXTS:
            texts.append(_text(part, "text", f"{at}[{number}]"))
        elif kind == "refusal":
            refusals.append(_text(part, "refusal", f"{at}[{number}]"))
        else:
            raise BadRequest("A message of the assistant holds output_text and refusal.", param=f"{at}[{number}].type")
    return "".join(texts), "".join(refusals)


def _list(content: Any, at: str) -> list[Any]:
    if not isinstance(content, list):
        raise BadRequest("A content is a text or a list of parts.", param=at)
    return content


def _part(part: Any, at: str) -> Part:
    if not isinstance(part, dict):
        raise BadRequest("Each part of a content must be an object.", param=at)
    kind = part.get("type")
    if kind in _TEXTS:
        made: Part = {"type": "text", "text": _text(part, "text", at)}
    elif kind == "input_image":
        made = {"type": "image_url", "image_url": _image(part, at)}
    elif kind == "input_file":
        made = {"type": "file", "file": _file(part, at)}
    elif kind == "input_audio":
        if not isinstance(part.get("input_audio"), dict):
            raise BadRequest("Sound needs its 'data' and its 'format' in 'input_audio'.", param=f"{at}.input_audio")
        made = {"type": "input_audio", "input_audio": part["input_audio"]}
    elif kind == "refusal":
        made = {"type": "text", "text": _text(part, "refusal", at)}
    else:
        raise UnsupportedParameter("Parts here are input_text, input_image, input_file and input_audio.", param=f"{at}.type")
    if part.get("cache_control") is not None:
        made["cache_control"] = part["cache_control"]
    return made


def _text(part: Part, name: str, at: str) -> str:
    text = part.get(name)
    if not isinstance(text, str):
        raise BadRequest(f"This part needs a text in '{name}'.", param=f"{at}.{name}")
    return text


def _image(part: Part, at: str) -> Part:
    _refuse_stored(part, at)
    url = part.get("image_url")
    if not isinstance(url, str) or not url:
        raise BadRequest("An image needs its address or a data: URL in 'image_url'.", param=f"{at}.image_url")
    return {"url": url} | ({"detail": part["detail"]} if part.get("detail") is not None else {})


def _file(part: Part, at: str) -> Part:
    """Chat has no field for a file's address; adapters that can use one read it where the bytes would be."""
    _refuse_stored(part, at)
    data = part.get("file_data") or part.get("file_url")
    if not isinstance(data, str) or not data:
        raise BadRequest("A file needs its bytes in 'file_data' or its address in 'file_url'.", param=f"{at}.file_data")
    return {"file_data": data} | ({"filename": part["filename"]} if part.get("filename") is not None else {})


def _refuse_stored(part: Part, at: str) -> None:
    if part.get("file_id") is not None:
        raise UnsupportedParameter("There are no stored files here: send the file itself.", param=f"{at}.file_id")
