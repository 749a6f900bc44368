"""Which languages models are known to speak: what sources and operators state, and where they say nothing, what was measured."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from backend.catalog.schemas import FacetValue, ModelSummary

TAG = re.compile(r"[a-zA-Z]{2,3}(?:-[a-zA-Z0-9]{2,8}){0,3}")
"""As much of BCP 47 as tells one language from another."""

NAMES = {
    "af": "Afrikaans", "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "bg": "Bulgarian", "bn": "Bengali", "bs": "Bosnian",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fo": "Faroese", "fr": "French", "gl": "Galician",
    "gu": "Gujarati", "ha": "Hausa", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "ig": "Igbo", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian", "kk": "Kazakh",
    "km": "Khmer", "kn": "Kannada", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam",
    "mr": "Marathi", "ms": "Malay", "my": "Burmese", "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish",
    "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sq": "Albanian", "sr": "Serbian",
    "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "uz": "Uzbek", "vi": "Vietnamese", "wo": "Wolof", "yo": "Yoruba", "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip

Measured = Mapping[str, tuple[str, ...]]
"""Model id → the languages that it has results in."""


def language_name(tag: str) -> str:
    """ "German" for `de`; the tag itself where no name is known."""
    primary, _, rest = tag.partition("-")
    name = NAMES.get(primary.lower())
    return tag if name is None else f"{name} ({rest})" if rest else name


class Languages:
    """One bit mask per language over the positions of models; what was measured counts for models of which nobody states languages."""

    def __init__(self, models: Sequence[ModelSummary], position: Mapping[str, int], mask: Callable[[Iterable[int]], int]) -> None:
        self._stated = {i: model.languages for i, model in enumerate(models) if model.languages}
        self._position = position
        self._mask = mask
        self._kept: list[tuple[Measured, dict[str, int]]] = []

    def masks(self, measured: Measured) -> Mapping[str, int]:
        """By tag in lower case. Kept for the two measurements that were given last: pages give none, the API gives those of now."""
        found = next((masks for known, masks in self._kept if known is measured), None)
        if found is None:
            groups: dict[str, set[int]] = defaultdict(set)
            for i, tags in self._stated.items():
                _join(groups, i, tags)
            for model_id, tags in measured.items():
                place = self._position.get(model_id)
                if place is not None and place not in self._stated:
                    _join(groups, place, tags)
            found = {tag: self._mask(places) for tag, places in groups.items()}
            self._kept = [(measured, found), *self._kept[:1]]
        return found

    def facet(self, found: int, chosen: frozenset[str], measured: Measured) -> tuple[FacetValue, ...]:
        """How many of `found` speak each language, most first."""
        wanted = {tag.lower() for tag in chosen}
        masks = self.masks(measured)
        values = [
            FacetValue(tag, language_name(tag), (masks.get(tag, 0) & found).bit_count(), tag in wanted) for tag in masks.keys() | wanted
        ]
        return tuple(
            sorted((value for value in values if value.count or value.selected), key=lambda v: (-v.selected, -v.count, v.label, v.value))
        )


def _join(groups: dict[str, set[int]], place: int, tags: tuple[str, ...]) -> None:
    for tag in tags:
        groups[tag.lower()].add(place)
        groups[tag.lower().partition("-")[0]].add(place)
