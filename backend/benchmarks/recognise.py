"""Which model of the catalog a published name means. A wrong match is worse than none: what could mean two things means nothing.

A name is compared by its key (`backend.catalog.names.model_key`) with model ids, then other names of models, then ids of offers, then
display names; the first of these that knows it decides, unless it knows it for two models. Only a name that nobody knows as it stands is
tried without its variant, then with its maker or date written otherwise, then without its date or `instruct`. What never matches: a base
model with the instruct model that is sold under its name, two models that answered together, and what was packed smaller at home.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from backend.benchmarks.variants import split_variant, suffix_variant
from backend.catalog.names import model_key, split_date

_TOGETHER = re.compile(r"\S \+ \S")
_LOCAL = re.compile(r"^ollama(?:_chat)?/|llama\.cpp|gguf|[-_:]q\d(?:_[\dk](?:_[mls])?)?\b", re.IGNORECASE)
_INSTRUCT = re.compile(r"-(?:instruct|it|chat)(?=$|-v\b|-hf$)")
_BASE = re.compile(r"-(?:base|pt)(?=$|-)")
_MONTHS = {name: month for month, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)}  # fmt: skip
_MONTH = re.compile(rf"\s*\(({'|'.join(_MONTHS)})[a-z]*\.? (20\d\d)\)$", re.IGNORECASE)
_SHORT_DATE = re.compile(r"-(0[1-9]|1[0-2])-?(2\d)$")
_GEMINI_DAY = re.compile(r"^(gemini-\d-\d-(?:pro|flash))-(\d\d-\d\d)$")
_DATED = re.compile(r"^(.+?)-(?:20\d\d-?\d\d(?:-?\d\d)?|\d{4}|\d\d-20\d\d)$")
_MONTH_DATE = re.compile(r"^(.+?)-(?:20\d\d-(?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])-20\d\d)$")
_MAKER = re.compile(r"^(?:amazon|moonshotai|perplexity|arcee|ibm|cohere|nvidia)-(?=[a-z])")
_BASES_SAY_SO = re.compile(r"^(?:qwen-3|deepseek-v)-?")
"""Makers who call a base model `-Base`, so that the plain name is what one talks to."""
_KNOWN_AS = {
    "gemini-3-0-pro": "gemini-3-pro-preview",
    "mistral-3-large-2512": "mistral-large-2512",
    "mistral-large-2-2407": "mistral-large-2407",
    "gpt-realtime-1-0": "gpt-realtime",
    "assembly-best": "assemblyai-best",
}
"""Names that no rule finds, looked up by hand: by key, the model's id."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """`variant`: what the name says of effort, thinking or calling mode."""

    model_id: str | None
    variant: str


@dataclass(slots=True)
class Recogniser:
    """Knows the catalog's names; one per reading."""

    _layers: list[dict[str, set[str]]] = field(default_factory=lambda: [defaultdict(set) for _ in range(4)])
    _snapshots: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """By key without its date: every dated key that belongs to it."""
    _published: set[str] = field(default_factory=set)
    _tuned: set[str] = field(default_factory=set)
    """Keys whose instruct model has a name of its own, so that they themselves mean the base model."""

    @classmethod
    def build(
        cls,
        models: Iterable[tuple[str, str]],
        offers: Iterable[tuple[str, str, str]],
        aliases: Iterable[tuple[str, str, str]],
        published: Iterable[str] = (),
    ) -> "Recogniser":
        """From `(id, name)` of models, `(id, upstream id, model id)` of offers, `(name, kind, target)` of aliases, and the names that
        leaderboards publish, which tell where base and instruct model are listed side by side."""
        self = cls()
        ids, other, sold, shown = self._layers
        for model_id, name in models:
            ids[model_key(model_id)].add(model_id)
            shown[model_key(name)].add(model_id)
        model_of = {}
        for offer_id, upstream_id, model_id in offers:
            model_of[offer_id] = model_id
            sold[model_key(upstream_id, offer_id.partition("/")[0])].add(model_id)
        for name, kind, target in aliases:
            if kind == "model":
                other[model_key(name)].add(target)
            elif target in model_of:
                sold[model_key(name, name.partition("/")[0])].add(model_of[target])
        for key in {key for layer in (ids, other, sold) for key in layer}:
            if (dated := _DATED.match(key)) is not None:
                self._snapshots[dated.group(1)].add(key)
            self._note_tuned(key)
        for name in published:
            key = _key(split_variant(name)[0])
            self._published.add(key)
            self._note_tuned(key)
        return self

    def _note_tuned(self, key: str) -> None:
        if _INSTRUCT.search(key):
            self._tuned.add(_INSTRUCT.sub("", key))

    def recognise(self, published: str, stated_id: str | None = None, variant: str = "", *, lists_bases: bool = False) -> Recognised:
        """The model and the variant that a published name means; an id that the source states beside it says more.

        Args:
            variant: what is known of it beside the name.
            lists_bases: the source lists base models too, under their plain names.
        """
        if stated_id is not None:
            found = self._asked(stated_id, variant)
            if found.model_id is not None or _INSTRUCT.sub("", _key(published)) != _key(stated_id):
                return found
        if _TOGETHER.search(split_variant(published)[0]) or _LOCAL.search(published):
            return Recognised(None, variant)
        if lists_bases and self._is_base(_key(split_variant(published)[0])):
            return Recognised(None, variant)
        return self._asked(published, variant)

    def _is_base(self, key: str) -> bool:
        return key in self._tuned and not any(said.search(key) for said in (_INSTRUCT, _BASE, _BASES_SAY_SO))

    def _asked(self, text: str, variant: str) -> Recognised:
        name = split_variant(text)[0]
        ending = suffix_variant(name)
        for find in (self._exactly, self._loosely):
            known, found = find(name)
            if known:
                return Recognised(found, variant)
            if ending is not None:
                known, found = find(ending[0])
                if known:
                    words = [part for part in variant.split() if part not in ending[1].split("-")]
                    return Recognised(found, " ".join([*words, ending[1]]).strip())
        return Recognised(None, variant)

    def _exactly(self, name: str) -> tuple[bool, str | None]:
        """Whether anybody knows a name without its variant in one of the forms it may have, and the model if it is one."""
        if (month := _MONTH.search(name)) is not None:
            found = self._of_month(_key(name[: month.start()]), int(month.group(2)) * 12 + _MONTHS[month.group(1).lower()[:3]])
            return True, found
        for key in _forms(_key(name)):
            known, found = self._lookup(key)
            if known:
                return True, found
        return False, None

    def _loosely(self, name: str) -> tuple[bool, str | None]:
        """The same without its date, or without the word that says that one can talk to it."""
        key = _key(name)
        base, day = split_date(key)
        if day is None and (month := _MONTH_DATE.match(key)) is not None:
            base, day = month.group(1), key
        if day is not None:
            found = self._only_snapshot(base)
            return found is not None, found
        plain = _INSTRUCT.sub("", key)
        if plain == key or plain in self._published or _BASE.search(plain):
            return False, None
        return self._lookup(plain)

    def _lookup(self, key: str) -> tuple[bool, str | None]:
        """Whether anybody knows the key, and the model if it is one."""
        for layer in self._layers:
            found = layer.get(key)
            if found:
                return True, next(iter(found)) if len(found) == 1 else None
        return False, None

    def _of_month(self, base: str, month: int) -> str | None:
        """The model with a snapshot of that month, else the model of that name unless its snapshot is of quite another time.

        `month`: years times twelve and the month, because names are published some weeks after or before the date in an id.
        """
        days = {key: day for key in self._snapshots.get(base, ()) if (day := split_date(key)[1]) is not None}
        away = {key: abs(int(day[:4]) * 12 + int(day[5:7]) - month) for key, day in days.items()}
        found = {self._lookup(key)[1] for key, months in away.items() if months == 0}
        if len(found) == 1:
            return found.pop()
        return None if any(months > 2 for months in away.values()) else self._only_snapshot(base)

    def _only_snapshot(self, base: str) -> str | None:
        """The model of a name without a date, unless the catalog knows a snapshot of it that is another model, or it moves on."""
        if base.endswith("-latest"):
            return None
        found = {self._lookup(key)[1] for key in (base, *self._snapshots.get(base, ()))}
        return found.pop() if len(found) == 1 else None


def _key(name: str) -> str:
    text = re.sub(r"(?<=\w)\+(?!\w)", " plus", name.rstrip("*"))
    # The maker tells what a name such as `enhanced` means.
    key = model_key(text, text.partition("/")[0] if "/" in text else "")
    return model_key(_KNOWN_AS[key]) if key in _KNOWN_AS else key


def _forms(key: str) -> Iterator[str]:
    """The key, and how else its maker or date may be written: `command-r-08-24` is `command-r-08-2024`."""
    yield key
    if _SHORT_DATE.search(key):
        yield _SHORT_DATE.sub(r"-\1-20\2", key)
    if _GEMINI_DAY.match(key):
        yield _GEMINI_DAY.sub(r"\1-preview-\2", key)
    if _MAKER.match(key):
        yield _MAKER.sub("", key)
