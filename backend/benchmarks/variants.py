"""A published name is a model and how it was asked: `claude-opus-4-7-high-effort`, `o3 (high)`, `Qwen/Qwen3-8B#no-thinking`.

The variant is kept apart, because a model that thinks for a minute is another thing to buy than the same model answering at once. Which
words of a name are a variant, and which are the model's own, only the catalog knows (`o4-mini-high` is sold): `recognise.py` asks it for
the full name first.
"""

import re

_BRACKETS = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]\s*$")
_HASH = re.compile(r"#([\w-]+)$")
_EFFORT = r"(?:none|minimal|low|medium|high|xhigh|max)"
_SUFFIXES = (
    # Words that no model has in its own name.
    re.compile(rf"[-_ ](?P<variant>(?:thinking(?:-auto)?(?:-\d+k)?-)?{_EFFORT}-effort)$", re.IGNORECASE),
    re.compile(rf"[-_ ](?P<variant>thinking-(?:\d+k|{_EFFORT})|no-?thinking|high-?thinking|non-reasoning)$", re.IGNORECASE),
    re.compile(r"[-_ ](?P<variant>minimal|low|high|xhigh)$", re.IGNORECASE),
    # Words that some have: `mistral-medium`, `kimi-k2-thinking`. Here they are a way to ask, because these models can be asked both ways.
    re.compile(r"^(?:(?:\w+/)?(?:o\d|gpt-[5-9]|claude).*)[-_ ](?P<variant>none|medium)$", re.IGNORECASE),
    re.compile(r"^(?:.*(?:claude-(?:3-7|3\.7|[a-z]*-?4|[a-z]+-[4-9]).*|qwen3-\d+b(?:-a\d+b)?))[-_ ](?P<variant>thinking)$", re.IGNORECASE),
    # LiveBench calls a Claude that was not told to think `-base`.
    re.compile(r"^(?:claude-.*)-(?P<variant>base)$", re.IGNORECASE),
)
_INSIDE = re.compile(rf"-(?P<variant>{_EFFORT})(?=-20\d\d-\d\d-\d\d$)", re.IGNORECASE)
"""Vectara puts the effort before the date: `gpt-5-high-2025-08-07`."""
_CALLING = {
    "fc": "fc", "prompt": "prompt", "fc thinking": "fc thinking", "prompt + thinking": "prompt thinking", "chat": "no-thinking",
    "reasoner": "thinking",
}  # fmt: skip
_SETTINGS = frozenset({"zero-shot", "val", "diff", "whole", "udiff", "bf16", "default", "preview", "latest", "deprecated", "prev"})
"""Words in brackets that say how it was measured, not how the model was asked."""
_THINKING = re.compile(
    rf"^(?:{_EFFORT}(?:[ -]effort)?|(?:no[ -]|non-|default )?(?:thinking|think|reasoning)"
    r"|\d+k think(?:ing)?(?: tokens)?|thinking[ -]\d+k)$",
    re.IGNORECASE,
)
_SIZES = re.compile(r"(?<=\w)\*? \(\d+(?:\.\d+)?B(?:/\d+(?:\.\d+)?B)?\)$")
"""RULER repeats the size behind names that have it already."""
_AIDERS_WAY = re.compile(r"^(.+?) (?:diff|whole)\b(.*)$")
_EFFORT_NOTE = re.compile(r"reasoning_effort=([^;]+)")
_TRAILING_EFFORT = re.compile(rf"\b({_EFFORT})\b(?:\s+hard-aa)?\s*$")


def split_variant(published: str, dataset: str = "", notes: str = "") -> tuple[str, str]:
    """The name without what says how the model was asked, and that variant in one spelling (empty: as one gets it without asking).

    Only what is set off from the name (brackets, `#`) or stated beside it is taken; `suffix_variant` takes endings.
    """
    name, found = published.strip(), []
    if (way := _AIDERS_WAY.match(name)) is not None and "llama.cpp" not in name:
        name, rest = way.group(1), way.group(2)
        if "no think" in rest or "no_think" in rest or "(thinking)" in rest:
            found.append("thinking" if "(thinking)" in rest else "no-thinking")
    if (size := _SIZES.search(name)) is not None and re.search(r"\d+B\b|\dx|Large|Jamba|DBRX|Command", name[: size.start()]):
        name = name[: size.start()]
    while (match := _BRACKETS.search(name)) is not None:
        parts = [part.strip() for part in match.group(1).split(",")]
        kept = [part for part in parts if not _is_variant(part) and part.casefold() not in _SETTINGS]
        if kept:
            break
        found += [spelled(part) for part in parts if _is_variant(part)]
        name = name[: match.start()].strip()
    if (match := _HASH.search(name)) is not None:
        found.append(spelled(match.group(1)))
        name = name[: match.start()]
    if dataset == "tau2-bench" and (match := _EFFORT_NOTE.search(notes)) is not None and match.group(1) != "None":
        found.append(spelled("thinking" if match.group(1) == "enabled" else match.group(1)))
    if dataset == "models.dev" and (match := _TRAILING_EFFORT.search(notes)) is not None:
        found.append(spelled(match.group(1)))
    return name, " ".join(dict.fromkeys(found))


def suffix_variant(name: str) -> tuple[str, str] | None:
    """The name without an ending (or a word before its date) that names a variant, and the variant; None if there is no such ending."""
    inside = _INSIDE.search(name)
    if inside is not None:
        return name[: inside.start()] + name[inside.end() :], spelled(inside.group("variant"))
    for suffix in _SUFFIXES:
        if (match := suffix.search(name)) is not None:
            return name[: match.start("variant") - 1], spelled(match.group("variant"))
    return None


def spelled(variant: str) -> str:
    """One spelling of a variant: `High-Effort` → `high`, `no think` → `no-thinking`, `32k thinking tokens` → `thinking-32k`."""
    text = variant.casefold().strip()
    if text in _CALLING:
        return _CALLING[text]
    text = re.sub(r"[ -]?(?:effort|tokens)$", "", text)
    text = re.sub(r"\bthink\b", "thinking", text).replace(" ", "-")
    text = re.sub(r"^(\d+k)-thinking$", r"thinking-\1", text)
    text = re.sub(r"^nothinking$", "no-thinking", text)
    text = re.sub(r"^highthinking$", "high", text)
    return {"default-thinking": "", "base": ""}.get(text, text)


def _is_variant(part: str) -> bool:
    return part.casefold() in _CALLING or _THINKING.match(part) is not None
