"""How many tokens a text has, counted once for each encoding that ships and told for every family of models from that."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, TypeVar

from backend.kernel.errors import Overloaded
from backend.prompt_prices.ratios import Kind, Method, Tokenizer
from backend.prompt_prices.vocabularies import ENCODINGS, Vocabularies

T = TypeVar("T")

USUAL = "o200k_base"
MOST_CHARACTERS = 1_000_000
SHORT = 4096
"""Texts of so many characters are counted at once, in at most some milliseconds: a thread that has to be waited for costs more."""
MOST_AT_ONCE = 2
MOST_WAITING = 32
MOST_PIECES = 4000
KEPT = 64
"""Texts whose counts are remembered: a page asks again with every filter."""
_PIECE = 8192
_DIGITS = re.compile(r"[0-9]{2,}")
_SCRIPTS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("cjk", re.compile("[\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]+")),
    ("cyrillic", re.compile("[\u0370-\u052f]+")),
    ("arabic", re.compile("[\u0530-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]+")),
    ("other", re.compile("[\u0900-\u1dff\u2c00-\u2e7f\ua4d0-\uabff]+")),
)


class Tokens(NamedTuple):
    """What a text comes to for one tokenizer. Exact where `low` and `high` are the same; `encoding` is what was counted with."""

    tokens: int
    low: int
    high: int
    method: Method
    encoding: str


class Counted(NamedTuple):
    """A text's tokens in each encoding that ships. `spelled`: how many more they are where every digit is a token."""

    tokens: Mapping[str, int]
    kind: Kind
    spelled: int

    def by(self, tokenizer: Tokenizer) -> Tokens:
        ratio = tokenizer.ratios[self.kind]
        counted, more = self.tokens[ratio.encoding], self.spelled if tokenizer.digits else 0
        return Tokens(
            max(1, round(counted * ratio.usual / 1000)) + more,
            max(1, counted * ratio.low // 1000) + more,
            -(-counted * ratio.high // 1000) + more,
            tokenizer.method,
            ratio.encoding,
        )


class LitText(NamedTuple):
    """A text in pieces, each a token, or several where a sign is made of several. Where `tokens` is not exact they are those of the
    encoding that it was counted with. `more` tokens behind the last piece are not shown."""

    tokens: Tokens
    pieces: tuple[str, ...]
    more: int


class TextCounter:
    """Counts in threads, a few at once, but short texts at once. Nothing is loaded before the first count."""

    def __init__(self) -> None:
        self._vocabularies = Vocabularies()
        self._kept: OrderedDict[bytes, Counted] = OrderedDict()
        self._turn = asyncio.Semaphore(MOST_AT_ONCE)
        self._waiting = 0

    async def count(self, text: str) -> Counted:
        """The text in every encoding.

        Raises:
            Overloaded: too many are waiting.
        """
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        counted = self._kept.get(key)
        if counted is None:
            self._vocabularies.hold()
            if len(text) <= SHORT and self._vocabularies.at_hand:
                counted = count_text(text, self._vocabularies)
            else:
                counted = await self._in_turn(count_text, text, self._vocabularies)
            self._kept[key] = counted
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return counted

    async def lit(self, text: str, tokenizer: Tokenizer) -> LitText:
        """The text's count for one tokenizer, and the pieces of it.

        Raises:
            Overloaded: too many are waiting.
        """
        tokens = (await self.count(text)).by(tokenizer)
        self._vocabularies.hold()
        pieces, more = await self._in_turn(_pieces, text, self._vocabularies, tokens.encoding)
        return LitText(tokens, pieces, more)

    async def _in_turn(self, work: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= MOST_WAITING:
            raise Overloaded("Too many prompts are being counted just now.", retry_after=1)
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1


def count_text(text: str, vocabularies: Vocabularies) -> Counted:
    """The text in every encoding; to be called in a thread where it is long."""
    parts = _parts(text)
    tokens = {name: sum(len(vocabularies.named(name).encode_ordinary(part)) for part in parts) for name in ENCODINGS}
    # Part by part, too: one look through a million characters lets no other thread run for a quarter of a second.
    spelled = sum(len(digits) - -(-len(digits) // 3) for part in parts for digits in _DIGITS.findall(part))
    return Counted(tokens, _kind(parts, tokens), spelled)


def _pieces(text: str, vocabularies: Vocabularies, name: str) -> tuple[tuple[str, ...], int]:
    """The first pieces, and how many tokens are behind them."""
    encoding = vocabularies.named(name)
    pieces: list[str] = []
    held, behind = b"", 0
    for token in (token for part in _parts(text) for token in encoding.encode_ordinary(part)):
        if len(pieces) >= MOST_PIECES:
            behind += 1
            continue
        held += encoding.decode_single_token_bytes(token)
        try:
            pieces.append(held.decode())
        except UnicodeDecodeError:
            continue  # a part of a sign
        held = b""
    return tuple(pieces), behind


def _parts(text: str) -> list[str]:
    """The text in parts that an encoder takes in its stride: blanks or letters without end in one piece take it minutes, or its stack."""
    parts, start = [], 0
    while len(text) - start > _PIECE:
        cut = text.rfind("\n", start, start + _PIECE) + 1 or text.rfind(" ", start, start + _PIECE)
        cut = cut if cut > start else start + _PIECE
        parts.append(text[start:cut])
        start = cut
    return [*parts, text[start:]]


def _kind(parts: Sequence[str], tokens: Mapping[str, int]) -> Kind:
    """Told from its letters, and English from other Latin script by the older encoding, which knows little else."""
    foreign = [part for part in parts if not part.isascii()]
    if foreign:
        letters = sum(sum(map(str.isalpha, part)) for part in parts) or 1
        most, kind = max((sum(len(run) for part in foreign for run in pattern.findall(part)), kind) for kind, pattern in _SCRIPTS)
        if most * 4 >= letters:
            return kind
    return "plain" if tokens["cl100k_base"] * 100 <= tokens["o200k_base"] * 105 else "latin"
