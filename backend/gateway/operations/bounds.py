"""The most that a call may take from each candidate, in the unit that its offer is priced in."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backend.gateway.bounds import Bound, nobody_configured
from backend.gateway.operations.completions import cap_of
from backend.gateway.operations.operation import Asked, Metered, Operation, Unit
from backend.gateway.operations.tariffs import tariff
from backend.gateway.token_bound import token_bound
from backend.gateway.token_count import TokenCounter
from backend.gateway.token_families import Family, family_of
from backend.gateway.unbounded_fields import reason, unbounded_fields
from backend.gateway.upstreams import Upstreams
from backend.kernel.errors import BadRequest, UnsupportedParameter
from backend.pricing.cost import Cost, PriceCard, cost_of_call
from backend.pricing.usage import Usage
from backend.routing.route import Candidate

if TYPE_CHECKING:
    from backend.gateway.bounds import Bounder
    from backend.gateway.call import Call
    from backend.gateway.models_list import Catalog

_COUNTS = frozenset({"embeddings", "completions", "moderations", "rerank"})
"""Operations whose tokens are among those that limits count before the call; of the others what was used counts afterwards."""
_BOUNDED: Mapping[str, frozenset[str]] = {"audio.speech": frozenset({"speed"})}
"""Fields that are without a bound elsewhere: how fast a text is read out changes no price."""


class UnitBound(Bound):
    """One candidate for one call. `tariffs` are its prices by unit, once they were looked up."""

    __slots__ = ("_worst", "asked", "counts_speech", "longest", "metered", "operation", "tariffs")

    def __init__(self, candidate: Candidate, family: Family, longest: int | None, prompt: int, operation: Operation, asked: Asked) -> None:
        cap = cap_of(asked.body) if operation.name == "completions" else 0
        super().__init__(candidate, family, None, prompt, cap, 1, False)
        self.operation = operation
        self.asked = asked
        self.longest = longest
        self.counts_speech = False
        """Whether the provider says how many tokens of sound it spoke; nobody else's speech is charged by them."""
        self.tariffs: dict[Unit, PriceCard] = {}
        self.metered: Metered | None = None
        """What the answer used, once there is one."""
        self._worst = 0

    @property
    def most(self) -> Mapping[Unit, Usage]:
        most = self.operation.most(self.asked, self.prompt, self.longest)
        if self.operation.name != "audio.speech" or self.counts_speech:
            return most
        return {unit: usage for unit, usage in most.items() if unit != "token"}

    @property
    def tokens(self) -> int:
        if self.operation.name not in _COUNTS:
            return 0
        used = self.most.get("token", Usage())
        return used.total_input + used.total_output

    @property
    def billed(self) -> int:
        used = self.most.get("token", Usage())
        return used.total_output

    @property
    def worst(self) -> int:
        return self._worst

    @property
    def least(self) -> int:
        return self._worst

    def does_without(self, body: Mapping[str, Any], dropped: tuple[str, ...]) -> None:
        self.without = body, dropped
        self.asked = replace(self.asked, body=dict(body))

    def price(self, card: PriceCard, at: datetime) -> bool:
        """Take over the prices that the call is going to be charged by; whether there are any."""
        self.card, self.tariffs, self._worst = card, {}, 0
        if card.state == "free":
            return True
        for unit, usage in self.most.items():
            found = tariff(card, unit, self.asked.body)
            if found is None:
                continue
            cost = cost_of_call(usage, found, at=at)
            if cost.state == "priced" and (cost.parts or not _amount(unit, usage)):
                self.tariffs[unit] = found
                self._worst = max(self._worst, cost.nano)
        return bool(self.tariffs)

    def meter(self, metered: list[Metered], at: datetime) -> Metered:
        """The first that the offer has prices for, to the last bucket. Servers that do not count say zero: that is no count."""
        counted = [one for one in metered if one.source != "provider" or _amount(one.unit, one.usage)]
        for one in counted:
            if one.unit in self.tariffs and cost_of_call(one.usage, self.tariffs[one.unit], at=at).state == "priced":
                return one
        return counted[0]

    def likely(self, at: datetime) -> int:
        """What the call is going to cost by our own estimate, in nano-dollars: its bound says little of files and of answers."""
        cost = self.cost(self.meter(self.operation.used(self.asked, None), at), at)
        return cost.nano if cost is not None else 0

    def cost(self, metered: Metered, at: datetime) -> Cost | None:
        """None where no price was known."""
        if self.card is None:
            return None
        return cost_of_call(metered.usage, self.tariffs.get(metered.unit, self.card), at=at)


def _amount(unit: Unit, usage: Usage) -> float:
    return usage.total_input + usage.total_output if unit == "token" else Metered(unit, usage, "counted").quantity


class UnitBounder:
    """As `Bounder`, for what is not chat. `prices`: whose cards are looked up as for chat."""

    def __init__(
        self,
        catalog: "Catalog",
        prices: "Bounder",
        upstreams: Upstreams,
        counter: TokenCounter,
        allowed: Mapping[str, frozenset[str]],
    ) -> None:
        self._catalog = catalog
        self._prices = prices
        self._upstreams = upstreams
        self._counter = counter
        self._allowed = allowed

    def bound(self, call: "Call", operation: Operation, asked: Asked) -> None:
        """Set the call's bounds, one for each candidate whose provider does this.

        Raises:
            BadRequest: none of them does. UnsupportedParameter: one would, but for a field whose cost has no bound.
            NoAvailableProvider: none is configured.
        """
        prompt, unbounded = operation.prompt(asked), unbounded_fields(asked.body) - _BOUNDED.get(operation.name, frozenset())
        counted: dict[str, int] = {}
        bounds: list[Bound] = []
        refused = ""
        cannot = False
        upstreams = self._upstreams.of(call.key.tenant_id)
        for candidate in call.candidates:
            provider = upstreams.providers.get(candidate.provider)
            if provider is None:
                continue
            if operation.name not in provider.capabilities.operations:
                cannot = True
                continue
            beyond = unbounded - self._allowed.get(candidate.provider, frozenset())
            if beyond:
                refused = min(beyond)
                continue
            family = family_of(candidate.model, candidate.provider)
            tokens = counted.get(family.name)
            if tokens is None:
                tokens = counted[family.name] = token_bound(prompt, family) if prompt else 0
            known = self._catalog.summary(candidate.offer_id)
            longest = known.max_output_tokens if known is not None else None
            bound = UnitBound(candidate, family, longest, tokens, operation, asked)
            bound.counts_speech = provider.capabilities.counts_speech
            bounds.append(bound)
        if not bounds:
            if refused:
                message = f"'{refused}' {reason(refused)}. The operator can allow it for a provider (allow_fields)."
                raise UnsupportedParameter(message, param=refused)
            if cannot:
                raise BadRequest(f"No provider of '{asked.model}' does {operation.name} here.", param="model")
            raise nobody_configured(call, upstreams)
        call.bounds = bounds

    def price(self, call: "Call") -> None:
        """As `Bounder.price`."""
        priced: list[UnitBound] = []
        for bound in call.bounds:
            card = self._prices.card(bound.candidate)
            if card is not None and isinstance(bound, UnitBound) and bound.price(card, call.created_at):
                priced.append(bound)
        if call.by_price:
            priced.sort(key=lambda bound: (not bound.candidate.weight, bound.likely(call.created_at)))
        call.bounds = [*priced]

    async def count(self, call: "Call") -> bool:
        """As `Bounder.count`."""
        smaller = False
        for bound in call.bounds:
            assert isinstance(bound, UnitBound)
            prompt = bound.operation.prompt(bound.asked)
            counted = await self._counter.count(prompt, bound.family) if prompt else 0
            if counted < bound.prompt:
                bound.prompt, smaller = counted, True
                if bound.card is not None:
                    bound.price(bound.card, call.created_at)
        return smaller

    async def tokens(self, call: "Call") -> int:
        """As `Bounder.tokens`."""
        await self.count(call)
        return max(bound.tokens for bound in call.bounds)
