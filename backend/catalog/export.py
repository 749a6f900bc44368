"""Rows as CSV (RFC 4180), safe to open in a spreadsheet: what could be taken for a formula gets an apostrophe in front of it."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from backend.catalog.schemas import ModelSummary
from backend.kernel.money import usd_from_nano

_FORMULA = re.compile(r"[=+\-@\t\r\n'＝＋－＠]")
COLUMNS = (
    "id", "name", "provider", "releaseDate", "status", "mode", "capabilities", "modalities", "modalitiesOut", "languages",
    "contextTokens", "maxOutputTokens", "openWeights", "offers", "providers", "priceState", "inputUsdPerMillion", "outputUsdPerMillion",
    "cheapestOffer", "priceSource", "priceAsOf",
)  # fmt: skip


def models_as_csv(models: Iterable[ModelSummary]) -> bytes:
    """One row per model under `COLUMNS`; lists are separated by spaces, unknown is empty, prices are exact decimals."""
    return as_csv(COLUMNS, ([*_row(model)] for model in models))


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """UTF-8 with CRLF. Numbers stay as they are; a text that begins as a formula could gets an apostrophe, and so does one that begins with
    an apostrophe, so that taking the first one away gives back what was there."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    for row in (head, *rows):
        writer.writerow(["" if value is None else _safe(value) if isinstance(value, str) else value for value in row])
    return text.getvalue().encode()


def _safe(text: str) -> str:
    return f"'{text}" if _FORMULA.match(text) else text


def _row(model: ModelSummary) -> Iterable[object]:
    yield from (model.id, model.name, model.creator, model.release_date and model.release_date.isoformat(), model.status, model.mode)
    yield from (" ".join(words) for words in (model.capabilities, model.modalities_in, model.modalities_out, model.languages))
    yield from (model.context_tokens, model.max_output_tokens)
    yield None if model.open_weights is None else str(model.open_weights).lower()
    yield from (model.offers, model.providers, model.price_state)
    for nano in (model.input_nano, model.output_nano):
        yield None if nano is None else f"{usd_from_nano(nano).normalize():f}"
    yield from (model.cheapest_offer, model.price_source, model.price_as_of and model.price_as_of.isoformat())
