"""models.dev, as the table bundled in `backend/catalog/data`: what models are, and a third opinion on their price."""

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from backend.catalog.providers import provider_id
from backend.catalog.records import OfferRecord, SourceReading
from backend.catalog.sources import file_hash
from backend.catalog.sources.feed import each, mapping, parse_feed
from backend.pricing.quotes import Quote
from backend.pricing.tiers import BASE, Tier

BUNDLED = Path(__file__).parents[1] / "data" / "models_dev_2026-07-02.csv.gz"
_PRICES = {
    "input": "input",
    "output": "output",
    "cache_read": "cache_read",
    "cache_write": "cache_write",
    "reasoning_price": "reasoning",
    "reasoning": "reasoning",
    "input_audio": "audio_in",
    "output_audio": "audio_out",
}
_CAPABILITIES = {"tool_call": "tools", "reasoning": "reasoning", "structured_output": "structured_output", "temperature": "temperature"}
_INPUT_CAPABILITIES = {"image": "vision", "pdf": "pdf_input", "audio": "audio_input", "video": "video_input"}
_SAME_NAME = ("name", "family", "release_date", "tool_call", "reasoning", "structured_output", "temperature", "open_weights", "status")
"""Fields of `api.json` that the table calls the same."""
_STATUS = {"deprecated": "deprecated", "beta": "preview", "alpha": "preview"}


class ModelsDev:
    name = "models.dev"
    label = "models.dev"
    url = "https://models.dev"
    licence = "MIT"

    def __init__(self, path: Path = BUNDLED) -> None:
        self._path = path

    def content_hash(self) -> str:
        return file_hash(self._path)

    def data_date(self) -> date | None:
        return date(2026, 7, 2) if self._path == BUNDLED else None

    def read(self) -> SourceReading:
        with gzip.open(self._path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return SourceReading(self.name, read=len(rows), offers=tuple(offer_of(row) for row in rows))


def read_api(text: bytes, source: str) -> SourceReading:
    """Every model of every provider in `api.json`.

    Raises:
        FeedUnreadable: this is not that file.
    """
    raw = mapping(parse_feed(text), "the list of providers")
    entries: list[tuple[str, Any]] = []
    for provider, facts in raw.items():
        models = facts.get("models") if isinstance(facts, dict) else None
        if isinstance(models, dict):
            entries += [(f"{provider}/{model_id}", (provider, model_id, model)) for model_id, model in models.items()]
    offers, refused = each(entries, lambda _, entry: offer_of(_row(*entry)))
    return SourceReading(source, read=len(entries), offers=tuple(offers), refused=refused)


def _row(provider: str, model_id: str, model: dict[str, Any]) -> dict[str, str]:
    """One entry of `api.json` as a line of the table."""
    cost, limit, modalities = (model.get(name) or {} for name in ("cost", "limit", "modalities"))
    bands = list(cost.get("tiers") or ())
    if not bands and cost.get("context_over_200k"):
        bands = [{**cost["context_over_200k"], "tier": {"type": "context", "size": 200_000}}]
    bands = [band for band in bands if band["tier"].get("type", "context") == "context"]

    def text(value: Any) -> str:
        return "" if value is None else str(value)

    facts = {name: text(model.get(name)) for name in _SAME_NAME}
    prices = {column: text(cost.get(column)) for column in ("input", "output", "cache_read", "cache_write", "input_audio", "output_audio")}
    return {
        **facts,
        **prices,
        "provider": provider,
        "model_id": model_id,
        "base_model": "",
        "license": text(model.get("license")),
        "knowledge_cutoff": text(model.get("knowledge")),
        "context": text(limit.get("context")),
        "output_limit": text(limit.get("output")),
        "modalities_in": "|".join(modalities.get("input") or ()),
        "modalities_out": "|".join(modalities.get("output") or ()),
        "reasoning_price": text(cost.get("reasoning")),
        "tiers": json.dumps(bands, default=str) if bands else "",
    }


def offer_of(row: dict[str, str]) -> OfferRecord:
    """One line of the table as a record."""
    modalities_in, modalities_out = _words(row["modalities_in"]), _words(row["modalities_out"])
    capabilities = {ours: row[theirs] == "True" for theirs, ours in _CAPABILITIES.items() if row[theirs]}
    capabilities |= {ours: word in modalities_in for word, ours in _INPUT_CAPABILITIES.items() if modalities_in}
    if modalities_out:
        capabilities["audio_output"] = "audio" in modalities_out
    return OfferRecord(
        provider=provider_id(row["provider"]),
        upstream_id=row["model_id"],
        name=row["name"] or None,
        family=row["family"] or None,
        base_model=row["base_model"] or None,
        mode=_mode(row, modalities_in, modalities_out),
        capabilities=capabilities,
        modalities_in=modalities_in,
        modalities_out=modalities_out,
        context_tokens=_count(row["context"]),
        max_output_tokens=_count(row["output_limit"]),
        release_date=_date(row["release_date"]),
        knowledge_cutoff=row["knowledge_cutoff"] or None,
        status=_STATUS.get(row["status"]),
        open_weights={"True": True, "False": False}.get(row["open_weights"]),
        licence=row["license"] or None,
        quotes=tuple(quotes_of(row)),
    )


def quotes_of(row: dict[str, str]) -> Iterator[Quote]:
    """USD per 1M tokens, base and context bands."""
    for column in ("input", "output", "cache_read", "cache_write", "reasoning_price", "input_audio", "output_audio"):
        if quote := _quote(_PRICES[column], row[column], BASE, free=row["model_id"].endswith(":free")):
            yield quote
    for band in json.loads(row["tiers"]) if row["tiers"] else ():
        above = band.get("tier", {}).get("size")
        for column, amount in band.items():
            if column in _PRICES and above and (quote := _quote(_PRICES[column], str(amount), Tier(context_above=int(above)))):
                yield quote


def _quote(component: str, text: str, tier: Tier, *, free: bool = False) -> Quote | None:
    """`free`: the seller itself calls the offer free, so a zero means zero."""
    try:
        amount = Decimal(text) if text else None
    except InvalidOperation:
        return None
    if amount is None:
        return None
    return Quote(component, "token", amount, text, tier, confirmed_free=free and amount == 0, extra={"per": 1_000_000})


def _mode(row: dict[str, str], modalities_in: tuple[str, ...], modalities_out: tuple[str, ...]) -> str | None:
    name = row["model_id"].lower()
    if "embed" in name:
        return "embedding"
    if "rerank" in name:
        return "rerank"
    if modalities_out == ("image",):
        return "image_generation"
    if modalities_out == ("video",):
        return "video_generation"
    if modalities_out == ("audio",):
        return "audio_speech"
    if modalities_in == ("audio",) and modalities_out == ("text",):
        return "audio_transcription"
    return "chat" if "text" in modalities_out else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in text.split("|") if word))


def _count(text: str) -> int | None:
    return int(float(text)) if text and float(text) > 0 else None


def _date(text: str) -> date | None:
    padded = text + "-01" * (2 - text.count("-")) if text else ""
    try:
        return date.fromisoformat(padded) if padded else None
    except ValueError:
        return None
