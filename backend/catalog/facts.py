"""The columns of a model and of an offer, chosen among what the records say; each fact keeps the name of the source it came from."""

import re
from collections import Counter
from datetime import date
from typing import Any

from backend.catalog.models import ModelDraft, OfferDraft, is_first_party, testimonies_by_trust
from backend.catalog.names import bare_name
from backend.catalog.taxonomy import (
    CAPABILITIES,
    FORMATS_OF_MODALITY,
    MODALITIES,
    MODALITIES_OF_MODE,
    MODE_OF_NAME,
    MODE_OF_OUTPUT,
    MODES,
    STATUSES,
)

_DECORATION = re.compile(
    r"\s*\((?:latest|free|beta|new|extended|self-moderated|batch|[^)]*(?:region|cross-region|via)[^)]*)\)$", re.IGNORECASE
)
_NAME_PARTS = re.compile(r"[-.:/_]")
_SELLER_PREFIX = re.compile(r"^[\w .&/'-]{2,24}: (?=\S)")
_WORDS = {
    "gpt": "GPT", "glm": "GLM", "oss": "OSS", "tts": "TTS", "hd": "HD", "vl": "VL", "ocr": "OCR", "moe": "MoE", "llama": "Llama",
    "ai": "AI",
    "deepseek": "DeepSeek", "minimax": "MiniMax", "dall": "DALL", "xl": "XL", "mimo": "MiMo", "qwq": "QwQ", "bge": "BGE", "sdxl": "SDXL",
}  # fmt: skip


def model_facts(model: ModelDraft, today: date) -> dict[str, Any]:
    """Column values of the model; `facts` says which source each was taken from."""
    facts: dict[str, str] = {}
    pairs = list(testimonies_by_trust(model))

    def take(column: str, attribute: str | None = None) -> Any:
        for _, testimony in pairs:
            value = getattr(testimony.record, attribute or column)
            if value is not None and value != () and value != "":
                facts[column] = testimony.source
                return value
        return None

    makes = take("modalities_out")
    stated = take("mode")
    mode = _mode(model, stated, makes)
    if mode != stated:
        facts.pop("mode", None)
    default_in, default_out = MODALITIES_OF_MODE[mode]
    modalities_in, modalities_out = _modalities(take("modalities_in"), default_in), _modalities(makes, default_out)
    has, denied = _capabilities(model, facts)
    # What a model takes in and what it can do must not contradict each other.
    for modality, capability in (("image", "vision"), ("pdf", "pdf_input"), ("audio", "audio_input"), ("video", "video_input")):
        if capability in has and modality not in modalities_in:
            modalities_in = sorted({*modalities_in, modality}, key=list(MODALITIES).index)
        elif modality in modalities_in and mode in ("chat", "realtime") and capability not in has:
            has, denied = sorted({*has, capability}), [word for word in denied if word != capability]
    # Only its maker retires a model; another seller's date ends that seller's offer.
    own = [(t.record.deprecation_date, t.source) for offer, t in pairs if is_first_party(offer, model.creator)]
    ends = [(day, source) for day, source in own if day is not None]
    deprecation = None
    if ends:
        deprecation, facts["deprecation_date"] = max(ends)
    formats = take("formats", "formats")
    return {
        "id": model.id,
        "name": _name(model, facts),
        "creator": model.creator,
        "family": _family(model, take("family")),
        "description": take("description"),
        "mode": mode,
        "capabilities": has,
        "capabilities_denied": denied,
        "modalities_in": modalities_in,
        "modalities_out": modalities_out,
        "supported_formats": sorted({*(formats or ()), *(f for word in modalities_in for f in FORMATS_OF_MODALITY.get(word, ()))}),
        "context_tokens": take("context_tokens"),
        "max_output_tokens": take("max_output_tokens"),
        "release_date": take("release_date"),
        "knowledge_cutoff": _cut(take("knowledge_cutoff"), 10),
        "deprecation_date": deprecation,
        "status": "retired" if _ended_everywhere(model, today) else _status(_own_status(model), deprecation, model.id, today),
        "open_weights": take("open_weights"),
        "licence": take("licence"),
        "facts": facts,
    }


def offer_facts(offer: OfferDraft, today: date) -> dict[str, Any]:
    """Column values of the offer, except those that prices decide."""
    capabilities: dict[str, bool] = {}
    for testimony in reversed(offer.testimonies):
        if testimony.exact:
            capabilities |= testimony.record.capabilities
    deprecation = offer.stated("deprecation_date")
    mode = offer.stated("mode") or "chat"
    extra: dict[str, Any] = {}
    for testimony in reversed(offer.testimonies):
        if testimony.record.extra:
            extra[testimony.source] = testimony.record.extra
    return {
        "id": offer.id,
        "model_id": offer.model_id,
        "provider_id": offer.provider,
        "upstream_id": offer.upstream_id,
        "mode": mode if mode in MODES else "chat",
        "region": offer.stated("region"),
        "context_tokens": offer.stated("context_tokens"),
        "max_output_tokens": offer.stated("max_output_tokens"),
        "capabilities": sorted(word for word, yes in capabilities.items() if yes and word in CAPABILITIES),
        "modalities_in": _modalities(offer.stated("modalities_in"), ()),
        "modalities_out": _modalities(offer.stated("modalities_out"), ()),
        "deprecation_date": deprecation,
        "status": _status(offer.stated("status"), deprecation, "", today),
        "extra": extra,
    }


def _capabilities(model: ModelDraft, facts: dict[str, str]) -> tuple[list[str], list[str]]:
    """What it can and what it cannot; where nobody says anything a capability is in neither list."""
    own: dict[str, bool] = {}
    votes: Counter[tuple[str, bool]] = Counter()
    for offer, testimony in testimonies_by_trust(model):
        for capability, yes in testimony.record.capabilities.items():
            votes[capability, yes] += 1
            if is_first_party(offer, model.creator):
                # The maker's several offers and sources are added up: a map that forgot a field says False by omission of detail.
                own[capability] = own.get(capability, False) or yes
            facts.setdefault(f"capability:{capability}", testimony.source)
    has: list[str] = []
    denied: list[str] = []
    for capability in CAPABILITIES:
        pro, contra = votes[capability, True], votes[capability, False]
        if capability in own:
            (has if own[capability] else denied).append(capability)
        elif pro or contra:
            (has if pro >= contra else denied).append(capability)
    return sorted(has), sorted(denied)


def _mode(model: ModelDraft, stated: Any, makes: Any) -> str:
    """What it is for. Maps call much that makes no text a chat model: what it makes says better, or its name where nobody tells that."""
    mode = str(stated) if stated in MODES else "chat"
    if mode != "chat" or "text" in (makes or ()):
        return mode
    made = (MODE_OF_OUTPUT[word] for word in makes or () if word in MODE_OF_OUTPUT)
    named = (MODE_OF_NAME[word] for word in _NAME_PARTS.split(model.id) if word in MODE_OF_NAME)
    return next(made, None) or next(named, mode)


def _modalities(stated: Any, default: tuple[str, ...]) -> list[str]:
    words = {word for word in (stated or default) if word in MODALITIES}
    return sorted(words or default, key=list(MODALITIES).index)


def _name(model: ModelDraft, facts: dict[str, str]) -> str:
    votes: Counter[str] = Counter()
    source: dict[str, str] = {}
    for offer, testimony in testimonies_by_trust(model):
        if testimony.record.name:
            text = " ".join(_DECORATION.sub("", _SELLER_PREFIX.sub("", testimony.record.name)).split())
            if text not in (text.lower(), bare_name(offer.upstream_id)):
                votes[text] += 6 + ("-" in text) if is_first_party(offer, model.creator) else 1
            else:
                votes[text] += 0
            source.setdefault(text, testimony.source)
    if votes:
        best = min(votes, key=lambda text: (-votes[text], len(text), text))
        if votes[best] > 0 and best:
            facts["name"] = source[best]
            return best[:255]
    return title(model.id)


def title(model_id: str) -> str:
    """A readable name out of a slug: `gpt-4o-mini` → `GPT-4o mini` would need knowledge; this gives `GPT 4o Mini`."""
    words = [word for word in model_id.split("-") if word]
    return " ".join(_WORDS.get(word, word if word[:1].isdigit() else word[:1].upper() + word[1:]) for word in words)


def _family(model: ModelDraft, stated: Any) -> str:
    if stated:
        return str(stated)[:120]
    letters = []
    for word in model.key.split("-"):
        if word.isdigit():
            break
        letters.append(word)
    return "-".join(letters[:2])[:120] or model.key[:120]


def _ended_everywhere(model: ModelDraft, today: date) -> bool:
    ends = [offer.stated("deprecation_date") for offer in model.offers]
    return all(end is not None and end <= today for end in ends)


def _own_status(model: ModelDraft) -> str | None:
    """What the maker says; another seller's "beta" is about its own service."""
    stated = (t.record.status for offer, t in testimonies_by_trust(model) if is_first_party(offer, model.creator))
    return next((status for status in stated if status is not None), None)


def _status(stated: Any, deprecation: date | None, name: str, today: date) -> str:
    if deprecation is not None:
        return "retired" if deprecation <= today else "deprecated" if (deprecation - today).days <= 180 else "active"
    if stated in STATUSES:
        return str(stated)
    return "preview" if re.search(r"(?:^|-)(?:preview|beta|alpha|exp|experimental)(?:-|$)", name) else "active"


def _cut(text: Any, length: int) -> str | None:
    return str(text)[:length] if text else None
