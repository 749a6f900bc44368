"""One provider behind several keys: a key that is limited, or that is not accepted any more, makes way for the others.

An adapter is built for each key, so no adapter knows of this, and a provider with a single key has none of it in its way. Of the keys
that are free, the one goes first that was limited least recently, so that without limits one key takes all calls and the provider's own
cache of prompts stays warm. Limits are remembered for each model: providers count them so, and calls for one model must not close another.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from backend.providers.failures import UpstreamFailure
from backend.providers.metadata import AWS_ACCOUNT
from backend.providers.provider import (
    ChatRequest,
    Lister,
    OperationAnswer,
    OperationRequest,
    Performer,
    PromptCounter,
    Provider,
    StreamAnswer,
    WholeAnswer,
)

T = TypeVar("T")
Told = Callable[[str, int | None], None]
"""Hears of a key by its name that it is refused, with the status; without one, that it is accepted again."""

OWN = "own:"
"""Stands in the ledger before the name of a tenant's own key."""
SHORT_SECONDS = 1.0
"""How long a key is left alone whose provider limits it and does not say for how long."""
MOST_MODELS = 200
"""Limits remembered of one key: callers name models, too."""
_UNAUTHORIZED = 401


class HeldKey:
    """`name` is what operators call it; its value is in the adapter alone."""

    __slots__ = ("limits", "name", "provider", "refused")

    def __init__(self, name: str, provider: Provider) -> None:
        self.name = name
        self.provider = provider
        self.refused = False
        self.limits: dict[str, tuple[float, float]] = {}
        """By model: when it was limited last, and until when."""

    def limit(self, model: str, now: float, seconds: float) -> None:
        """Of calls that ran at once the longest time counts."""
        until = max(now + seconds, self.limited_until(model))
        self.limits.pop(model, None)
        self.limits[model] = (now, until)
        if len(self.limits) > MOST_MODELS:
            del self.limits[next(iter(self.limits))]

    def limited_at(self, model: str) -> float:
        return self.limits.get(model, _NEVER)[0]

    def limited_until(self, model: str) -> float:
        return self.limits.get(model, _NEVER)[1]


_NEVER = (float("-inf"), float("-inf"))


class KeyedProvider:
    """A `Provider`.

    Args:
        keys: at least one, in the operator's order.
        told: hears what becomes of keys, once each time it changes.
        own: they are a tenant's own: the ledger says so before their names, and no account that a candidate names is asked with them.
    """

    def __init__(self, keys: Sequence[HeldKey], told: Told, *, own: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._keys = tuple(keys)
        self._told = told
        self._prefix = OWN if own else ""
        self._now = now
        self._looks = 0
        first = self._keys[0].provider
        self.name = first.name
        self.protocol = first.protocol
        self.capabilities = first.capabilities

    @property
    def keys(self) -> tuple[HeldKey, ...]:
        """For who shows how they are."""
        return self._keys

    def state_of(self, key: HeldKey) -> str:
        """ready, limited (for one model at least) or refused."""
        if key.refused:
            return "refused"
        now = self._now()
        return "limited" if any(until > now for _, until in key.limits.values()) else "ready"

    async def look(self, seconds: float) -> int:
        """As `Provider.look`, with each key in its turn. 401 says that none is accepted."""
        key = self._keys[self._looks % len(self._keys)]
        self._looks += 1
        status = await self._look_with(key, seconds)
        if status == _UNAUTHORIZED:
            other = next((one for one in self._keys if not one.refused), None)
            if other is not None:
                return await self._look_with(other, seconds)
        return status

    async def listed(self, seconds: float) -> list[str]:
        """As `Lister.listed`, with the first key that is accepted."""
        key = next((one for one in self._keys if not one.refused), self._keys[0])
        return await cast(Lister, key.provider).listed(seconds)

    async def complete(self, request: ChatRequest) -> WholeAnswer:
        return await self._ask(request, lambda provider: provider.complete(request))

    async def open_stream(self, request: ChatRequest) -> StreamAnswer:
        return await self._ask(request, lambda provider: provider.open_stream(request))

    async def count_prompt(self, request: ChatRequest) -> int:
        """As `PromptCounter.count_prompt`, with the key whose turn it is. Counting has limits of its own, which say nothing about calls."""
        return await cast(PromptCounter, self._in_order(request.model)[0].provider).count_prompt(request)

    async def perform(self, request: OperationRequest) -> OperationAnswer:
        return await self._ask(request, lambda provider: cast(Performer, provider).perform(request))

    async def _look_with(self, key: HeldKey, seconds: float) -> int:
        status = await key.provider.look(seconds)
        if status == _UNAUTHORIZED:
            self._refuse(key, status)
        elif status < 300:
            self._accept(key)
        return status

    async def _ask(self, request: ChatRequest, ask: Callable[[Provider], Awaitable[T]]) -> T:
        """Each free key once. Where none is free one is asked all the same: whether anybody may be asked at all was decided before."""
        newest: UpstreamFailure | None = None
        limited: UpstreamFailure | None = None
        if self._prefix and request.metadata:
            # Whose key it is pays: an account that the operator named for a candidate is not for a tenant's own calls.
            request.metadata = {field: value for field, value in request.metadata.items() if field not in AWS_ACCOUNT}
        for key in self._in_order(request.model):
            request.key_name = f"{self._prefix}{key.name}"
            request.sent = False
            was_refused, was_limited = key.refused, key.limited_until(request.model) > self._now()
            try:
                answer = await ask(key.provider)
            except UpstreamFailure as failure:
                if failure.kind == "rate_limited":
                    key.limit(request.model, self._now(), failure.retry_after or SHORT_SECONDS)
                    limited = failure
                elif failure.kind == "credentials":
                    self._not_accepted(key, request.model, failure)
                else:
                    raise
                newest = failure
            else:
                # An answer to a call from before a refusal or a limit says nothing of it.
                if was_refused:
                    self._accept(key)
                if was_limited:
                    key.limits.pop(request.model, None)
                return answer
        assert newest is not None
        if limited is None:
            raise newest
        raise self._all_limited(request.model, limited)

    def _in_order(self, model: str) -> list[HeldKey]:
        now = self._now()
        free = [key for key in self._keys if not key.refused and key.limited_until(model) <= now]
        if free:
            return sorted(free, key=lambda key: key.limited_at(model))
        return [min(self._keys, key=lambda key: (key.refused, key.limited_until(model)))]

    def _not_accepted(self, key: HeldKey, model: str, failure: UpstreamFailure) -> None:
        """A 401 is about the key. 402 and 403 may be about one call or one model, so the key only goes to the end of the row: nobody is to
        take it from others by what he asks for."""
        if failure.status == _UNAUTHORIZED:
            self._refuse(key, failure.status)
        else:
            key.limit(model, self._now(), 0.0)

    def _refuse(self, key: HeldKey, status: int | None) -> None:
        if not key.refused:
            key.refused = True
            self._told(key.name, status)

    def _accept(self, key: HeldKey) -> None:
        if key.refused:
            key.refused = False
            self._told(key.name, None)

    def _all_limited(self, model: str, failure: UpstreamFailure) -> UpstreamFailure:
        """The newest failure, with the time after which the first key is free."""
        accepted = [key for key in self._keys if not key.refused]
        if failure.retry_after is not None and accepted:
            soonest = min([key.limited_until(model) for key in accepted])
            failure.retry_after = failure.error.retry_after = max(0.0, soonest - self._now())
        return failure
