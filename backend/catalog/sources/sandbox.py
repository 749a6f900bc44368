"""The simulated provider that answers on this machine: priced like a real one, labelled as simulated everywhere."""

import hashlib
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from backend.catalog.records import OfferRecord, SourceReading
from backend.pricing.quotes import Quote

INPUT_USD, OUTPUT_USD = Decimal("0.50"), Decimal("1.50")
MODELS = {
    "chat": ("Sandbox Chat", "Answers at once."),
    "slow": ("Sandbox Slow", "Waits before the first token and between tokens."),
    "flaky": ("Sandbox Flaky", "Fails on some calls, to try retries and fallback."),
    "long": ("Sandbox Long", "Streams a long answer."),
    "reasoning": ("Sandbox Reasoning", "Spends reasoning tokens before it answers."),
    "broken": ("Sandbox Broken", "Always fails."),
}


class _Kind(NamedTuple):
    """What a model does that does not chat, and what it costs: component, unit, USD for a million."""

    mode: str
    modalities_in: str
    modalities_out: str
    does: str
    quotes: tuple[tuple[str, str, str], ...]


BESIDE_CHAT = {
    "embedding": _Kind("embedding", "text", "embedding", "Turns texts into vectors.", (("input", "token", "0.02"),)),
    "completion": _Kind("completion", "text", "text", "Goes on with a text.", (("input", "token", "0.50"), ("output", "token", "1.50"))),
    "moderation": _Kind("moderation", "text", "text", "Flags texts about violence.", (("input", "token", "0.01"),)),
    "reranker": _Kind("rerank", "text", "text", "Puts documents in order.", (("input", "query", "2000"),)),
    "image": _Kind("image_generation", "text", "image", "Draws one color.", (("image_out", "image", "40000"),)),
    "speech": _Kind("audio_speech", "text", "audio", "Hums a text.", (("input", "character", "15"),)),
    "transcriber": _Kind("audio_transcription", "audio", "text", "Says how long a file plays.", (("input", "second", "100"),)),
}


class Sandbox:
    name = "sandbox"
    label = "Bourse sandbox (simulated)"
    url = "about:bourse"
    licence = "Apache-2.0"

    def content_hash(self) -> str:
        return hashlib.sha256(repr((MODELS, INPUT_USD, OUTPUT_USD, BESIDE_CHAT, "2")).encode()).hexdigest()

    def data_date(self) -> date | None:
        return None

    def read(self) -> SourceReading:
        offers = tuple(
            OfferRecord(
                provider="sandbox",
                upstream_id=upstream_id,
                name=name,
                description=f"Simulated: no model runs. {what}",
                creator="bourse",
                family="sandbox",
                base_model=f"sandbox-{upstream_id}",
                mode="chat",
                capabilities={"tools": True, "structured_output": True, "system_messages": True, "reasoning": upstream_id == "reasoning"},
                modalities_in=("text",),
                modalities_out=("text",),
                context_tokens=128_000,
                max_output_tokens=16_384,
                open_weights=False,
                quotes=(
                    Quote("input", "token", INPUT_USD, str(INPUT_USD), extra={"per": 1_000_000}),
                    Quote("output", "token", OUTPUT_USD, str(OUTPUT_USD), extra={"per": 1_000_000}),
                ),
            )
            for upstream_id, (name, what) in MODELS.items()
        )
        offers += tuple(_beside_chat(upstream_id, kind) for upstream_id, kind in BESIDE_CHAT.items())
        return SourceReading(self.name, read=len(offers), offers=offers)


def _beside_chat(upstream_id: str, kind: _Kind) -> OfferRecord:
    return OfferRecord(
        provider="sandbox",
        upstream_id=upstream_id,
        name=f"Sandbox {upstream_id.capitalize()}",
        description=f"Simulated: no model runs. {kind.does}",
        creator="bourse",
        family="sandbox",
        base_model=f"sandbox-{upstream_id}",
        mode=kind.mode,
        capabilities={},
        modalities_in=(kind.modalities_in,),
        modalities_out=(kind.modalities_out,),
        open_weights=False,
        quotes=tuple(Quote(component, unit, Decimal(usd), usd, extra={"per": 1_000_000}) for component, unit, usd in kind.quotes),
    )
