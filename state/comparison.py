"""Models side by side: sections of rows with one cell per model, from what the services answer. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from backend.carbon.footprint import Footprint, Unknown
from backend.catalog.schemas import ModelDetail, OfferView
from backend.catalog.taxonomy import MODALITIES
from backend.kernel.money import format_usd
from backend.pricing.doubt import UNCONFIRMED
from backend.pricing.schemas import ModelCost, OfferCost
from state.calculator import span_text
from state.offers import evidence_text
from state.views import NOT_STATED, UNPRICED, counted, date_text, month_text, origin_text, price_text, status_text, tokens_text

COSTS = "What this work costs"
"""The section that follows the workload; all others do not."""

_SIZES = {"registry": "by the registry's size", "published": "by its maker's size", "name": "by the size in its name"}
"""Where the size of a model comes from that its emissions are estimated by."""


@dataclass(slots=True)
class Cell:
    """One model's value. `tone` is good for the best of its row and quiet for what is unknown; `note` stands below.

    `score`, `low` and `high` (0–100) are drawn as a bar where `bar` is true.
    """

    text: str = ""
    note: str = ""
    tone: str = ""
    bar: bool = False
    score: int = 0
    low: int = 0
    high: int = 0


@dataclass(slots=True)
class Row:
    """`same`: every model has the same value."""

    label: str = ""
    hint: str = ""
    cells: list[Cell] = field(default_factory=list)
    same: bool = False


@dataclass(slots=True)
class Section:
    """`folded` rows are shown when somebody asks for them; `fold_label` says how many they are and `fold_hint` which."""

    title: str = ""
    rows: list[Row] = field(default_factory=list)
    about: str = ""
    folded: list[Row] = field(default_factory=list)
    fold_label: str = ""
    fold_hint: str = ""


@dataclass(slots=True)
class Column:
    """One model at the head of the table."""

    id: str = ""
    name: str = ""
    href: str = ""
    maker: str = ""


@dataclass(frozen=True, slots=True)
class Contender:
    """One model with what the services know about it."""

    detail: ModelDetail
    cost: ModelCost
    carbon: Footprint | Unknown | None = None

    @property
    def reference(self) -> OfferView | None:
        """The offer that a model is known by: its maker's, else the cheapest."""
        summary = self.detail.summary
        wanted = summary.own_offer or summary.cheapest_offer
        return next((offer for offer in self.detail.offers if offer.id == wanted), None)


def column(contender: Contender) -> Column:
    summary = contender.detail.summary
    return Column(summary.id, summary.name, f"/models/{summary.id}", summary.creator_name or "")


def sections(contenders: Sequence[Contender], now: datetime) -> list[Section]:
    """What can be said of all of them, in the order in which people ask."""
    return [
        Section(COSTS, cost_rows(contenders)),
        Section("Prices, $ per 1M tokens", price_rows(contenders, now)),
        Section("Facts and limits", fact_rows(contenders)),
        Section("Takes in and gives out", modality_rows(contenders)),
        Section("Can do", capability_rows(contenders)),
    ]


def only_differences(found: Sequence[Section]) -> list[Section]:
    """Without the rows in which all models are the same, and without sections that have none left."""
    kept = [replace(section, rows=[row for row in section.rows if not row.same]) for section in found]
    return [section for section in kept if section.rows]


def cost_rows(contenders: Sequence[Contender]) -> list[Row]:
    def amount(label: str, of: Callable[[OfferCost], int | None]) -> Row:
        values = [of(best) if (best := one.cost.best) else None for one in contenders]
        texts = [UNPRICED if value is None else format_usd(value) if value else "free" for value in values]
        return numbers(label, values, texts, best=min)

    best = [one.cost.best for one in contenders]
    names = [{offer.id: offer.provider_name for offer in one.detail.offers} for one in contenders]
    sellers = [
        Cell(names[i].get(offer.offer_id, offer.provider), _origin(offer)) if offer else _quiet("nobody") for i, offer in enumerate(best)
    ]
    return [
        amount("A call", lambda cost: cost.nano),
        amount("A day", lambda cost: cost.day),
        amount("A month", lambda cost: cost.month),
        _row("Cheapest at", sellers),
        row_of_makers(contenders),
        carbon_row(contenders),
    ]


def _origin(offer: OfferCost) -> str:
    """Whose word its price is and of which day, and what speaks against it."""
    said = origin_text(offer.origin.source, offer.origin.as_of)
    return "; ".join(part for part in (said, f"{UNCONFIRMED}: {offer.doubt}" if offer.doubt is not None else "") if part)


def _seller(offer: OfferView) -> Cell:
    return Cell(offer.provider_name, origin_text(offer.price_source, offer.price_as_of))


def carbon_row(contenders: Sequence[Contender]) -> Row:
    """Grams of CO2 equivalent of a call; nobody is marked as the best, because the ranges say how little is known."""
    cells = []
    for one in contenders:
        if isinstance(one.carbon, Footprint):
            cells.append(Cell(span_text(one.carbon.grams_low, one.carbon.grams_high), _SIZES[one.carbon.size.source]))
        else:
            cells.append(_quiet("not known"))
    return _row("g CO₂e a call", cells)


def row_of_makers(contenders: Sequence[Contender]) -> Row:
    """What a call costs at whoever made the model."""
    cells = []
    for one in contenders:
        own = one.detail.summary.own_offer
        cost = next((offer for offer in one.cost.offers if offer.offer_id == own), None)
        if own is None:
            cells.append(_quiet("not sold by its maker"))
        else:
            cells.append(_quiet(UNPRICED) if cost is None or cost.nano is None else Cell(format_usd(cost.nano)))
    return _row("A call at its maker", cells)


def price_rows(contenders: Sequence[Contender], now: datetime) -> list[Row]:
    def amount(label: str, of: Callable[[OfferView], int | None], otherwise: str) -> Row:
        values = [of(one.reference) if one.reference else None for one in contenders]
        texts = [otherwise if value is None else price_text(value) for value in values]
        return numbers(label, values, texts, best=min)

    evidence = [evidence_text(one.reference, now)[0] if one.reference else "no source" for one in contenders]
    return [
        amount("Input", lambda offer: offer.input_nano, UNPRICED),
        amount("Output", lambda offer: offer.output_nano, UNPRICED),
        amount("Cached input", lambda offer: offer.cache_read_nano, NOT_STATED),
        amount("Batch input", lambda offer: offer.batch_input_nano, NOT_STATED),
        _row("Prices of", [_seller(one.reference) if one.reference else _quiet("nobody") for one in contenders]),
        _row("Evidence", [Cell(text) for text in evidence]),
    ]


def fact_rows(contenders: Sequence[Contender]) -> list[Row]:
    def said(label: str, of: Callable[[ModelDetail], str | None]) -> Row:
        return _row(label, [Cell(text) if (text := of(one.detail)) else _quiet(NOT_STATED) for one in contenders])

    def tokens(label: str, of: Callable[[ModelDetail], int | None]) -> Row:
        values = [of(one.detail) for one in contenders]
        return numbers(label, values, [tokens_text(value) or NOT_STATED for value in values], best=max)

    return [
        said("Made by", lambda model: model.summary.creator_name),
        tokens("Context, tokens", lambda model: model.summary.context_tokens),
        tokens("Longest answer, tokens", lambda model: model.max_output_tokens),
        said("Released", lambda model: date_text(model.summary.release_date)),
        said("Knows until", lambda model: month_text(model.knowledge_cutoff)),
        said("Weights", lambda model: {True: "open", False: "closed", None: None}[model.summary.open_weights]),
        said("Licence", lambda model: model.licence),
        said("Status", lambda model: status_text(model.summary.status)[0]),
        said("Ends", lambda model: date_text(model.deprecation_date)),
        said("Sold by", lambda model: counted(model.summary.providers, "provider")),
    ]


def modality_rows(contenders: Sequence[Contender]) -> list[Row]:
    """One row for each kind of content that any of them takes or gives."""
    rows = []
    models = [one.detail.summary for one in contenders]
    for direction, has in (("in", [one.modalities_in for one in models]), ("out", [one.modalities_out for one in models])):
        for word, label in MODALITIES.items():
            if any(word in kinds for kinds in has):
                rows.append(_row(f"{label} {direction}", [Cell("yes") if word in kinds else _quiet("no") for kinds in has]))
    return rows


def capability_rows(contenders: Sequence[Contender]) -> list[Row]:
    """Three-valued: that nobody states a thing is not a no. What nobody states of any of them is left out."""
    rows = []
    for states in zip(*(one.detail.capability_matrix for one in contenders), strict=True):
        if all(state.supported is None for state in states):
            continue
        cells = [Cell("yes") if state.supported else _quiet(NOT_STATED if state.supported is None else "no") for state in states]
        rows.append(_row(states[0].label, cells))
    return rows


def numbers(label: str, values: Sequence[int | None], texts: Sequence[str], *, best: Callable[[list[int]], int]) -> Row:
    """A row of which the best value is marked, where they differ."""
    known = [value for value in values if value is not None]
    winner = best(known) if len(set(known)) > 1 else None
    cells = [
        Cell(text, tone="quiet" if value is None else "good" if value == winner else "") for value, text in zip(values, texts, strict=True)
    ]
    return _row(label, cells)


def _row(label: str, cells: list[Cell]) -> Row:
    return Row(label, cells=cells, same=len(cells) > 1 and len({cell.text for cell in cells}) == 1)


def _quiet(text: str) -> Cell:
    return Cell(text, tone="quiet")
