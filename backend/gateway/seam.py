"""Where one stream broke and another goes on: what of the second may be shown, so that the caller reads one answer. No I/O.

Two ways. A *repeat* is asked the same question again; nothing of it is shown until it has said exactly what the caller has, and then
only what follows. A *continuation* is asked to go on from what the caller has; its first characters are held until it is clear that it
does go on, because many servers that take such a request start anew. Either is given up at the first sign of another text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import SequenceMatcher
from typing import Any, Protocol

import orjson

Path = tuple[str | int, ...]
"""Where in a choice's deltas a text grows, such as `("content",)` or `("tool_calls", 0, "function", "arguments")`."""

CONTENT: Path = ("content",)
_LABELS = frozenset({"role", "id", "index", "type"})
"""They name what is said, and are not said: every answer has ids of its own."""
PREAMBLE_SIGNS = 256
"""Who begins anew says something before it, but rarely more."""
_SAME_SIGNS = 16
HELD_SIGNS = PREAMBLE_SIGNS + 2 * _SAME_SIGNS
"""How much of a continuation is looked at before it is shown: a beginning that is said again, and white space in it."""
_COMPARED_SIGNS = 64
_ALIKE = 0.6
_SENTENCE = re.compile(r"(?<=[.!?:\n])\s*")


class Delivered:
    """What the caller was sent of one choice before its stream broke.

    Args:
        kept: of `ChunkStream`: texts, and whole deltas.
        identity: the id and the time of creation that the caller knows the answer by.
    """

    def __init__(self, kept: Iterable[Any], identity: dict[str, Any]) -> None:
        grown: dict[Path, list[str]] = {CONTENT: []}
        self.entries: set[Path] = set()
        """Entries of lists, such as tool calls, that have begun."""
        for one in kept:
            if type(one) is str:
                grown[CONTENT].append(one)
            else:
                for path, text in _texts(one, (), self.entries):
                    grown.setdefault(path, []).append(text)
        self.texts = {path: "".join(parts) for path, parts in grown.items() if parts}
        self.identity = identity

    @property
    def is_plain(self) -> bool:
        """Nothing but words of the answer: a message that another model can go on from."""
        return self.texts.keys() == {CONTENT}

    @property
    def text(self) -> str:
        return self.texts.get(CONTENT, "")

    def and_then(self, later: "Delivered", *, without: int) -> "Delivered":
        """Both together, in this order; `without` the first signs of what was said later."""
        whole = Delivered((), self.identity)
        whole.entries = self.entries | later.entries
        texts = {**later.texts, CONTENT: later.text[without:]}
        whole.texts = {path: self.texts.get(path, "") + texts.get(path, "") for path in {**self.texts, **texts}}
        return whole


class Seam(Protocol):
    """What a `ChunkStream` that goes on with another's answer asks about each of its chunks."""

    differs: bool
    """It is another answer; nothing of it was shown, and nothing is going to be."""
    passed: bool
    """What comes from now on is new to the caller."""

    def shows(self, chunk: dict[str, Any], finishing: bool) -> bool:
        """Whether anything of this chunk is new to the caller; the chunk is then changed to hold just that, under the first one's id."""
        ...


def shows(seam: Seam, chunk: dict[str, Any], finishing: bool) -> bool:
    """As the seam's own.

    Raises:
        RuntimeError: it made a mistake, which is not the provider's: its event must not be left out, and what is held with it.
    """
    try:
        return seam.shows(chunk, finishing)
    except (AttributeError, TypeError, RecursionError) as mistake:
        raise RuntimeError("a stream that goes on with another could not be joined to it") from mistake


class Repeat:
    """Holds everything until it has said what was delivered.

    Args:
        passes: called once, when what comes is new.
    """

    __slots__ = ("_at", "_delivered", "_is_new", "_passes", "differs", "passed")

    def __init__(self, delivered: Delivered, passes: Callable[[], None]) -> None:
        self._delivered = delivered
        self._passes = passes
        self._at = dict.fromkeys(delivered.texts, 0)
        """How much of each text was repeated; those that are through are left out."""
        self._is_new = False
        self.differs = False
        self.passed = False

    def shows(self, chunk: dict[str, Any], finishing: bool) -> bool:
        if self.differs:
            return False
        chunk.update(self._delivered.identity)
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            delta.pop("role", None)
            if not self.passed:
                choice["delta"] = self._beyond(delta, ())
        if self.passed:
            return True
        if self._at and (finishing or self._is_new):
            self.differs = True
        if self.differs or self._at:
            return False
        self.passed = True
        self._passes()
        return finishing or self._is_new

    def _beyond(self, value: Any, path: Path, *, known: bool = True) -> Any:
        """What of a delta goes beyond what was delivered; empty if nothing does. `known`: the caller has a part of it."""
        if isinstance(value, dict):
            found = {name: self._beyond(inner, (*path, name), known=known) for name, inner in value.items() if name not in _LABELS}
            if known:
                found = {name: inner for name, inner in found.items() if inner}
            if found or not known:
                # Clients would add a second id to the first.
                found |= {name: value[name] for name in _LABELS if name in value and not (known and name == "id")}
            return found
        if isinstance(value, list):
            return [entry for at, inner in enumerate(value) if (entry := self._entry(inner, (*path, _place(inner, at))))]
        if value is None:
            return None
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if path not in self._at:
            if text:
                self._is_new = True
            return value
        return self._after(path, text)

    def _entry(self, value: Any, path: Path) -> Any:
        known = path in self._delivered.entries
        if not known:
            self._is_new = True
        return self._beyond(value, path, known=known)

    def _after(self, path: Path, text: str) -> str:
        expected, at = self._delivered.texts[path], self._at[path]
        left = len(expected) - at
        if len(text) < left:
            self.differs |= not expected.startswith(text, at)
            self._at[path] = at + len(text)
            return ""
        self.differs |= not text.startswith(expected[at:])
        del self._at[path]
        if len(text) > left:
            self._is_new = True
        return text[left:]


class Continuation:
    """Lets a continuation through once it is clear that it does not begin anew.

    One that begins anew is another answer even where it repeats what was delivered: it may say no more than what is left of the cap, and
    would end before the whole answer does.

    Args:
        sent: the text that the model was asked to go on from: what was delivered, without the white space at its end.
        passes: called once, when what comes is new.
    """

    __slots__ = ("_delivered", "_held", "_passes", "_tail", "differs", "passed", "trimmed")

    def __init__(self, delivered: Delivered, sent: str, passes: Callable[[], None]) -> None:
        self._delivered = delivered
        self._passes = passes
        self._tail = delivered.text[len(sent) :]
        self._held = ""
        self.trimmed = 0
        """Signs at the beginning of what it said that the caller had already."""
        self.differs = False
        self.passed = False

    def shows(self, chunk: dict[str, Any], finishing: bool) -> bool:
        if self.differs:
            return False
        chunk.update(self._delivered.identity)
        for choice in chunk["choices"]:
            delta = choice.get("delta") or {}
            delta.pop("role", None)
            if self.passed:
                continue
            content = delta.get("content")
            if isinstance(content, str):
                self._held += content
            other = any(value for name, value in delta.items() if name != "content")
            if len(self._held) < HELD_SIGNS and not finishing and not other:
                return False
            choice["delta"] = {**delta, "content": self._held}
        if self.passed:
            return True
        if starts_anew(self._delivered.text, self._held):
            self.differs = True
            return False
        self.passed = True
        self._passes()
        if self._tail:
            self._without_tail(chunk)
        return True

    def _without_tail(self, chunk: dict[str, Any]) -> None:
        """The white space that the caller has already is not said twice."""
        for choice in chunk["choices"]:
            content, at = choice["delta"]["content"], 0
            while at < len(self._tail) and content[at : at + 1] == self._tail[at]:
                at += 1
            choice["delta"]["content"] = content[at:]
            self.trimmed = at


def starts_anew(delivered: str, begun: str) -> bool:
    """Whether what should go on from a text says its beginning again: at once, after a preamble, or in nearly the same words.

    A beginning that is too short to be known anywhere is looked for where a sentence or a line begins.
    """
    old, new = _plain(delivered[:PREAMBLE_SIGNS]), _plain(begun)
    head = old[:_SAME_SIGNS]
    if new.startswith(head) or (len(head) == _SAME_SIGNS and head in new):
        return True
    if len(head) < _SAME_SIGNS and any(_plain(part).startswith(head) for part in _SENTENCE.split(begun) if part):
        return True
    size = min(len(old), len(new), _COMPARED_SIGNS)
    return size >= _SAME_SIGNS and SequenceMatcher(None, old[:size], new[:size], autojunk=False).ratio() > _ALIKE


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _texts(value: Any, path: Path, entries: set[Path]) -> Iterator[tuple[Path, str]]:
    """The texts in a delta and where they are; `entries` learns what entries of lists there are."""
    if isinstance(value, dict):
        if path and isinstance(path[-1], int):
            entries.add(path)
        for name, inner in value.items():
            if name not in _LABELS:
                yield from _texts(inner, (*path, name), entries)
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(inner, (*path, _place(inner, at)), entries)
    elif value is not None:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if text:
            yield path, text


def _place(entry: Any, at: int) -> int:
    """Tool calls say their place in the list; other entries are where they are."""
    index = entry.get("index") if isinstance(entry, dict) else None
    return index if type(index) is int else at
