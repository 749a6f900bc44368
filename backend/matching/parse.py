"""A task in somebody's own words → what is asked for: tasks with confidence, requirements, wishes, and the words that said so.

Rules first: phrases of the taxonomy, languages, and phrases for requirements and wishes. A small embedder adds what no phrase names.
Nothing is asked of any model, and the same text is always read the same way.
"""

import re
from dataclasses import dataclass, field
from functools import cache

from backend.matching.embedder import Embedder, Neighbours
from backend.matching.languages import AMBIGUOUS, LABELS, NAMED, TAG_OF
from backend.matching.taxonomy import GENERAL, TASK_BY_ID, TASKS
from backend.matching.words import Found, find, is_negated, phrase_pattern

MOST_CHARACTERS = 4_000
MOST_CALLS_PER_DAY = 1_000_000_000
"""Of a workload, whoever states it."""
LEAST_CONFIDENCE = 0.3
"""Tasks of which less is certain are not taken up."""
_NAMED, _HINTED, _NEAR = 0.85, 0.3, 0.9
"""What a phrase that names a task is worth, one that suggests it, and being the same text as an example."""
_FAINT = 0.12
"""Texts that have nothing to do with each other are this similar by their letters alone."""


@dataclass(frozen=True, slots=True)
class TaskFound:
    """`confidence` 0 to 1; `words` as they stand in the text; `like`: the example that it resembles, where that counted."""

    task: str
    confidence: float
    words: tuple[str, ...] = ()
    like: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """Something that the text asks for beside its tasks, and the words that say so."""

    kind: str
    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Understood:
    """How a text was read. `wishes` are what is preferred: cost, latency, quality, carbon → "more", "less"."""

    tasks: tuple[TaskFound, ...]
    excluded: tuple[Said, ...] = ()
    languages: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    modalities_in: tuple[str, ...] = ()
    open_weights: bool | None = None
    region: str | None = None
    context_tokens: int | None = None
    max_nano_per_million: int | None = None
    calls_per_day: float | None = None
    input_tokens: int | None = None
    wishes: tuple[tuple[str, str], ...] = ()
    said: tuple[Said, ...] = ()
    recognised: bool = True
    """False where nothing in the text was recognised and it is taken for a conversation."""

    @property
    def room(self) -> int | None:
        """Tokens that a model must hold: the context that is asked for, and what is to be read."""
        return max((tokens for tokens in (self.context_tokens, self.input_tokens) if tokens is not None), default=None)


@dataclass(slots=True)
class _Reading:
    said: list[Said] = field(default_factory=list)
    wishes: dict[str, str] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)
    modalities: list[str] = field(default_factory=list)


_WISHES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("cost", "less", ("money is no object", "cost is no object", "price is no object", "regardless of cost", "regardless of price",
                      "whatever it costs", "cost does not matter", "price does not matter", "price doesn't matter", "cost doesn't matter",
                      "money does not matter", "money doesn't matter")),
    ("cost", "more", ("cheap*", "inexpensive", "low cost", "low-cost", "affordable", "cost effective", "cost-effective", "cost efficient",
                      "cost-efficient", "economical", "on a budget", "tight budget", "budget-friendly", "save money", "low price*",
                      "as little as possible",
                      "günstig*", "billig*", "pas cher", "barat*")),
    ("latency", "more", ("fast", "faster", "fastest", "quick", "quickly", "low latency", "low-latency", "instant*", "responsive", "snappy",
                         "real time", "real-time", "realtime", "in milliseconds", "schnell*", "rapide*", "rápid*")),
    ("quality", "more", ("best", "high quality", "high-quality", "top quality", "highest quality", "most accurate", "high accuracy",
                         "state of the art", "state-of-the-art", "premium", "excellent", "outstanding", "flawless", "top-notch", "smartest",
                         "most capable", "strongest", "beste*", "meilleur*", "mejor*")),
    ("carbon", "more", ("green", "low carbon", "low-carbon", "sustainab*", "energy efficient", "energy-efficient", "eco-friendly",
                        "environment*", "climate friendly", "climate-friendly", "carbon*")),
)  # fmt: skip
_CAPABILITIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("structured_output", ("json", "json schema", "structured output*", "structured json", "valid json", "schema-constrained")),
    ("tools", ("tool call*", "tool-call*", "function call*", "function-call*", "tool use", "use tools", "call tools")),
    ("web_search", ("web search", "search the web")),
    ("prompt_caching", ("prompt cach*",)),
    ("pdf_input", ("pdf input", "accepts pdf*")),
)
_OPEN = ("open source", "open-source", "open weight*", "open-weight*", "self-host*", "self host*", "on-prem*", "on prem*", "locally hosted",
         "run it ourselves", "run locally", "own hardware")  # fmt: skip
_CLOSED = ("proprietary", "closed weight*", "closed source", "closed-source")
_REGIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("eu", ("gdpr", "in the eu", "eu region", "eu hosted", "eu-hosted", "hosted in europe", "european region", "european servers",
            "data residency in europe", "eu data residency", "dsgvo")),
    ("us", ("in the us region", "us region", "hosted in the us", "us-hosted", "us servers")),
)  # fmt: skip
_MODALITIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("pdf", ("pdf files as input", "upload pdf*")),
    ("image", ("image embedding*", "multimodal embedding*", "embed image*", "embed photo*", "embed picture*")),
)
_PRICE = re.compile(
    r"(?:under|below|at most|max(?:imum)?(?: of)?|less than|up to|no more than|not more than|cheaper than|<=?)\s*"
    r"(?:\$|usd\s*)\s?(\d{1,4}(?:\.\d{1,4})?)\s*(?:usd|dollars?)?\s*(?:per|/|a)\s*(?:1\s*)?(?:m(?:illion|tok)?|mio\.?)\b"
)
_BARE_PRICE = re.compile(
    r"(?:under|below|at most|less than|up to|no more than|not more than|cheaper than|<=?)\s*(?:\$|usd\s*)\s?(\d{1,2}(?:\.\d{1,4})?)"
    r"(?!\.?\d|\s*(?:usd|dollars?)?\s*(?:per|/|an?|each|every|daily|monthly|weekly|yearly|budget|in total|altogether|k|m)\b|\s*/)"
)
"""Without a unit it is one of the prices that all lists have: of a million tokens."""
_LENGTH = re.compile(
    r"(?<!per )(?<!/)\b(\d{1,4}(?:[.,]\d{1,3})?)\s?(k|m|million|thousand)?[\s-]tokens?\b"
    r"(?!\s*(?:of\s+)?context|\s*(?:per|a|an|each|every|/)\s*(?:second|minute|hour|day|week|month|year|s)\b)"
)
_LEAST_LENGTH = 10_000
"""What is shorter fits everywhere, and may be the length of an answer."""
_CONTEXT = re.compile(r"\b(\d{1,4}(?:[.,]\d{1,3})?)\s?(k|m|million|thousand)?[\s-]?(?:tokens?)?\s?(?:of\s)?context\b")
_CALLS = re.compile(
    r"(?<![\w$€£¥.,])(\d{1,3}(?:[,.]\d{3}){1,4}|\d{1,9})\s?(k|m|million|thousand)?\s(?:(?:calls|requests|messages|documents|tickets|emails|queries|times|photos|pictures|images|"
    r"pages|invoices|reviews|comments|articles|conversations|chats|orders|records|files|prompts|questions)\s)?"
    r"(?:per|a|each|every)\s(day|night|hour|minute|month|week)\b"
)
_BATCH = re.compile(r"\b(?:in batch(?:es)?|batch(?:ed)? (?:api|mode|tier|jobs?|processing|runs?)|nightly batch|overnight|nightly)\b")
_SCALE = {None: 1, "k": 1_000, "thousand": 1_000, "m": 1_000_000, "million": 1_000_000}
_PER_DAY = {"minute": 1440.0, "hour": 24.0, "day": 1.0, "night": 1.0, "week": 1 / 7, "month": 12 / 365}
_BEFORE_LANGUAGE = re.compile(
    rf"(?:\b(?:in|to|into|from|and|or|speaks?|speaking)|,|/|-)\s*$|(?:{'|'.join(map(re.escape, TAG_OF))})[\s/-]+$"
)


_BEFORE = 40
"""How much of the text before a word says whether it is a language."""


def understand(text: str) -> Understood:
    """Read a description of a task. Never raises; what is not recognised is taken for a conversation and says so."""
    lowered = " ".join(text[:MOST_CHARACTERS].casefold().replace("’", "'").split())
    reading = _Reading()
    _wishes(lowered, reading)
    for word, pattern in _compiled()["capabilities"]:
        _require(reading.capabilities, "capability", word, find(pattern, lowered), reading)
    for word, pattern in _compiled()["modalities"]:
        _require(reading.modalities, "modality", word, find(pattern, lowered), reading)
    if (later := _BATCH.search(lowered)) is not None:
        reading.said.append(Said("serviceTier", "batch", later.group()))
    tasks, excluded = _tasks(lowered)
    recognised = bool(tasks)
    return Understood(
        tasks=tasks or (TaskFound(GENERAL, 0.0),),
        excluded=excluded,
        languages=_languages(lowered, reading),
        capabilities=tuple(reading.capabilities),
        modalities_in=tuple(reading.modalities),
        open_weights=_open_weights(lowered, reading),
        region=_region(lowered, reading),
        context_tokens=_context(lowered, reading),
        max_nano_per_million=_price(lowered, reading),
        calls_per_day=_calls(lowered, reading),
        input_tokens=_length(lowered, reading),
        wishes=tuple(sorted(reading.wishes.items())),
        said=tuple(reading.said),
        recognised=recognised,
    )


@cache
def _compiled() -> dict[str, list[tuple[str, re.Pattern[str] | None]]]:
    return {
        "words": [(task.id, phrase_pattern(task.words)) for task in TASKS],
        "hints": [(task.id, phrase_pattern(task.hints)) for task in TASKS],
        "capabilities": [(word, phrase_pattern(phrases)) for word, phrases in _CAPABILITIES],
        "modalities": [(word, phrase_pattern(phrases)) for word, phrases in _MODALITIES],
        "regions": [(word, phrase_pattern(phrases)) for word, phrases in _REGIONS],
        "wishes": [(f"{what} {which}", phrase_pattern(phrases)) for what, which, phrases in _WISHES],
        "open": [("yes", phrase_pattern(_OPEN)), ("no", phrase_pattern(_CLOSED))],
    }


@cache
def _examples() -> tuple[Embedder, Neighbours, tuple[tuple[str, str], ...]]:
    """Every example of every task, with the task that it stands for."""
    told = tuple(
        (task.id, example) for task in TASKS for example in (f"{task.label} {' '.join(task.words[:6])}".replace("*", ""), *task.examples)
    )
    embedder = Embedder(example for _, example in told)
    return embedder, Neighbours([embedder.embed(example) for _, example in told]), told


def _tasks(text: str) -> tuple[tuple[TaskFound, ...], tuple[Said, ...]]:
    named = {task: find(pattern, text) for task, pattern in _compiled()["words"]}
    excluded = [
        Said("task", task, hits[0].text)
        for task, hits in named.items()
        if hits and all(hit.negated for hit in hits) and not _positive(task)
    ]
    out = {said.value for said in excluded}
    nearest = _nearest(text)
    found: list[TaskFound] = []
    for task, pattern in _compiled()["hints"]:
        if task in out:
            continue
        hits = [hit for hit in named[task] if not hit.negated or _positive(task)]
        hints = [hit for hit in find(pattern, text) if not hit.negated]
        near, example = nearest[task]
        doubt = (1 - _NAMED) ** min(2, len({hit.text for hit in hits})) * (1 - _HINTED) ** min(2, len({hit.text for hit in hints}))
        doubt *= 1 - _NEAR * near
        confidence = round(1 - doubt, 3)
        if confidence >= LEAST_CONFIDENCE and (hits or hints or near >= 0.25):
            words = tuple(dict.fromkeys(hit.text for hit in (*hits, *hints)))
            found.append(TaskFound(task, confidence, words, example if near >= 0.15 else None))
    found.sort(key=lambda one: (-one.confidence, one.task))
    return _without_facets(found), tuple(excluded)


def _positive(task: str) -> bool:
    """Whether its phrases are negations themselves: "without hallucinations"."""
    return task == "faithfulness"


def _nearest(text: str) -> dict[str, tuple[float, str]]:
    embedder, neighbours, told = _examples()
    best: dict[str, tuple[float, str]] = {task.id: (0.0, "") for task in TASKS}
    for (task, example), near in zip(told, neighbours.similarities(embedder.embed(text)), strict=True):
        beyond = max(0.0, (near - _FAINT) / (1 - _FAINT))
        if beyond > best[task][0]:
            best[task] = (beyond, example)
    return best


def _without_facets(found: list[TaskFound]) -> tuple[TaskFound, ...]:
    """At most four, those well behind the first left out, and none that another of them is a special case of."""
    if not found:
        return ()
    least = max(LEAST_CONFIDENCE, 0.45 * found[0].confidence)
    kept = [one for one in found if one.confidence >= least]
    general = {facet for one in kept for facet in TASK_BY_ID[one.task].facets if one.words}
    return tuple(one for one in kept if one.task not in general)[:4]


def _wishes(text: str, reading: _Reading) -> None:
    for key, pattern in _compiled()["wishes"]:
        what, which = key.split(" ")
        for hit in find(pattern, text):
            wish = which if not hit.negated or which == "less" else "less"
            if what not in reading.wishes:
                reading.wishes[what] = wish
                reading.said.append(Said("preference", f"{what}:{wish}", hit.text))


def _require(into: list[str], kind: str, word: str, hits: list[Found], reading: _Reading) -> None:
    wanted = [hit for hit in hits if not hit.negated]
    if wanted:
        into.append(word)
        reading.said.append(Said(kind, word, wanted[0].text))


def _languages(text: str, reading: _Reading) -> tuple[str, ...]:
    tags: dict[str, None] = {}
    for match in NAMED.finditer(text):
        tag, start = TAG_OF[match[0]], match.start()
        if tag in tags or (match[0] in AMBIGUOUS and not _BEFORE_LANGUAGE.search(text[max(0, start - _BEFORE) : start])):
            continue
        if not is_negated(text, start):
            tags[tag] = None
            reading.said.append(Said("language", tag, match[0]))
    return tuple(tags)


def _open_weights(text: str, reading: _Reading) -> bool | None:
    for answer, pattern in _compiled()["open"]:
        for hit in find(pattern, text):
            value = (answer == "yes") != hit.negated
            reading.said.append(Said("openWeights", "yes" if value else "no", hit.text))
            return value
    return None


def _region(text: str, reading: _Reading) -> str | None:
    for word, pattern in _compiled()["regions"]:
        for hit in find(pattern, text):
            if not hit.negated:
                reading.said.append(Said("region", word, hit.text))
                return word
    return None


def _context(text: str, reading: _Reading) -> int | None:
    match = _CONTEXT.search(text)
    if match is None:
        return None
    tokens = round(float(match[1].replace(",", ".")) * _SCALE[match[2]])
    if tokens < 1_000:
        return None
    reading.said.append(Said("contextMin", str(tokens), match[0].strip()))
    return tokens


def _length(text: str, reading: _Reading) -> int | None:
    match = _LENGTH.search(text)
    if match is None:
        return None
    tokens = round(float(match[1].replace(",", "." if match[2] else "")) * _SCALE[match[2]])
    if tokens < _LEAST_LENGTH:
        return None
    reading.said.append(Said("inputTokens", str(tokens), match[0].strip()))
    return tokens


def _price(text: str, reading: _Reading) -> int | None:
    match = _PRICE.search(text) or _BARE_PRICE.search(text)
    if match is None:
        return None
    reading.said.append(Said("maxPricePerMillionTokens", match[1], match[0].strip()))
    whole, _, part = match[1].partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0")) if part else int(whole) * 10**9


def _calls(text: str, reading: _Reading) -> float | None:
    match = _CALLS.search(text)
    if match is None:
        return None
    calls = int(match[1].replace(",", "").replace(".", "")) * _SCALE[match[2]] * _PER_DAY[match[3]]
    if calls > MOST_CALLS_PER_DAY:
        return None
    reading.said.append(Said("callsPerDay", f"{calls:g}", match[0]))
    return calls


def language_label(tag: str) -> str:
    """For people; a tag that has no name here is shown as it is."""
    return LABELS.get(tag.split("-")[0].lower(), tag)
