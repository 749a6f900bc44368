"""One model: what it is, who sells it for how much, how sure we are. Opened by its slug or by any offer's id, slashes and all."""

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

import reflex as rx

from backend import runtime
from backend.catalog.schemas import ModelDetail, PaletteHit
from backend.catalog.service import CatalogService
from backend.kernel.ids import new_id
from state.base import explain
from state.guard import STORE, handler
from state.offers import OfferRow, PriceRow, offer_row, other_prices, price_rows
from state.samples import code_samples
from state.views import NOT_STATED, Hit, date_text, hit, month_text, origin_text, price_note, price_text, status_text, tokens_text

_OFFERS_SHOWN = 24
_NEAR_WORDS, _NEAR_SHOWN = 6, 6
_DATES = frozenset({"release_date", "knowledge_cutoff", "deprecation_date"})
_NOT_CONNECTED = "Works as soon as an operator connects one of its providers; until then the answer is a clear error."


@dataclass(slots=True)
class Line:
    """A label, a value, where it comes from."""

    label: str = ""
    value: str = ""
    source: str = ""


@dataclass(slots=True)
class Ability:
    """`supported` is yes, no or not stated."""

    label: str = ""
    supported: str = ""


class ModelState(rx.State):
    """`stage` is waiting, found, missing or failed; `opened` is the offer whose full price list is in `prices`."""

    stage: str = "waiting"
    title: str = "Model · Bourse"
    asked: str = ""
    slug: str = ""
    name: str = ""
    creator: str = ""
    description: str = ""
    status: str = ""
    tone: str = "plain"
    key_facts: list[Line] = []
    offers: list[OfferRow] = []
    offers_title: str = ""
    more_offers: int = 0
    opened: str = ""
    prices: list[PriceRow] = []
    abilities: list[Ability] = []
    details: list[Line] = []
    aliases: list[str] = []
    samples: list[dict[str, str]] = []
    sample_note: str = ""
    near: list[Hit] = []
    failure: str = ""
    failure_id: str = ""
    _all_offers: bool = False

    @handler(STORE)
    async def load(self) -> None:
        """The name after /models/ decides; the same name again is only refreshed."""
        name = self._name()
        if name != self.asked:
            self.stage, self._all_offers = "waiting", False
        self.asked = name
        await self._try_again()

    @handler(STORE)
    async def retry(self) -> None:
        await self._try_again()

    @handler(STORE)
    async def open_offer(self, offer_id: str) -> None:
        """Show or hide the full price list of one offer."""
        if offer_id == self.opened:
            self.opened, self.prices = "", []
            return
        detail = await runtime.current().catalog.model(self._name())
        for offer in detail.offers if detail else ():
            if offer.id == offer_id:
                self.opened, self.prices = offer.id, price_rows(offer.prices)

    @handler(STORE)
    async def show_all_offers(self) -> None:
        self._all_offers = True
        await self._show(self._name())

    def _name(self) -> str:
        return name_in(self.router.url.path)

    async def _try_again(self) -> None:
        try:
            await self._show(self._name())
            self.failure = ""
        except Exception as error:
            told = explain(error, new_id("request"), "ModelState.load")
            self.stage, self.failure, self.failure_id = "failed", told["message"], told["request_id"]

    async def _show(self, name: str) -> None:
        now = runtime.current()
        detail = await now.catalog.model(name)
        self.opened, self.prices = "", []
        if detail is None:
            self.stage, self.title = "missing", "No such model · Bourse"
            self.near = [hit(found) for found in _near(now.catalog, name)]
            return
        self._show_detail(detail, now.clock.now())
        self.samples = code_samples(detail, production=now.settings.is_production)
        route = now.routes.find(detail.summary.id)
        self.sample_note = "" if route is not None and route.enabled else _NOT_CONNECTED

    def _show_detail(self, detail: ModelDetail, now: datetime) -> None:
        summary = detail.summary
        self.stage, self.slug, self.name = "found", summary.id, summary.name
        self.title = f"{summary.name} · Bourse"
        self.creator, self.description = summary.creator_name or "", detail.description or ""
        self.status, self.tone = status_text(summary.status)
        self.key_facts = _key_facts(detail)
        offers = detail.offers if self._all_offers else detail.offers[:_OFFERS_SHOWN]
        self.offers = [offer_row(offer, now) for offer in offers]
        self.more_offers = len(detail.offers) - len(offers)
        self.offers_title = detail.headline
        self.abilities = [
            Ability(one.label, {True: "yes", False: "no", None: NOT_STATED}[one.supported]) for one in detail.capability_matrix
        ]
        self.details = [
            Line(fact.label, month_text(fact.value) if fact.name in _DATES else fact.value, fact.source) for fact in detail.facts
        ]
        self.aliases = list(detail.aliases[:40])


def name_in(path: str) -> str:
    """The model or offer that the address of a model's page names."""
    return unquote(path.removeprefix("/models/")).strip("/")[:255]


def _near(catalog: CatalogService, name: str) -> list[PaletteHit]:
    """Models whose names share the beginning: the last words are dropped one by one until something is found."""
    words = re.split(r"[^\w.]+", name.rsplit("/", 1)[-1])[:_NEAR_WORDS]
    for count in range(len(words), 0, -1):
        if found := catalog.palette(" ".join(words[:count]), _NEAR_SHOWN):
            return found
    return []


def _key_facts(detail: ModelDetail) -> list[Line]:
    """The row under the name: limits and prices, the maker's own or else the cheapest seller's; what nobody says is said to be so."""
    summary = detail.summary
    own = next((offer for offer in detail.offers if offer.id == summary.own_offer), None)
    cheapest = next((offer for offer in detail.offers if offer.id == summary.cheapest_offer), None)
    reference = own or cheapest
    seller = f" at {own.provider_name}" if own and summary.offers > 1 else " from" if summary.offers > 1 else ""
    note = price_note(summary.price_state, summary.input_nano, summary.output_nano)
    others = next((prices for offer in detail.offers if (prices := other_prices(offer))), [])
    if summary.input_nano is None and summary.output_nano is None and others:
        priced = [Line(what, f"{amount} {unit}") for what, amount, unit in others[:2]]
    else:
        priced = [
            Line(f"Input{seller}, per 1M", _dollars(reference.input_nano if reference else None, note)),
            Line(f"Output{seller}, per 1M", _dollars(reference.output_nano if reference else None, note)),
            Line("Cached input", _dollars(reference.cache_read_nano if reference else None, NOT_STATED)),
        ]
    said = origin_text(reference.price_source, reference.price_as_of) if reference else ""
    return [
        *priced,
        *([Line("Price as told by", said)] if said else []),
        Line("Context", tokens_text(summary.context_tokens) or NOT_STATED),
        Line("Max output", tokens_text(detail.max_output_tokens) or NOT_STATED),
        Line("Released", date_text(summary.release_date) or NOT_STATED),
        Line("Knowledge until", month_text(detail.knowledge_cutoff) or NOT_STATED),
    ]


def _dollars(nano: int | None, otherwise: str) -> str:
    return otherwise if nano is None else f"${price_text(nano)}"
