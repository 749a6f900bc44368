"""Names of languages as people write them, and their BCP 47 tags."""

import re

_NAMES: dict[str, str] = {
    "en": "english englisch anglais inglés", "de": "german deutsch allemand alemán tedesco", "fr": "french französisch français francés",
    "es": "spanish spanisch español espagnol castilian", "it": "italian italienisch italiano", "pt": "portuguese portugiesisch português",
    "nl": "dutch niederländisch nederlands flemish", "sv": "swedish schwedisch svenska", "da": "danish dänisch dansk",
    "no": "norwegian norwegisch norsk bokmål nynorsk", "fi": "finnish finnisch suomi", "is": "icelandic isländisch íslenska",
    "fo": "faroese føroyskt", "et": "estonian estnisch eesti", "lv": "latvian lettisch", "lt": "lithuanian litauisch",
    "pl": "polish polnisch polski", "cs": "czech tschechisch čeština", "sk": "slovak slowakisch", "sl": "slovene slovenian slowenisch",
    "hr": "croatian kroatisch hrvatski", "sr": "serbian serbisch", "bs": "bosnian bosnisch", "bg": "bulgarian bulgarisch",
    "ro": "romanian rumänisch", "hu": "hungarian ungarisch magyar", "el": "greek griechisch", "sq": "albanian albanisch",
    "uk": "ukrainian ukrainisch", "ru": "russian russisch", "be": "belarusian", "mk": "macedonian", "tr": "turkish türkisch türkçe",
    "ar": "arabic arabisch", "he": "hebrew hebräisch", "fa": "persian farsi", "ur": "urdu", "hi": "hindi", "bn": "bengali bangla",
    "ta": "tamil", "te": "telugu", "mr": "marathi", "gu": "gujarati", "pa": "punjabi", "ml": "malayalam", "kn": "kannada", "ne": "nepali",
    "si": "sinhala", "zh": "chinese mandarin chinesisch cantonese", "ja": "japanese japanisch", "ko": "korean koreanisch",
    "vi": "vietnamese vietnamesisch", "th": "thai thailändisch", "id": "indonesian indonesisch", "ms": "malay", "tl": "tagalog filipino",
    "sw": "swahili", "am": "amharic", "yo": "yoruba", "zu": "zulu", "af": "afrikaans", "ca": "catalan katalanisch català", "eu": "basque",
    "gl": "galician", "cy": "welsh", "ga": "irish", "mt": "maltese", "ka": "georgian", "hy": "armenian", "az": "azerbaijani",
    "kk": "kazakh", "uz": "uzbek", "mn": "mongolian", "km": "khmer", "lo": "lao", "my": "burmese",
}  # fmt: skip

TAG_OF: dict[str, str] = {name: tag for tag, names in _NAMES.items() for name in names.split()}
LABELS: dict[str, str] = {tag: names.split()[0].capitalize() for tag, names in _NAMES.items()}
NAMED = re.compile(rf"(?<!\w)({'|'.join(sorted(map(re.escape, TAG_OF), key=len, reverse=True))})(?!\w)")
"""Any of the names in a lower-case text."""
AMBIGUOUS = frozenset({"polish"})
"""Ordinary words too: languages only where a preposition or another language stands before them."""


def in_name(model: str) -> frozenset[str]:
    """Tags of the languages that a model's name names: `en` of `embed-english-v3.0`."""
    return frozenset(TAG_OF[word] for word in re.split(r"[^a-z]+", model.lower()) if word in TAG_OF)
