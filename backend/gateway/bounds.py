"""The most that a call may take from each candidate: tokens for the limits, money for the budgets, and the cap that is sent upstream."""

from collections.abc import Mapping
from typing import Any

from backend.gateway.call import Call
from backend.gateway.chat_sound import asks_for_sound, has_sound
from backend.gateway.cheapest import cheapest_first
from backend.gateway.models_list import Catalog
from backend.gateway.normal_form import added_bytes
from backend.gateway.token_bound import structure_bytes, token_bound
from backend.gateway.token_count import TokenCounter
from backend.gateway.token_families import Family, family_of
from backend.gateway.unbounded_fields import reason, unbounded_fields
from backend.gateway.upstreams import Upstreams
from backend.kernel.errors import NoAvailableProvider, UnsupportedParameter
from backend.kernel.json import dump_json
from backend.kernel.money import nano_from_usd
from backend.pricing.book import PriceBook
from backend.pricing.cost import PriceCard, PriceLine
from backend.pricing.worst_case import Rates, worst_rates
from backend.routing.route import Candidate
from backend.settings import DefaultBudget, UnknownPrice

UNKNOWN_MODEL_CAP = 16_384
LEAST_CAP = 256
"""Near the end of a budget an answer that nobody bounded is bounded to no less than this."""


class Bound:
    """One candidate for one call. Money is in nano-dollars; `rates` is None where nothing has to be reserved, because the offer is free."""

    __slots__ = ("candidate", "cap", "card", "choices", "context", "family", "predicted", "prompt", "rates", "sends_cap", "without")

    def __init__(self, candidate: Candidate, family: Family, context: int | None, prompt: int, cap: int, choices: int, sends: bool) -> None:
        self.candidate = candidate
        self.family = family
        self.context = context
        self.prompt = prompt
        """No fewer tokens than the prompt has."""
        self.cap = cap
        """The most tokens of one choice of the answer."""
        self.choices = choices
        self.sends_cap = sends
        """The caller named no cap, so ours goes upstream; it may be lowered."""
        self.predicted = 0
        """Tokens of a prediction: those that the answer does not take over are billed beside it."""
        self.card: PriceCard | None = None
        """The prices that the call is going to be charged by, whatever happens to them meanwhile."""
        self.rates: Rates | None = None
        self.without: tuple[Mapping[str, Any], tuple[str, ...]] | None = None
        """The body that it takes instead of the call's, and which fields are not in it, once it has refused them."""

    @property
    def answer(self) -> int:
        """The most tokens that are delivered."""
        return self.cap * self.choices

    @property
    def billed(self) -> int:
        """The most tokens of output that the provider counts."""
        return self.cap * self.choices + self.predicted

    @property
    def tokens(self) -> int:
        return self.prompt + self.cap * self.choices + self.predicted

    @property
    def worst(self) -> int:
        """What the call costs at the most."""
        return self.rates.nano(self.prompt, self.cap * self.choices + self.predicted) if self.rates is not None else 0

    @property
    def least(self) -> int:
        """As `worst`, with the cap lowered as far as it may be."""
        if self.rates is None:
            return 0
        cap = min(self.cap, LEAST_CAP) if self.sends_cap else self.cap
        return self.rates.nano(self.prompt, cap * self.choices + self.predicted)

    def does_without(self, body: Mapping[str, Any], dropped: tuple[str, ...]) -> None:
        """From now on it is asked with this body, the call's without these fields: what they would have cost is not counted."""
        self.without = body, dropped
        predicted, self.choices = self.predicted // self.choices, _choices(body)
        self.predicted = predicted * self.choices if body.get("prediction") else 0

    def fit(self, nano: int) -> None:
        """Lower the cap until the call costs at most `nano`, which is not less than `least`."""
        if self.rates is not None and self.sends_cap:
            answer = self.rates.answer_within(nano, self.prompt) - self.predicted
            self.cap = min(self.cap, max(1, answer // self.choices))


class Bounder:
    """Gives calls their bounds: in tokens first, then in money, and exactly counted where the difference matters.

    Args:
        budget: what to do with an offer that has no price.
        allowed: the fields without a bound that a provider may be sent, by its name.
    """

    def __init__(
        self,
        catalog: Catalog,
        prices: PriceBook,
        upstreams: Upstreams,
        counter: TokenCounter,
        budget: DefaultBudget,
        allowed: Mapping[str, frozenset[str]],
    ) -> None:
        self._catalog = catalog
        self._prices = prices
        self._upstreams = upstreams
        self._counter = counter
        self._allowed = allowed
        unknown = budget.on_unknown_price
        self._fallback = _fallback_lines(unknown) if isinstance(unknown, UnknownPrice) else ()
        added_bytes()  # now, rather than in the first call that needs it

    def bound(self, call: Call) -> None:
        """Set the call's bounds, one for each candidate that can be asked at all.

        Raises:
            UnsupportedParameter: there would be one, but for a field whose cost has no bound.
            NoAvailableProvider: there is none.
        """
        body, route = call.body, call.route
        assert route is not None
        asked = _asked_cap(body)
        choices = _choices(body)
        counted: dict[tuple[str, int | None], int] = {}
        unbounded, refused = unbounded_fields(body), ""
        prediction = body.get("prediction")
        bounds = []
        upstreams = self._upstreams.of(call.key.tenant_id)
        providers = upstreams.providers
        for candidate in call.candidates:
            if candidate.provider not in providers:
                continue
            if unbounded:
                beyond = unbounded - self._allowed.get(candidate.provider, frozenset())
                if beyond:
                    refused = min(beyond)
                    continue
            known = self._catalog.summary(candidate.offer_id)
            context = known.context_tokens if known is not None else None
            family = family_of(candidate.model, candidate.provider)
            prompt = counted.get((family.name, context))
            if prompt is None:
                prompt = counted[family.name, context] = token_bound(body, family, context)
            cap = asked
            if cap is None:
                cap = route.max_output_tokens or (known.max_output_tokens if known is not None else None) or UNKNOWN_MODEL_CAP
                if context is not None:
                    cap = _room(cap, context, prompt)
            bounds.append(Bound(candidate, family, context, prompt, cap, choices, asked is None))
            if prediction:
                bounds[-1].predicted = structure_bytes(dump_json(prediction), family) * choices
        if not bounds:
            if refused:
                message = f"'{refused}' {reason(refused)}. The operator can allow it for a provider (allow_fields)."
                raise UnsupportedParameter(message, param=refused)
            raise nobody_configured(call, upstreams)
        call.bounds = bounds
        if call.by_price and len(bounds) > 1:
            cheapest_first(call, self.card)

    def price(self, call: Call) -> None:
        """Keep those candidates whose cost can be bounded, each with the prices that the call is going to be charged by."""
        at, body = call.created_at, call.body
        tier = body.get("service_tier")
        heard, said = has_sound(body), asks_for_sound(body)
        priced = []
        for bound in call.bounds:
            card = self.card(bound.candidate)
            if card is None:
                continue
            bound.card = card
            if card.state != "free":
                tier = tier if isinstance(tier, str) else None
                bound.rates = worst_rates(card, bound.prompt, at=at, service_tier=tier, audio_in=heard, audio_out=said)
                if bound.rates is None:
                    continue
            priced.append(bound)
        call.bounds = priced

    async def count(self, call: Call) -> bool:
        """Replace the bounds of the prompt by exact counts; returns whether that made any smaller."""
        smaller = False
        for bound in call.bounds:
            counted = await self._counter.count(call.body, bound.family, bound.context)
            if counted < bound.prompt:
                bound.prompt, smaller = counted, True
        return smaller

    async def tokens(self, call: Call) -> int:
        """Exactly counted: the most that the call may use, whoever answers."""
        await self.count(call)
        return max(bound.tokens for bound in call.bounds)

    def close(self) -> None:
        self._counter.close()

    def card(self, candidate: Candidate) -> PriceCard | None:
        """The prices that a candidate is charged by; None where they are unknown."""
        card = candidate.card or self._prices.card(candidate.offer_id)
        if card is not None and (card.state == "free" or (card.state == "priced" and card.lines)):
            return card
        return PriceCard(candidate.offer_id, "priced", self._fallback) if self._fallback else None


def nobody_configured(call: Call, upstreams: Upstreams) -> NoAvailableProvider:
    """Of a call none of whose candidates' providers can be asked: why, as far as it is known."""
    reasons = dict.fromkeys(upstreams.missing.get(one.provider, _NOT_THERE.format(one.provider)) for one in call.candidates)
    why = " ".join(("No provider that is configured can answer for this model.", *reasons)).rstrip()
    return NoAvailableProvider(why, retry_after=5)


def _choices(body: Mapping[str, Any]) -> int:
    return max(body.get("n") or 1, body.get("best_of") or 1)


_NOT_THERE = "The operator has taken the provider {} away, or not added it yet."


def _asked_cap(body: Mapping[str, Any]) -> int | None:
    """What the caller bounds a choice to; servers differ in which of the two they obey."""
    first, second = body.get("max_completion_tokens"), body.get("max_tokens")
    return max(first or 0, second or 0) or None


def _room(cap: int, context: int, prompt: int) -> int:
    """Many servers refuse a cap that does not fit into the context beside the prompt. Half its bytes are twice what a prompt mostly has."""
    return min(cap, max(LEAST_CAP, context - prompt // 2))


def _fallback_lines(price: UnknownPrice) -> tuple[PriceLine, ...]:
    return (
        PriceLine("fallback:input", "input", "token", nano_from_usd(price.input)),
        PriceLine("fallback:output", "output", "token", nano_from_usd(price.output)),
        PriceLine("fallback:audio_in", "audio_in", "token", nano_from_usd(price.input)),
        PriceLine("fallback:audio_out", "audio_out", "token", nano_from_usd(price.output)),
    )
