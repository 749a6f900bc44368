"""How many tokens a text has for a model, told from a count with an encoding that ships.

Where that encoding is the model's own, which `backend.gateway.token_families` knows, the count is exact. For families whose makers publish
their tokenizers, those were run over prose, code and tables in 25 languages, cut into pieces of 600 characters: `usual` is the median of
what a piece has for each 1,000 tokens of the encoding, `low` and `high` the 1st and 99th percentile with 3 % of room. Claude's are from
published measurements with its maker's own counter. Who publishes nothing is given the spread of all that were measured.
`docs/prompt-prices.md` has the sources.
"""

import re
from typing import Literal, NamedTuple

from backend.gateway.token_families import family_of

Method = Literal["exact", "tokenizer", "factor"]
"""Its own tokenizer; a ratio to one that ships, measured with its own; the spread of others."""
Kind = Literal["plain", "latin", "cyrillic", "arabic", "cjk", "other"]
"""English and code; other languages in Latin script; Cyrillic and Greek; Arabic and Hebrew; Chinese, Japanese and Korean; other scripts."""


class Ratio(NamedTuple):
    """Tokens for each 1,000 of the encoding."""

    encoding: str
    low: int
    usual: int
    high: int


class Tokenizer(NamedTuple):
    """`digits`: makes a token of each digit, where the encodings that ship take up to three together."""

    name: str
    method: Method
    ratios: dict[Kind, Ratio]
    digits: bool = False


def _o200k(low: int, usual: int, high: int) -> Ratio:
    return Ratio("o200k_base", low, usual, high)


def _cl100k(low: int, usual: int, high: int) -> Ratio:
    return Ratio("cl100k_base", low, usual, high)


_LLAMA_3 = Tokenizer(
    "llama-3",
    "tokenizer",
    {
        "plain": _cl100k(950, 1000, 1030),
        "latin": _o200k(900, 1110, 1410),
        "cyrillic": _o200k(900, 1120, 1300),
        "arabic": _cl100k(400, 560, 1030),
        "cjk": _o200k(830, 1000, 1150),
        "other": _cl100k(500, 740, 1030),
    },
)
_LLAMA_4 = Tokenizer(
    "llama-4",
    "tokenizer",
    {
        "plain": _o200k(870, 1000, 1070),
        "latin": _o200k(770, 980, 1150),
        "cyrillic": _o200k(770, 920, 1050),
        "arabic": _o200k(930, 1120, 1380),
        "cjk": _o200k(660, 820, 980),
        "other": _cl100k(290, 350, 690),
    },
)
_QWEN = Tokenizer(
    "qwen",
    "tokenizer",
    {
        "plain": _cl100k(950, 1000, 1030),
        "latin": _o200k(930, 1130, 1450),
        "cyrillic": _cl100k(710, 880, 1030),
        "arabic": _o200k(950, 1250, 2030),
        "cjk": _o200k(750, 890, 1160),
        "other": _cl100k(620, 890, 1010),
    },
    digits=True,
)
_DEEPSEEK = Tokenizer(
    "deepseek",
    "tokenizer",
    {
        "plain": _o200k(920, 1030, 1270),
        "latin": _cl100k(760, 990, 1150),
        "cyrillic": _o200k(1030, 1180, 1490),
        "arabic": _o200k(1050, 1190, 1430),
        "cjk": _o200k(700, 840, 1240),
        "other": _o200k(910, 1180, 1910),
    },
)
_TEKKEN = Tokenizer(
    "tekken",
    "tokenizer",
    {
        "plain": _o200k(930, 1030, 1210),
        "latin": _o200k(910, 1070, 1350),
        "cyrillic": _o200k(930, 1080, 1280),
        "arabic": _o200k(880, 1010, 1220),
        "cjk": _o200k(880, 1120, 1450),
        "other": _o200k(1060, 1230, 1540),
    },
    digits=True,
)
_LLAMA_2 = Tokenizer(
    "sentencepiece-32k",
    "tokenizer",
    {
        "plain": _o200k(1050, 1200, 1490),
        "latin": _cl100k(960, 1170, 1540),
        "cyrillic": _cl100k(720, 1010, 1210),
        "arabic": _cl100k(990, 1270, 1460),
        "cjk": _cl100k(820, 1030, 1350),
        "other": _cl100k(770, 1010, 1190),
    },
    digits=True,
)
_CLAUDE_3 = Tokenizer(
    "claude-3",
    "factor",
    {
        "plain": _o200k(1050, 1200, 1350),
        "latin": _o200k(1100, 1300, 1800),
        "cyrillic": _o200k(1000, 1400, 1900),
        "arabic": _o200k(1000, 1700, 2900),
        "cjk": _o200k(1000, 1300, 1800),
        "other": _o200k(1000, 1900, 4700),
    },
)
_CLAUDE = Tokenizer(
    "claude-4.7",
    "factor",
    {
        "plain": _o200k(1200, 1550, 2000),
        "latin": _o200k(1200, 1750, 2600),
        "cyrillic": _o200k(1000, 1400, 1900),
        "arabic": _o200k(1000, 1700, 2900),
        "cjk": _o200k(1000, 1300, 1800),
        "other": _o200k(1000, 1900, 4700),
    },
)
_UNKNOWN = Tokenizer(
    "unknown",
    "factor",
    {
        "plain": _o200k(870, 1010, 1490),
        "latin": _o200k(770, 1110, 2180),
        "cyrillic": _o200k(770, 1120, 2690),
        "arabic": _o200k(880, 1180, 3470),
        "cjk": _o200k(660, 930, 2520),
        "other": _o200k(800, 1300, 4000),
    },
)

# The first that matches the model's id.
_LINEAGES = tuple(
    (re.compile(pattern), tokenizer)
    for pattern, tokenizer in (
        (r"^(\w+-)?claude-(instant|v?[123]\b|(opus|sonnet|haiku)-([123]\b|4(?![.-]?[7-9]\b)))", _CLAUDE_3),
        (r"^(\w+-)?claude", _CLAUDE),
        (r"llama-?4", _LLAMA_4),
        (r"llama-?3(?!\d)|distill-llama", _LLAMA_3),
        (r"qwen|^qwq|^qvq", _QWEN),
        (r"llama-?2|code-?llama|vicuna|(mistral|mathstral)-7b|mixtral|codestral-(22b|2405)|mistral-(tiny|(small|large)-24\d\d)", _LLAMA_2),
        (r"deepseek", _DEEPSEEK),
        (r"mistral|ministral|devstral|magistral|pixtral|codestral|voxtral", _TEKKEN),
    )
)
_MOST_KNOWN = 10_000
_known: dict[str, Tokenizer] = {}


def tokenizer_of(model: str) -> Tokenizer:
    """What counts tokens for a model, by its id in the catalog."""
    found = _known.get(model)
    if found is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        found = _known[model] = _tokenizer(model)
    return found


def _tokenizer(model: str) -> Tokenizer:
    family = family_of(model)
    if family.encoding is not None and family.percent == 100:
        own = Ratio(family.encoding, 1000, 1000, 1000)
        return Tokenizer(family.encoding, "exact", dict.fromkeys(_UNKNOWN.ratios, own))
    return next((tokenizer for pattern, tokenizer in _LINEAGES if pattern.search(model)), _UNKNOWN)
