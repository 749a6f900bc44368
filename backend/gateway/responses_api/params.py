"""Which field of the caller's is at fault, where an error names the one of the chat body that it became."""

import re
from collections.abc import Sequence

_MESSAGE = re.compile(r"messages\[(\d{1,6})\](\.content(?:\[\d{1,6}\])?)?")
_NAMES = (
    ("max_completion_tokens", "max_output_tokens"),
    ("max_tokens", "max_output_tokens"),
    ("response_format", "text.format"),
    ("reasoning_effort", "reasoning.effort"),
    ("verbosity", "text.verbosity"),
    ("logprobs", "include"),
    ("messages", "input"),
    ("stream_options", "stream"),
)
_OF_A_TOOL = re.compile(r"(tools\[\d{0,6}\])\.(?:function|custom)\b")


def callers_param(param: str, places: Sequence[str]) -> str:
    """Args:
    places: of each message, where it comes from, such as `input[2]`.
    """
    found = _MESSAGE.match(param)
    if found is not None and int(found[1]) < len(places):
        place = places[int(found[1])]
        return place + (found[2] or "") if place.startswith("input") else place
    if param.startswith("messages[]"):  # of any message, as what was left out is named
        return param.replace("messages", "input", 1).replace(".image_url", "")
    for name, own in _NAMES:
        if param == name or param.startswith((f"{name}.", f"{name}[")):
            return own
    return _OF_A_TOOL.sub(r"\1", param)
