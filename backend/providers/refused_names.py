"""Which fields a refusal is about, where it says so in a sentence and not as OpenAI does, by `code` and `param`. Pure.

The sentences are those that callers of these servers report. A message may quote the caller, so only its beginning counts, and only names
of fields are taken from it.
"""

import re
from typing import Any

_BEFORE = r"(?:the model returned the following errors: |error from provider[^:]{0,60}: )?"
"""Bedrock's and others' words before Anthropic's."""
_SENTENCES = [
    re.compile(_BEFORE + sentence, re.IGNORECASE)
    for sentence in (
        # OpenAI's own, passed on without its code
        r"unsupported (?:parameter|value): '(\w+)'",
        # Groq: property 'store' is unsupported, did you mean 'stop'?
        r"property '(\w+)' is unsupported",
        # xAI, which has names of its own: presencePenalty
        r"argument not supported on this model: (\w+)",
        r"model \S{1,200} does not support parameter (\w+)",
        # Anthropic
        r"`(\w+)` is deprecated for this model",
        r"`temperature` and `(top_p)` cannot both be specified for this model",
        r"`(temperature)` may only be set to 1 when thinking is enabled",
        r"`(top_p|top_k)` must be .{0,60}unset when thinking is enabled",
        # Amazon's Converse
        r"this model doesn't support the (\w+) field",
        # Moonshot
        r"invalid (temperature): only 1 is allowed for this model",
        # Google, of its own API and of the one that is compatible with OpenAI's
        r"(logprobs) is not enabled for",
        r'invalid json payload received\. unknown name "(\w+)"',
    )
]
_PENALTIES = "penalty is not enabled for"
"""Google's, of either."""
_FORBIDDEN = re.compile(r"""extra_forbidden["'],\s*["']loc["']:\s*[\[(]["']body["'],\s*["'](\w+)["'][\])]""")
"""Mistral's, and that of whoever else checks bodies with pydantic."""
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def refused_names(message: Any) -> tuple[str, ...]:
    """The fields, in OpenAI's words; none where the message says something else. It may be what a message should be, or JSON."""
    text = message if isinstance(message, str) else str(message)
    text = text[:4000].lstrip()
    if text.lower().startswith(_PENALTIES):
        return "presence_penalty", "frequency_penalty"
    for sentence in _SENTENCES:
        found = sentence.match(text)
        if found is not None:
            return (_HUMP.sub("_", found[1]).lower(),)
    return tuple(dict.fromkeys(_FORBIDDEN.findall(text)))
