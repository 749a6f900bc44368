"""How providers and their models are doing, learnt from the calls that they were sent.

What is known is kept for each pair of provider and model and shared by all routes; each route's breaker judges it. Nothing here asks
anybody anything: whoever asked a candidate tells how it went.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from backend.kernel.events import Event, EventBus
from backend.providers.failures import UpstreamFailure
from backend.routing.bulkhead import Bulkhead
from backend.routing.circuit import Circuit
from backend.routing.events import CandidateClosed, CandidateOpened, CredentialsAccepted, CredentialsRefused
from backend.routing.route import Breaker, Candidate

MOST_REMEMBERED = 2000
"""Pairs of provider and model. Callers name models too, so those that are idle and well are forgotten beyond this."""
_NEWEST = 0.2
"""The part of the newest latency in the smoothed one."""
_PAYMENT_REQUIRED, _FORBIDDEN = 402, 403


class ProviderHealth:
    """What all models of one provider share: the calls that it may have at once, and whether it accepts our key."""

    __slots__ = ("answered_at", "begun", "bulkhead", "credentials", "exchanged_after", "name", "refused_after")

    def __init__(self, name: str, bulkhead: Bulkhead) -> None:
        self.name = name
        self.bulkhead = bulkhead
        self.credentials = Circuit()
        """Open from the first refusal on."""
        self.answered_at = float("-inf")
        self.begun = 0
        """Calls that it was ever sent; each has its number."""
        self.refused_after = 0
        """How many there were when it refused our key last: only a later one shows that it accepts the key again."""
        self.exchanged_after = 0
        """How many there were when its keys were exchanged last: what earlier ones meet is no word about the keys of now."""


class CandidateHealth:
    """One model of one provider. Latencies are milliseconds, None until there was an answer; times are those of `Health.now`."""

    __slots__ = (
        "_health", "circuit", "cool_until", "failed_after", "first_token_ms", "in_flight", "last_error", "limited", "model", "provider",
        "since", "whole_ms",
    )  # fmt: skip

    def __init__(self, health: "Health", provider: ProviderHealth, model: str) -> None:
        self._health = health
        self.provider = provider
        self.model = model
        self.circuit = Circuit()
        self.cool_until = 0.0
        """It asked us not to come back before this; 0 = it did not, or has answered since."""
        self.failed_after = 0
        """How many calls its provider had been sent when it failed last: what earlier ones bring says nothing of how it is since."""
        self.limited = False
        """The newest failure said that we ask too much."""
        self.in_flight = 0
        """Calls that it is answering, streams until their end."""
        self.first_token_ms: float | None = None
        """Smoothed, of streams."""
        self.whole_ms: float | None = None
        """Smoothed, of whole answers."""
        self.last_error: str | None = None
        """The newest failure, such as `server 503` or `timeout`; kept when it answers again."""
        self.since = health.now()
        """When the row of answers, or of failures, began that still lasts."""

    @property
    def latency_ms(self) -> float | None:
        """The time to the first token where streams were seen, else that of whole answers."""
        return self.first_token_ms if self.first_token_ms is not None else self.whole_ms

    @property
    def well(self) -> bool:
        """Nothing is known against it: it answered the last time, or was never asked."""
        return not (self.circuit.failures or self.cool_until or self.provider.credentials.failures)

    def is_open(self, breaker: Breaker) -> bool:
        """Whether a route with this breaker leaves it out, probes aside."""
        now = self._health.now()
        return self.provider.credentials.is_open(breaker, now) or self.circuit.is_open(breaker, now)

    def has_refused_key(self, breaker: Breaker) -> bool:
        """Whether it is left out because the operator's key is not accepted."""
        return self.provider.credentials.is_open(breaker, self._health.now())

    def wait(self, breaker: Breaker) -> float:
        """Seconds until the breaker lets a call through, at once (0) or as a probe."""
        now = self._health.now()
        return max(self.provider.credentials.wait(breaker, now), self.circuit.wait(breaker, now))

    @property
    def cooling(self) -> float:
        """Seconds for which it asked not to be asked."""
        return max(0.0, self.cool_until - self._health.now()) if self.cool_until else 0.0

    def is_overdue(self, breaker: Breaker) -> bool:
        """Whether nobody has looked for a probe interval if it needs the time that it asked for. It may then be asked where nobody else is
        left."""
        now, circuit = self._health.now(), self.circuit
        return now >= max(circuit.failed_at, circuit.probed_at) + breaker.probe_interval and not self.wait(breaker)

    def begin(self) -> int:
        """A call is sent to it; returns its number. One of `answered`, `failed` and `left` follows."""
        self.in_flight += 1
        provider = self.provider
        provider.bulkhead.enter()
        provider.begun += 1
        if not self.well:
            now = self._health.now()
            self.circuit.probe(now)
            provider.credentials.probe(now)
        return provider.begun

    def left(self) -> None:
        """The call is over and says nothing about the candidate."""
        self.in_flight -= 1
        self.provider.bulkhead.leave()

    def answers(self, number: int) -> None:
        """The stream of this call has brought its first token: enough to send it others again. Whether it can end an answer is seen later:
        until then one failure leaves it out again."""
        if self.well:
            return
        self._accepts_key(number)
        if number > self.failed_after:
            self.cool_until = 0.0
            self.limited = False
            if self.circuit.lift():
                self._health.tell(CandidateClosed(self.provider.name, self.model))

    def answered(self, number: int) -> None:
        """The call is over, and it answered."""
        self.in_flight -= 1
        provider = self.provider
        provider.bulkhead.leave()
        provider.answered_at = self._health.now()
        self.circuit.answers += 1
        if not self.well:
            self._accepts_key(number)
            self._answers_again(number)

    def took(self, milliseconds: float, *, streamed: bool) -> None:
        """How long the first token of a stream, or a whole answer, was waited for."""
        if streamed:
            before = self.first_token_ms
            self.first_token_ms = milliseconds if before is None else before + _NEWEST * (milliseconds - before)
        else:
            before = self.whole_ms
            self.whole_ms = milliseconds if before is None else before + _NEWEST * (milliseconds - before)

    def failed(self, failure: UpstreamFailure, breaker: Breaker, number: int) -> None:
        """The call is over without an answer. A refusal of the request says nothing of how the model is: providers that answer nobody
        still refuse what they do not understand."""
        self.left()
        now = self._health.now()
        if failure.kind == "credentials":
            self._refused_credentials(failure, breaker, number, now)
        elif not failure.blames_provider:
            if failure.status is not None or failure.kind == "differs":
                self._accepts_key(number)  # else nobody was asked
            return
        else:
            self._count(failure, breaker, number, now)
        self.last_error = f"{failure.kind} {failure.status or ''}".rstrip()

    def reached(self) -> None:
        """The way to its provider is open. What its answers were like nobody has tried."""
        if self.circuit.failures and self.last_error == "connect":
            self._close(self._health.now())

    def forgive(self) -> None:
        """What it failed for is over."""
        self.cool_until, self.limited = 0.0, False
        if self.circuit.failures:
            self._close(self._health.now())

    def _count(self, failure: UpstreamFailure, breaker: Breaker, number: int, now: float) -> None:
        circuit = self.circuit
        if not circuit.failures:
            self.since = now
        was_open = circuit.is_open(breaker, now)
        circuit.fail(now)
        self.limited = failure.kind == "rate_limited"
        if failure.retry_after:
            # Of calls that ran at once the longest time counts, else the newest.
            before = 0.0 if number > self.failed_after else self.cool_until
            self.cool_until = max(before, now + failure.retry_after)
        self.failed_after = self.provider.begun
        if not was_open and circuit.is_open(breaker, now):
            self._health.tell(CandidateOpened(self.provider.name, self.model, str(failure), circuit.failures))

    def _refused_credentials(self, failure: UpstreamFailure, breaker: Breaker, number: int, now: float) -> None:
        """A 401 is about the key. Where the provider has answered lately, a 403 may be about one model, and a 402 about one call that is
        larger than what is left in the account: nobody is to take a provider away from others by asking for much."""
        provider = self.provider
        if number <= provider.exchanged_after:
            return
        answers = failure.status in (_PAYMENT_REQUIRED, _FORBIDDEN) and now < provider.answered_at + breaker.open
        if answers and failure.status == _PAYMENT_REQUIRED:
            self._count(failure, breaker, number, now)
        else:
            if not self.circuit.failures:
                self.since = now
            if answers:
                self.failed_after = provider.begun
                self.circuit.trip(now)
            else:
                provider.refused_after = provider.begun
                provider.credentials.trip(now)
        self._health.tell(CredentialsRefused(provider.name, self.model, failure.status, not answers))

    def _accepts_key(self, number: int) -> None:
        provider = self.provider
        if provider.credentials.failures and number > provider.refused_after:
            provider.credentials.close()
            self._health.tell(CredentialsAccepted(provider.name))

    def _answers_again(self, number: int) -> None:
        """An answer ends a row of failures. Where that was long enough to leave it out, and where it named a time, only a call that was
        begun since shows that it is over."""
        is_news = number > self.failed_after
        if is_news:
            self.cool_until = 0.0
            self.limited = False
        if self.circuit.failures and (is_news or not self.circuit.was_left_out):
            self._close(self.provider.answered_at)

    def _close(self, now: float) -> None:
        self.since = now
        if self.circuit.close():
            self._health.tell(CandidateClosed(self.provider.name, self.model))


class Health:
    """Of one process.

    Args:
        bulkheads: by provider; one without has no limit.
        now: a monotonic clock in seconds.
    """

    def __init__(
        self,
        bulkheads: Mapping[str, Bulkhead] | None = None,
        *,
        events: EventBus | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.now = now
        self._events = events
        self._providers = {name: ProviderHealth(name, bulkhead) for name, bulkhead in (bulkheads or {}).items()}
        self._candidates: dict[tuple[str, str], CandidateHealth] = {}

    def of(self, candidate: Candidate) -> CandidateHealth:
        """What is known of a candidate: `health.of(candidate).in_flight`, `.latency_ms`, `.is_open(route.breaker)`."""
        found = self._candidates.get((candidate.provider, candidate.model))
        return found if found is not None else self._remember(candidate.provider, candidate.model)

    def all(self) -> Iterable[CandidateHealth]:
        """Everybody who was ever asked and is not forgotten."""
        return self._candidates.values()

    def latencies(self) -> dict[tuple[str, str], float]:
        """`CandidateHealth.latency_ms` by provider and upstream model, of those that have answered."""
        return {(one.provider.name, one.model): one.latency_ms for one in self._candidates.values() if one.latency_ms is not None}

    def first_tokens(self) -> dict[tuple[str, str], float]:
        """Milliseconds until the first token by provider and upstream model, smoothed, of those whose streams were seen."""
        known = self._candidates.values()
        return {(one.provider.name, one.model): one.first_token_ms for one in known if one.first_token_ms is not None}

    def known(self, candidate: Candidate) -> CandidateHealth | None:
        """As `of`, for who only looks: None for somebody who was never asked."""
        return self._candidates.get((candidate.provider, candidate.model))

    def provider(self, name: str) -> ProviderHealth | None:
        """What its models share; None for a provider that is not configured and was never asked."""
        return self._providers.get(name)

    def reached(self, name: str) -> None:
        """A provider has answered something that costs nothing: models of it that could only not be connected to may be asked again."""
        for candidate in self._candidates.values():
            if candidate.provider.name == name:
                candidate.reached()

    def exchanged(self, name: str) -> None:
        """A provider has other keys now: what it said of those before, and of how much was asked with them, counts no more."""
        provider = self._providers.get(name)
        if provider is None:
            return
        provider.exchanged_after = provider.begun
        if provider.credentials.failures:
            provider.credentials.close()
        for candidate in self._candidates.values():
            if candidate.provider is provider and (candidate.limited or (candidate.last_error or "").startswith("credentials")):
                candidate.forgive()

    def limit(self, name: str, parallel: int, queue: int) -> None:
        """How many calls a provider may have at once from now on (0 = any number), and how many may wait for a place there."""
        provider = self._providers.get(name)
        if provider is None:
            self._providers[name] = ProviderHealth(name, Bulkhead(parallel, queue))
        else:
            provider.bulkhead.resize(parallel, queue)

    def moved(self, name: str) -> None:
        """A provider is another one than before, or there no more: nothing that is known of it holds, and what its calls under way come to
        counts for nobody."""
        provider = self._providers.pop(name, None)
        if provider is not None:
            # Who waits for a place there looks anew at once.
            provider.bulkhead.resize(0, 0)
        for key in [key for key in self._candidates if key[0] == name]:
            del self._candidates[key]

    def tell(self, event: Event) -> None:
        if self._events is not None:
            self._events.publish(event)

    def _remember(self, name: str, model: str) -> CandidateHealth:
        if len(self._candidates) >= MOST_REMEMBERED:
            self._forget()
        provider = self._providers.get(name)
        if provider is None:
            provider = self._providers[name] = ProviderHealth(name, Bulkhead())
        found = self._candidates[name, model] = CandidateHealth(self, provider, model)
        return found

    def _forget(self) -> None:
        """Those that are well, and of the others the older half; nobody who is being asked."""
        idle = [(key, health) for key, health in self._candidates.items() if not health.in_flight]
        ailing = [key for key, health in idle if not health.well]
        for key in ailing[: len(ailing) // 2]:
            del self._candidates[key]
        for key, health in idle:
            if health.well:
                del self._candidates[key]


class OwnHealth(Health):
    """Of a tenant that has keys of its own for some providers: how these are to its keys is its affair, and what others' keys meet there is
    none of its. Everybody else's health is the shared one's.

    Args:
        names: the providers that it has keys of its own for; each may have as many calls at once as everybody else's together.
    """

    def __init__(self, shared: Health, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        known = [health for health in map(shared.provider, self._names) if health is not None]
        super().__init__({one.name: Bulkhead(one.bulkhead.limit, one.bulkhead.queue) for one in known}, now=shared.now)
        self._shared = shared

    def follow_limits(self) -> None:
        """Take over how many calls the providers may have at once."""
        for name in self._names:
            shared = self._shared.provider(name)
            if shared is not None:
                self.limit(name, shared.bulkhead.limit, shared.bulkhead.queue)

    def of(self, candidate: Candidate) -> CandidateHealth:
        return super().of(candidate) if candidate.provider in self._names else self._shared.of(candidate)

    def known(self, candidate: Candidate) -> CandidateHealth | None:
        return super().known(candidate) if candidate.provider in self._names else self._shared.known(candidate)
