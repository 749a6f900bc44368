"""What a provider wants back together with its own answer: signed thoughts, and signatures of its calls.

Chat has a field of its own for each of them; the Responses API has `encrypted_content` of a reasoning item, which clients keep and send
back without looking into it. Only the model that said it can read it, and others refuse fields that they do not know: so it says for which
`model` it is, and is left out when another one is asked.
"""

import base64
import binascii
from typing import Any

import orjson

_MARK = "bourse1."
OF_A_MESSAGE = ("thinking_blocks", "reasoning_details", "extra_content")
"""Fields of an assistant's message, as chat has them; under `calls` is the `extra_content` of each call by its id."""


def carried(model: str, things: dict[str, Any]) -> str:
    """Text for `encrypted_content`. `model`: as the caller asked for it."""
    return _MARK + base64.urlsafe_b64encode(orjson.dumps({"model": model, **things})).decode("ascii")


def carried_back(text: Any, model: str) -> dict[str, Any]:
    """What `carried` was given; nothing for another model's, or what is none of ours."""
    if not isinstance(text, str) or not text.startswith(_MARK):
        return {}
    try:
        things = orjson.loads(base64.urlsafe_b64decode(text[len(_MARK) :]))
    except (binascii.Error, ValueError):
        return {}
    if not isinstance(things, dict) or things.pop("model", None) != model:
        return {}
    return things
