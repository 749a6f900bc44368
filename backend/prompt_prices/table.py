"""Everything that prompts are priced with, laid out once for each version of catalog and prices."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from backend.carbon.sizes import size_in_name
from backend.catalog.schemas import ModelSummary
from backend.catalog.service import CatalogService
from backend.catalog.sold import OfferEntry
from backend.catalog.taxonomy import is_guard
from backend.pricing.book import PriceBook
from backend.pricing.text_rates import RateColumn, TextRates, rates_of
from backend.prompt_prices.ratios import Tokenizer, tokenizer_of
from backend.prompt_prices.schemas import GUARDS

TIERS = ("batch", "flex", "priority")
SIMULATED = "sandbox"
"""A provider that no text leaves the machine for; shown only to who names it."""


class Rate(NamedTuple):
    """One price that a prompt may have: of an offer, under a service tier or at its base price."""

    offer: OfferEntry
    tier: str | None
    rates: TextRates
    context: int | None
    """Tokens that it holds: what its seller states of its own, else what is known of the model."""


class Sold(NamedTuple):
    """A model, what counts its tokens, and all of its rates, those of service tiers among them. `place`: in the catalog's order."""

    place: int
    model: ModelSummary
    tokenizer: Tokenizer
    size: str
    takes: frozenset[str]
    can: frozenset[str]
    rates: tuple[Rate, ...]
    contenders: tuple[Rate, ...]
    """Those that can be the cheapest where nobody asks for certain sellers, offers, tiers or free ones."""
    given_away: bool
    """Whether one of its offers is free."""


class Alike:
    """Models that count tokens alike, and what their contenders cost, side by side."""

    def __init__(self, sold: Sequence[Sold]) -> None:
        self.tokenizer = sold[0].tokenizer
        self.sold = sold
        self._column = RateColumn([rate.rates for one in sold for rate in one.contenders])

    def costs(self, paid: int, made: int, at: datetime) -> list[int | None]:
        """Of a text of so many tokens, nano-dollars at each contender of each model in turn."""
        return self._column.nano(paid, made, at)


class PromptTable:
    """Takes about a second; make it in a thread."""

    def __init__(self, catalog: CatalogService, prices: PriceBook) -> None:
        tables = {tier: rates_of(prices.cards(), tier) for tier in (None, *TIERS)}
        modes: dict[str, dict[str, list[Sold]]] = defaultdict(lambda: defaultdict(list))
        for place, (model, offers) in enumerate(catalog.sold()):
            rates = tuple(
                Rate(offer, tier, found, offer.context_tokens or model.context_tokens)
                for tier, table in tables.items()
                for offer in offers
                if not offer.retired and (found := table.get(offer.id)) is not None
            )
            size = size_in_name(model.id)
            tokenizer = tokenizer_of(model.id)
            modes[GUARDS if is_guard(model.id) else model.mode][tokenizer.name].append(
                Sold(
                    place,
                    model,
                    tokenizer,
                    "Unknown" if size is None else size.label,
                    frozenset(model.modalities_in),
                    frozenset(model.capabilities),
                    rates,
                    _contenders(rates),
                    any(rate.rates.free for rate in rates),
                )
            )
        self.by_mode = {mode: [Alike(sold) for sold in alike.values()] for mode, alike in modes.items()}
        self.providers = dict(catalog.provider_names())
        self.as_of = catalog.as_of()
        self.ids = {name.casefold(): provider for provider, name in self.providers.items()} | {name: name for name in self.providers}


def _contenders(rates: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """Most offers of a model are dearer than another one both ways, hold no more, and need not be looked at."""
    left: list[Rate] = []
    for rate in rates:
        if rate.tier is not None or rate.rates.free or rate.offer.provider == SIMULATED:
            continue
        if not any(_never_better(rate, other) for other in left):
            left = [other for other in left if not _never_better(other, rate)]
            left.append(rate)
    return tuple(left)


def _never_better(rate: Rate, other: Rate) -> bool:
    """Whether `other` holds as much, costs no more whatever the prompt, and is not the doubtful one of the two."""
    if other.offer.doubt is not None and rate.offer.doubt is None:
        return False
    holds = other.context is None or (rate.context is not None and other.context >= rate.context)
    return holds and rate.rates.never_cheaper_than(other.rates)
