"""Finding phrases in a text: which stand there, where, and whether they are negated."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_NEGATION = re.compile(
    r"(?<!\w)(?:no|not|non|without|never|nor|neither|except|excluding|exclude|avoid|don't|doesn't|do not|does not|needn't|isn't|kein|keine|"
    r"keinen|nicht|ohne|sans|sin)(?!\w)(?! (?:only|just|more|less|later|longer|exceed)\b)"
)
_CLAUSE_END = re.compile(r"[.;:!?\n]|,|\b(?:but|however|instead|aber|sondern|mais|pero)\b")
_WORDS_BETWEEN = 4
"""How far before a phrase a negation may stand: "no need for any translation"."""


class Found(NamedTuple):
    """`text` as it stands in the (lower-case) text."""

    start: int
    end: int
    text: str
    negated: bool


def phrase_pattern(phrases: Iterable[str]) -> re.Pattern[str] | None:
    """Any of the phrases as whole words, the longest first; `*` stands for the rest of a word. None for no phrases."""
    written = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    if not written:
        return None
    parts = (re.escape(phrase).replace(r"\*", r"\w*").replace(r"\[sz\]", "[sz]").replace(r"\ ", r"\s+") for phrase in written)
    return re.compile(rf"(?<![\w]){'(?:' + '|'.join(parts) + ')'}(?![\w])")


def find(pattern: re.Pattern[str] | None, text: str) -> list[Found]:
    """Where the phrases stand in a lower-case text."""
    if pattern is None:
        return []
    return [Found(match.start(), match.end(), match[0], is_negated(text, match.start())) for match in pattern.finditer(text)]


def is_negated(text: str, start: int) -> bool:
    """Whether a negation stands shortly before this place, in the same clause."""
    before = text[max(0, start - 60) : start]
    ends = [match.end() for match in _CLAUSE_END.finditer(before)]
    clause = before[ends[-1] :] if ends else before
    last = None
    for match in _NEGATION.finditer(clause):
        last = match
    return last is not None and len(clause[last.end() :].split()) <= _WORDS_BETWEEN
