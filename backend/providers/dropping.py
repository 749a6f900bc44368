"""What of a request may be left out where a provider has no words for it: the one place that decides, for all adapters.

An adapter refuses by name what it cannot say: fields that it does not know by `Vocabulary.check`, a value that cannot be by
`UnsupportedParameter`. Providers do the same on the wire. Whoever asks them then calls `leave_out`, and asks once more if it was.

Left out always, because the answer is the same without, are `HINTS`; what is in `DROPPABLE` only on routes that say `unsupported: drop`.
Both are named to the caller. All else stays refused, whatever the route says: what is asked and shown (messages and their parts), what may
be done (tools, the choice among them, how many at once), how long the answer may be and where it ends (caps, `stop`), what it must look
like (`response_format`, `modalities`, the size of a vector or a picture), what it costs (`service_tier`, `quality`), and what we do not
know.
"""

from collections.abc import Mapping
from typing import Any

from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.providers.nested_hints import DETAILS, MARK, MARKS, NAMES, NESTED, OBFUSCATION, STRICT, TOOL_MARKS, hints_within, without_hints
from backend.providers.provider import ChatRequest

_FILING = "how the provider files the call"
_WHO = "who is asking, for the provider's own records"
_CACHING = "how the provider's prompt cache is used: a matter of price and time"
_SAMPLING = "which of the likely words is drawn; the answer stays one to the same question"
_THOUGHT = "how much is thought, within the same cap, or said"
_FEWER = "there are fewer answers to choose from, and no more are charged"

HINTS: Mapping[str, str] = {
    "user": _WHO,
    "safety_identifier": _WHO,
    "metadata": _FILING,
    "prompt_cache_key": _CACHING,
    "prompt_cache_retention": _CACHING,
    MARK: _CACHING,
    MARKS: _CACHING,
    TOOL_MARKS: _CACHING,
    "anthropic_beta": "features of Anthropic's API while they are new",
    NAMES: "which of several people speaks: few models are told",
    DETAILS: "how closely a picture is looked at",
    STRICT: "that arguments are held to their schema, which the model sees all the same",
    OBFUSCATION: "padding against those who listen to the sizes of packets",
}
"""What each is about; those with brackets or dots are inside a field."""
DROPPABLE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "temperature", "top_p", "top_k", "min_p", "top_a", "seed", "presence_penalty", "frequency_penalty", "repetition_penalty",
            "logit_bias",
        ),
        _SAMPLING,
    ),
    **dict.fromkeys(("reasoning_effort", "reasoning", "thinking", "verbosity"), _THOUGHT),
    **dict.fromkeys(("n", "best_of"), _FEWER),
    **dict.fromkeys(("logprobs", "top_logprobs"), "they are missing beside an answer that is the same"),
    "prediction": "the answer comes later, and is the same",
    "store": "the provider keeps no copy",
    "style": "how a picture looks beyond what its prompt says",
    "output_compression": "how small the file of the same picture is",
}  # fmt: skip
"""What is lost with each."""
_WITH: Mapping[str, str] = {"logprobs": "top_logprobs"}
"""What means nothing without the other."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,), "presence_penalty": (0,), "frequency_penalty": (0,),
    "repetition_penalty": (1,), "min_p": (0,), "top_a": (0,), "logit_bias": ({},), "store": (False,), "metadata": ({},),
    "modalities": (["text"],), "parallel_tool_calls": (True,), "service_tier": ("auto", "default"), "verbosity": ("medium",),
    "functions": ([],),
}  # fmt: skip
"""What a field may say that is so without it."""
_NOTHING: Mapping[str, tuple[Any, ...]] = {}


class Vocabulary:
    """The fields of a body that one translation has words for.

    Args:
        who: the subject of the sentence that refuses the others, in the plural.
        neutral: what other fields of its own may say that is so without them.
    """

    def __init__(self, who: str, said: frozenset[str], neutral: Mapping[str, tuple[Any, ...]] = _NOTHING) -> None:
        self._who = who
        self._said = said
        self._neutral = {**_NEUTRAL, **neutral}

    def check(self, body: Mapping[str, Any]) -> None:
        """Raises UnsupportedParameter: the body says something else."""
        missing = hints_within(body)
        if not missing and body.keys() <= self._said:
            return
        missing -= self._said
        others = [name for name in body if name not in self._said]
        missing.update([name for name in others if body[name] is not None and body[name] not in self._neutral.get(name, ())])
        if missing:
            first, *others = sorted(missing)
            raise UnsupportedParameter(f"{self._who} have no '{first[:60]}'.", param=first[:60], others=tuple(others))


def check_choice(body: Mapping[str, Any]) -> None:
    """Of a body without tools. Raises BadRequest: it asks for one of them all the same."""
    if body.get("tool_choice") not in (None, "auto", "none"):
        raise BadRequest("'tool_choice' asks for a tool, and there is none in 'tools'.", param="tool_choice")


def leave_out(request: ChatRequest, error: UnsupportedParameter, *, drops: bool) -> bool:
    """Whether the request can be asked once more: something that the error is about was in it and may be left out. It is then gone
    from the body, and named in `dropped`.

    Args:
        drops: the route says so.
    """
    names = (error.param, *error.others)
    body = request.body
    there = body.keys() | hints_within(body)
    gone = [name for name in names if name is not None and name in there and (name in HINTS or (drops and name in DROPPABLE))]
    gone += [_WITH[name] for name in gone if _WITH.get(name) in body and _WITH[name] not in gone]
    if not gone:
        return False
    body = {name: value for name, value in body.items() if name not in gone}
    request.body = without_hints(body, gone) if NESTED.intersection(gone) else body
    say_dropped(request, *gone)
    return True


def say_dropped(request: ChatRequest, *names: str) -> None:
    """For what is left out in part, and so by whoever translates it."""
    request.dropped = tuple(dict.fromkeys((*request.dropped, *names)))
