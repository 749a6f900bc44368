"""The simulated provider that answers on this machine: priced like a real one, labelled as simulated everywhere."""

import hashlib
from datetime import date
from decimal import Decimal

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


class Sandbox:
    name = "sandbox"
    label = "Bourse sandbox (simulated)"
    url = "about:bourse"
    licence = "Apache-2.0"
    rank = 100

    def content_hash(self) -> str:
        return hashlib.sha256(repr((MODELS, INPUT_USD, OUTPUT_USD, "1")).encode()).hexdigest()

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
        return SourceReading(self.name, read=len(offers), offers=offers)
