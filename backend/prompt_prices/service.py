"""What a prompt costs at every model: counted once for each encoding, priced at every offer, the cheapest one of each model kept."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from typing import NamedTuple

from backend.catalog.measured import Mmlu
from backend.catalog.service import CatalogService
from backend.kernel.clock import Clock
from backend.kernel.errors import BadRequest, ModelNotFound
from backend.kernel.memory import Idle, give_back_soon
from backend.kernel.money import NANO_PER_USD
from backend.pricing.book import PriceBook
from backend.pricing.cost import MILLION
from backend.prompt_prices.counting import USUAL, Counted, LitText, TextCounter, Tokens
from backend.prompt_prices.ratios import tokenizer_of
from backend.prompt_prices.schemas import ANSWERS, GUARDS, WITHOUT_ANSWER, LeftOut, PricedModel, PricedPrompt, PromptToPrice
from backend.prompt_prices.table import SIMULATED, Alike, PromptTable, Rate, Sold

Scores = Callable[[], Awaitable[Mapping[str, Mmlu]]]
"""Model id → its result on MMLU, 0 to 100."""


_Cost = tuple[bool, bool, int]
"""Of a text at a rate: too long for it, the price doubtful, nano-dollars. The least is the best."""
_Best = tuple[_Cost, tuple[int, int], Sold, Tokens, Rate]
"""A model at its cheapest rate: what it costs, place among equals, and what it is made of. Ordered as the answer is."""
AT_ONCE = 100
"""An answer with so many rows takes a few milliseconds, and is not made in a thread."""


class _Ask(NamedTuple):
    """What was asked for, names resolved. None where nothing was named: all."""

    asked: PromptToPrice
    models: frozenset[str] | None
    offers: frozenset[str] | None
    sellers: frozenset[str] | None
    counted: Counted
    output_tokens: int
    at: datetime

    @property
    def any_rate(self) -> bool:
        """Whether the contenders are all that has to be looked at."""
        return not self.asked.tiers and not self.asked.free and self.sellers is None and self.offers is None


class PromptPrices:
    """Answers come from memory; the first one after a change of catalog or prices, or in a while, builds the table, in a thread."""

    def __init__(self, catalog: CatalogService, prices: PriceBook, clock: Clock, mmlu: Scores | None = None) -> None:
        self._catalog = catalog
        self._prices = prices
        self._clock = clock
        self._mmlu = mmlu
        self._counter = TextCounter()
        self._table: PromptTable | None = None
        self._version: object = None
        self._building = asyncio.Lock()
        self._idle = Idle(self._forget)

    async def price(self, asked: PromptToPrice) -> PricedPrompt:
        """The prompt's cost at each model's cheapest offer, of those that it fits into where there is one; at one with a doubtful price
        only where no other was asked for, and then after all others.

        Raises:
            BadRequest: a provider that there is not.
            ModelNotFound: a model that there is not.
            Overloaded: too many ask at once.
        """
        table = await self._current()
        models, offers = self._named(asked.model_names)
        sellers = _sellers(asked.providers, table)
        counted = await self._counter.count(asked.prompt)
        output = asked.output_tokens if asked.output_tokens is not None else ANSWERS[asked.task]
        ask = _Ask(asked, models, offers, sellers, counted, counted.tokens[USUAL] if output is None else output, self._clock.now())
        mmlu = {} if self._mmlu is None else await self._mmlu()
        if asked.limit <= AT_ONCE:
            return _priced(ask, table, mmlu)
        return await asyncio.to_thread(_priced, ask, table, mmlu)

    async def tokens(self, text: str, name: str) -> LitText:
        """The text in the pieces that a model reads it in, as far as that is known.

        Raises:
            ModelNotFound: there is no such model.
            Overloaded: too many ask at once.
        """
        summary = self._catalog.summary(name)
        if summary is None:
            raise ModelNotFound(f"There is no model {name[:100]!r} in the catalog.", param="model")
        return await self._counter.lit(text, tokenizer_of(summary.id))

    async def counts(self, text: str, names: Sequence[str]) -> dict[str, Tokens]:
        """How many tokens each of these models reads; those that the catalog does not know are left out.

        Raises:
            Overloaded: too many ask at once.
        """
        counted = await self._counter.count(text)
        known = {name: self._catalog.summary(name) for name in names}
        return {name: counted.by(tokenizer_of(summary.id)) for name, summary in known.items() if summary is not None}

    def _forget(self) -> None:
        self._table = None

    async def _current(self) -> PromptTable:
        self._idle.used()
        async with self._building:
            version = (self._catalog.version, self._prices.version)
            if self._table is None or version != self._version:
                self._table, self._version = await asyncio.to_thread(PromptTable, self._catalog, self._prices), version
                give_back_soon()
            return self._table

    def _named(self, names: Sequence[str]) -> tuple[frozenset[str] | None, frozenset[str] | None]:
        """The models and the offers that the names stand for: a model stands for all of its offers."""
        if not names:
            return None, None
        models: set[str] = set()
        offers: set[str] = set()
        for name in names:
            summary = self._catalog.summary(name)
            if summary is None:
                raise ModelNotFound(f"There is no model {name[:100]!r} in the catalog.", param="model_names")
            models.add(summary.id)
            offers.update(f"{provider}/{upstream}" for provider, upstream in self._catalog.offers_named(name))
        return frozenset(models), frozenset(offers)


def _sellers(names: Sequence[str], table: PromptTable) -> frozenset[str] | None:
    found = set()
    for name in names:
        provider = table.ids.get(name) or table.ids.get(name.casefold())
        if provider is None:
            raise BadRequest(f"There is no provider {name[:100]!r} in the catalog.", param="providers")
        found.add(provider)
    return frozenset(found) or None


def _priced(ask: _Ask, table: PromptTable, mmlu: Mapping[str, Mmlu]) -> PricedPrompt:
    asked, output = ask.asked, ask.output_tokens
    found: list[_Best] = []
    unpriced = free = 0
    # Who names a guard gets it, though it writes nothing.
    for number, mode in enumerate(dict.fromkeys([*asked.mode, *([GUARDS] if asked.model_names else [])])):
        answer = 0 if mode in WITHOUT_ANSWER else output
        for alike in table.by_mode.get(mode, ()):
            tokens = ask.counted.by(alike.tokenizer)
            for sold, rate, cost in _cheapest(ask, alike, tokens.tokens, answer):
                if rate is not None:
                    found.append((cost, (number, sold.place), sold, tokens, rate))
                elif sold.given_away if ask.any_rate else _asked_for(sold, ask)[1]:
                    free += 1
                elif ask.sellers is None or any(rate.offer.provider in ask.sellers for rate in sold.rates):
                    unpriced += 1
    shown = nsmallest(asked.limit, found) if asked.limit < len(found) else sorted(found)
    data = [_row(best, ask, table, mmlu) for best in shown]
    return PricedPrompt.model_construct(
        success=True,
        prompt=asked.prompt,
        estimated_tokens=ask.counted.tokens[USUAL],
        output_tokens=output,
        currency="USD",
        count=len(data),
        total=len(found),
        not_fitting=sum(cost[0] for cost, *_ in found),
        left_out=LeftOut(unpriced=unpriced, free=free),
        data=data,
    )


def _cheapest(ask: _Ask, alike: Alike, tokens: int, answer: int) -> Iterator[tuple[Sold, Rate | None, _Cost]]:
    """Each model that was asked for with its cheapest rate and the text's cost there; None where it has none."""
    asked, models, at = ask.asked, ask.models, ask.at
    takes, can, needed = frozenset(asked.modality), frozenset(asked.capability), tokens + answer
    every_model, any_rate = models is None and not takes and not can, ask.any_rate
    costs = alike.costs(tokens, answer, at) if any_rate else []
    end = 0
    for sold in alike.sold:
        begin, end = end, end + len(sold.contenders)
        if not every_model and ((models is not None and sold.model.id not in models) or not (takes <= sold.takes and can <= sold.can)):
            continue
        rates = sold.contenders if any_rate else _asked_for(sold, ask)[0]
        best: Rate | None = None
        least: _Cost = (False, False, -1)
        for place, rate in enumerate(rates, begin):
            nano = costs[place] if any_rate else rate.rates.nano(tokens, answer, at)
            if nano is None:
                continue
            cost = (rate.context is not None and needed > rate.context, rate.offer.doubt is not None, nano)
            if best is None or cost < least:
                best, least = rate, cost
        yield sold, best, least


def _asked_for(sold: Sold, ask: _Ask) -> tuple[tuple[Rate, ...], bool]:
    """The model's rates that were asked for, and whether one that is free was left out."""
    asked: list[Rate] = []
    given_away = False
    tiers, sellers, offers = ask.asked.tiers, ask.sellers, ask.offers
    for rate in sold.rates:
        offer = rate.offer
        if rate.tier is not None and rate.tier not in tiers:
            continue
        if offer.provider == SIMULATED if sellers is None else offer.provider not in sellers:
            continue
        if offers is not None and offer.id not in offers:
            continue
        if rate.rates.free and not ask.asked.free:
            given_away = True
        else:
            asked.append(rate)
    return tuple(asked), given_away


def _row(best: _Best, ask: _Ask, table: PromptTable, mmlu: Mapping[str, Mmlu]) -> PricedModel:
    (too_long, _, nano), _, sold, tokens, (offer, tier, rates, context) = best
    model = sold.model
    known = mmlu.get(model.id)
    answer = 0 if model.mode in WITHOUT_ANSWER else ask.output_tokens
    band = rates.band(tokens.tokens, ask.at)
    paid, made = (0, 0) if band is None else (band.paid or 0, band.made or 0)
    low, high = rates.nano(tokens.low, answer, ask.at), rates.nano(tokens.high, answer, ask.at)
    return PricedModel.model_construct(
        model_name=model.id,
        name=model.name,
        provider=table.providers.get(offer.provider, offer.provider),
        provider_id=offer.provider,
        offer=offer.id,
        tier=tier,
        price_per_token=paid / MILLION / NANO_PER_USD,
        output_price_per_token=made / MILLION / NANO_PER_USD,
        estimated_tokens=tokens.tokens,
        tokens_low=tokens.low,
        tokens_high=tokens.high,
        method=tokens.method,
        encoding=tokens.encoding,
        output_tokens=answer,
        input_cost=tokens.tokens * paid / MILLION / NANO_PER_USD,
        output_cost=answer * made / MILLION / NANO_PER_USD,
        total_cost=nano / NANO_PER_USD,
        cost_low=(nano if low is None else low) / NANO_PER_USD,
        cost_high=(nano if high is None else high) / NANO_PER_USD,
        context_tokens=context,
        fits=None if context is None else not too_long,
        free=rates.free,
        price_source=offer.source,
        price_as_of=table.as_of.get(offer.source or ""),
        price_doubt=offer.doubt,
        mmlu_score=known.score if known else None,
        mmlu_source=known.source if known else None,
        model_size=sold.size,
    )
