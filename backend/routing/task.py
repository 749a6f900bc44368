"""What kind of work a call is, told by rules from its words: pure, deterministic, some ten microseconds, no model.

It looks at what decides: whether there are tools, how much text there is, how the last message of the user begins and ends, and, weighing
less, how the system prompt begins. Each class has words and phrases that speak for it; the verb that a request begins with speaks loudest.
The class with the most points wins, and without two points it is `chat`. The cues are English, with the commonest of German, French and
Spanish. `tests/routing/test_task.py` says how often it is right.
"""

import re
from collections.abc import Mapping
from typing import Any

CHAT, CODE, SUMMARISE, TRANSLATE, EXTRACT, CLASSIFY, REASON, CREATIVE, LONG_CONTEXT, TOOLS = TASKS = (
    "chat", "code", "summarise", "translate", "extract", "classify", "reason", "creative", "long-context", "tools",
)  # fmt: skip

LONG_CHARACTERS = 100_000
"""From so much text on (some 25,000 tokens) what matters is that a model can hold it."""
_HEAD, _TAIL, _SYSTEM = 500, 250, 200
_ENOUGH = 2.0

_WORDS: dict[str, dict[float, str]] = {
    CODE: {
        2: "python javascript typescript rust golang kotlin java c++ c# php ruby sql postgres sqlite regex bug debug debugging refactor "
        "compile compiler stacktrace traceback segfault docker dockerfile kubernetes bash webpack react django fastapi flask npm git "
        "unittest pytest leetcode html css codebase code coding programm programmieren código developer programmer algorithm nullpointer",
        1: "function method class script implement api endpoint component variable loop array recursion async exception query library "
        "framework test tests type types repo branch commit merge error errors json yaml schema migration server",
    },
    SUMMARISE: {
        3: "summarize summarise summarizing summarising summary summaries tldr tl;dr recap condense zusammenfassen zusammenfassung "
        "résumer résumez résume resumen resumir fasse",
        2: "gist digest shorten abstract takeaways minutes synopsis highlights",
        1: "brief article transcript report paragraphs bullet bullets",
    },
    TRANSLATE: {
        3: "translate translating translation translated translator übersetze übersetzen übersetzung übersetz traduis traduire traduisez "
        "traduce traducir traducción localize localise",
        1: "english french german spanish italian japanese chinese mandarin portuguese russian korean arabic dutch polish hindi turkish "
        "swedish deutsch englisch englische ins français anglais inglés español",
    },
    EXTRACT: {
        3: "extract extracting extraction extrahiere extrahieren extraire extrae extraer",
        2: "entities parse scrape",
        1: "list json csv table fields names dates emails addresses phone invoice receipt mentioned identify find document values columns",
    },
    CLASSIFY: {
        3: "classify classifying classification classifier categorize categorise categorization klassifiziere klassifizieren classifie "
        "clasifica clasificar sentiment triage",
        2: "category categories label labels spam toxic positive negative neutral urgency intent moderation",
        1: "tag tags rate whether following detect topic sarcastic ticket review",
    },
    REASON: {
        3: "prove proof theorem integral derivative equation equations solve calculate beweise berechne calcule calcula resuelve puzzle "
        "riddle probability deduce",
        2: "compute maths math mathematics algebra geometry modulo prime logic logically percent percentage average polynomial matrix "
        "minimum maximum knights knaves evaluate infer",
        1: "why how total many much hours minutes km miles dollars step steps explain reasoning if then speed cost sum interest each",
    },
    CREATIVE: {
        3: "poem poems haiku sonnet limerick lyrics screenplay gedicht poème poema slogan tagline ballad fable fairytale",
        2: "story stories song novel fiction joke jokes rhyme rhyming creative imaginative brainstorm geschichte histoire cuento villain "
        "protagonist plot dialogue monologue metaphor toast rap fantasy caption captions",
        1: "write character scene funny dragon invent imagine names ideas style voice",
    },
}  # fmt: skip
_VERBS = {
    TRANSLATE: "translate übersetze übersetzen traduis traduire traduce traducir",
    SUMMARISE: "summarize summarise condense recap shorten tldr tl;dr fasse résume résumez resume",
    EXTRACT: "extract parse list pull identify find extrahiere extrais extrae",
    CLASSIFY: "classify categorize categorise label tag triage detect rate klassifiziere classifie clasifica",
    REASON: "prove solve calculate compute evaluate deduce derive beweise berechne calcule calcula resuelve",
    CODE: "debug refactor implement code program fix optimize optimise review",
    CREATIVE: "brainstorm imagine compose invent",
}
_VERB_POINTS = {EXTRACT: {"list": 1.5, "find": 1.0, "identify": 2.0}, CLASSIFY: {"rate": 2.0}, CODE: {"fix": 1.5, "review": 1.0}}
_PHRASES: tuple[tuple[str, str, float], ...] = (
    ("def ", CODE, 2), ("#include", CODE, 3), ("select * from", CODE, 3), ("console.log", CODE, 3), ("import ", CODE, 1),
    ("unit test", CODE, 2), ("stack trace", CODE, 3), ("pull request", CODE, 2),
    ("key points", SUMMARISE, 3), ("main points", SUMMARISE, 3), ("in a nutshell", SUMMARISE, 2), ("in one sentence", SUMMARISE, 2),
    ("too long", SUMMARISE, 1), ("in two sentences", SUMMARISE, 2), ("in three sentences", SUMMARISE, 2),
    ("auf deutsch", TRANSLATE, 2), ("auf englisch", TRANSLATE, 2), ("en français", TRANSLATE, 2), ("in french", TRANSLATE, 1),
    ("how do you say", TRANSLATE, 4), ("how do i say", TRANSLATE, 4), ("what does it mean in", TRANSLATE, 2),
    ("pull out", EXTRACT, 3), ("as json", EXTRACT, 2), ("list all", EXTRACT, 2), ("return only the", EXTRACT, 2),
    ("from the text", EXTRACT, 2),
    ("all the", EXTRACT, 1), ("from this", EXTRACT, 1), ("from the following", EXTRACT, 2),
    ("one of the following", CLASSIFY, 3), ("which of these", CLASSIFY, 2), ("is this review", CLASSIFY, 3), ("yes or no", CLASSIFY, 2),
    ("which category", CLASSIFY, 3), ("is it spam", CLASSIFY, 2), ("on a scale", CLASSIFY, 2),
    ("step by step", REASON, 2), ("how many", REASON, 2), ("how much", REASON, 1), ("what is the probability", REASON, 2),
    ("think carefully", REASON, 2), ("km/h", REASON, 1), ("if and only if", REASON, 3), ("square root", REASON, 3),
    ("how long does it take", REASON, 3),
    ("once upon", CREATIVE, 3), ("write a poem", CREATIVE, 2), ("write me a", CREATIVE, 1), ("in the style of", CREATIVE, 2),
    ("make up", CREATIVE, 2), ("come up with", CREATIVE, 2),
)  # fmt: skip
_SIGNS = (("```", CODE, 2), ("=> {", CODE, 2), ("();", CODE, 2), ("() {", CODE, 2))
_ARITHMETIC = re.compile(r"\d\s*[-+*/^=×÷<>]\s*\(?[\dxyn]|\d\s*%|[xyn]\s*[-+=^]\s*\d")

_CUES = {word: (task, float(points)) for task, by_points in _WORDS.items() for points, words in by_points.items() for word in words.split()}
_BEGINNINGS = {word: (task, _VERB_POINTS.get(task, {}).get(word, 4.0)) for task, words in _VERBS.items() for word in words.split()}
_MARKS = str.maketrans({mark: " " for mark in "\n\t.,:!?()[]{}<>\"'`“”„«»*_/|=—-"})
_BEFORE_THE_VERB = 8


def _by_longest_word() -> dict[str, list[tuple[str, str, float]]]:
    """The phrases by the word that must be there for one to be: most texts have few of these."""
    found: dict[str, list[tuple[str, str, float]]] = {}
    for phrase in _PHRASES:
        found.setdefault(max(phrase[0].translate(_MARKS).split(), key=len), []).append(phrase)
    return found


_ANCHORED = _by_longest_word()


def task_of(body: Mapping[str, Any]) -> str:
    """The class of a chat body, one of `TASKS`."""
    if (body.get("tools") or body.get("functions")) and body.get("tool_choice") != "none":
        return TOOLS
    asked = system = ""
    size = 0
    for message in body.get("messages") or ():
        content = message.get("content")
        text = content if type(content) is str else _text_of(content)
        size += len(text)
        role = message.get("role")
        if role == "user":
            asked = text or asked
        elif role in ("system", "developer"):
            system = system or text
    if size >= LONG_CHARACTERS:
        return LONG_CONTEXT
    points = dict.fromkeys(TASKS, 0.0)
    _weigh(asked if len(asked) <= _HEAD + _TAIL else f"{asked[:_HEAD]} {asked[-_TAIL:]}", points, 1.0, begins=True)
    if system:
        _weigh(system[:_SYSTEM], points, 0.5, begins=False)
    best = max(points, key=points.__getitem__)
    return best if points[best] >= _ENOUGH else CHAT


def _text_of(content: Any) -> str:
    """The text parts of a message, one below the other."""
    if type(content) is not list:
        return ""
    return "\n".join(
        [part["text"] for part in content if type(part) is dict and part.get("type") == "text" and type(part.get("text")) is str]
    )


def _weigh(text: str, points: dict[str, float], weight: float, *, begins: bool) -> None:
    text = text.lower()
    words = text.translate(_MARKS).split()
    if begins:
        for word in words[:_BEFORE_THE_VERB]:
            beginning = _BEGINNINGS.get(word)
            if beginning is not None:
                points[beginning[0]] += beginning[1]
                break
    for word in set(words):
        cue = _CUES.get(word)
        if cue is not None:
            points[cue[0]] += cue[1] * weight
        anchored = _ANCHORED.get(word)
        if anchored is not None:
            for phrase, task, worth in anchored:
                if phrase in text:
                    points[task] += worth * weight
    for sign, task, worth in _SIGNS:
        if sign in text:
            points[task] += worth * weight
    if _ARITHMETIC.search(text):
        points[REASON] += 2 * weight
