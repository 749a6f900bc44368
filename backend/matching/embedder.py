"""Texts as sparse vectors in this process: TF-IDF over hashed words, word pairs and letters within words. No model, no download, and the
same numbers on every machine. Knows nothing of tasks, models or routes.
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from zlib import crc32

Vector = Mapping[int, float]
"""Feature → weight, of length one (empty for a text without words)."""

BUCKETS = 1 << 20
MOST_CHARACTERS = 4_000
"""What lies beyond this is not looked at: a text of this length takes about ten milliseconds."""
_WORD = re.compile(r"[^\W_]+")
_WORD_WEIGHT, _PAIR_WEIGHT, _LETTERS_WEIGHT = 1.0, 0.7, 0.35
_SHORTEST, _LONGEST = 3, 5


def words_of(text: str) -> list[str]:
    """Lower-case words without accents, in order."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text[:MOST_CHARACTERS].casefold()) if not unicodedata.combining(c))
    return _WORD.findall(plain)


def features(text: str) -> dict[int, float]:
    """What occurs in a text and how much it weighs before anybody knows how rare it is."""
    words = words_of(text)
    found: dict[int, float] = defaultdict(float)
    for word in words:
        found[_bucket(f"w {word}")] += _WORD_WEIGHT
    for first, second in pairwise(words):
        found[_bucket(f"p {first} {second}")] += _PAIR_WEIGHT
    for word, times in Counter(words).items():
        padded = f"^{word}$"
        for length in range(_SHORTEST, _LONGEST + 1):
            for start in range(len(padded) - length + 1):
                found[_bucket(f"l {padded[start : start + length]}")] += _LETTERS_WEIGHT * times
    return found


def _bucket(feature: str) -> int:
    return crc32(feature.encode()) % BUCKETS


class Embedder:
    """Learns from a corpus how rare features are; then turns texts into vectors.

    Args:
        corpus: texts of the kind that will be compared; their order does not matter.
    """

    def __init__(self, corpus: Iterable[str]) -> None:
        seen: Counter[int] = Counter()
        texts = 0
        for text in corpus:
            seen.update(features(text).keys())
            texts += 1
        self._rarity = {feature: math.log((1 + texts) / (1 + count)) + 1 for feature, count in seen.items()}
        self._unseen = math.log(1 + texts) + 1

    def embed(self, text: str) -> Vector:
        """The text's vector."""
        rarity, unseen = self._rarity, self._unseen
        weighted = {
            feature: (1 + math.log(weight) if weight > 1 else weight) * rarity.get(feature, unseen)
            for feature, weight in features(text).items()
        }
        length = math.sqrt(math.fsum(weight * weight for weight in weighted.values()))
        return {feature: weight / length for feature, weight in weighted.items()} if length else {}


def similarity(one: Vector, other: Vector) -> float:
    """0 (nothing in common) to 1 (the same features in the same proportions)."""
    if len(other) < len(one):
        one, other = other, one
    return min(1.0, math.fsum(weight * other[feature] for feature, weight in one.items() if feature in other))


class Neighbours:
    """Kept vectors by feature, so that a text is compared only with those that share something with it."""

    def __init__(self, vectors: Sequence[Vector]) -> None:
        self._size = len(vectors)
        self._by_feature: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for place, vector in enumerate(vectors):
            for feature, weight in vector.items():
                self._by_feature[feature].append((place, weight))

    def similarities(self, vector: Vector) -> list[float]:
        """To every kept vector, in their order."""
        totals = [0.0] * self._size
        for feature, weight in vector.items():
            for place, kept in self._by_feature.get(feature, ()):
                totals[place] += weight * kept
        return totals
