"""One call on its way through the pipeline: what was asked, who may answer, what has happened so far."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backend.budgets.accounts import Payer
from backend.budgets.slices import Reservation
from backend.gateway.bill import Bill
from backend.gateway.chunks import ChunkStream
from backend.gateway.estimate import Prompt
from backend.gateway.seam import Seam
from backend.identity.end_users import EndUser
from backend.identity.snapshot import KeyRecord
from backend.kernel.errors import BourseError, UpstreamTimeout
from backend.kernel.request import RequestContext
from backend.limits.admission import Admission
from backend.metering.journal import Ticket
from backend.metering.record import AttemptRecord, CallRecord
from backend.pricing.usage import Usage
from backend.providers.provider import ChatRequest
from backend.routing.route import Candidate, Route

if TYPE_CHECKING:
    from backend.gateway.bounds import Bound
    from backend.gateway.cache.keeping import Keeping

MAX_NAME = 255


@dataclass(slots=True)
class Call:
    """Times are `time.monotonic()`. `record` is the ledger row in the making."""

    context: RequestContext
    key: KeyRecord
    payer: Payer
    """Whose budgets the call takes: the key, or its end user where the key gives each of them a budget."""
    record: CallRecord
    created_at: datetime
    with_facts: bool
    """The body (or the last chunk) is to carry the `bourse` object."""
    body: Mapping[str, Any] = field(default_factory=dict)
    wants_usage: bool = False
    end_user: EndUser | None = None
    """Who asks, where the key limits each of its end users."""
    route: Route | None = None
    candidates: tuple[Candidate, ...] = ()
    """All that may be asked; `bounds` are those of them that are left."""
    by_price: bool = False
    """They are asked in the order of what the call is likely to cost."""
    downgraded: str | None = None
    """Why a smaller model answers than the route's own: quota."""
    bounds: list["Bound"] = field(default_factory=list)
    bound: "Bound | None" = None
    """Of `candidate`."""
    admission: Admission | None = None
    """What limits count for the call until it is settled."""
    reservation: Reservation | None = None
    """What budgets keep for the call until it is settled; None also where nothing can cost."""
    lowered_cap: bool = False
    candidate: Candidate | None = None
    """The one that is answering or was tried last."""
    attempts: list[AttemptRecord] = field(default_factory=list)
    ticket: Ticket | None = None
    """Of the open line in the journal."""
    estimated_prompt: Prompt | None = None
    """Tokens, once somebody had to estimate them."""
    request: ChatRequest | None = None
    """Of the attempt that runs or ran last."""
    tried: list[tuple[float, str]] | None = None
    """When each attempt began and the `traceparent` that it was sent; None where no spans are made of the call."""
    attempt_started: float = 0.0
    attempt_running: bool = False
    upstream_seconds: float = 0.0
    """Time spent waiting for providers; the rest of the call's time is our own."""
    service_tier: str | None = None
    cache: str = "miss"
    """hit, miss (also where nothing is kept), or bypass: the caller, or what it asks for, kept us from looking."""
    keeping: "Keeping | None" = None
    """The cache wants to be told of the answer."""
    settled: bool = False
    simulated: bool = False
    lost: tuple[Bill, ...] = ()
    """What attempts came to that did not bring the answer, where their providers are going to bill them."""
    delivered: Bill | None = None
    """The one of them whose text the caller has, while somebody else has to go on from there and does not yet."""
    malformed: int = 0
    """Events of its streams that were left out."""
    keeps_text: bool = False
    """What is generated is remembered, in case its stream breaks."""
    seam: Seam | None = None
    """Of the attempt that is asked to go on where another one broke."""
    prefilled: int = 0
    """Tokens of the answer that the attempt was sent as the beginning of it."""
    continues: bool = False
    """It said what comes after those, and did not begin anew."""
    own_name: Callable[[str], str] | None = None
    """What the caller calls a field of the chat body; None where it is that."""
    dropped: tuple[str, ...] = ()
    """Of an answer that is given again: what of this call's fields it was bought without."""

    def begin_attempt(self, bound: "Bound") -> AttemptRecord:
        self.bound, candidate = bound, bound.candidate
        self.candidate = candidate
        record = self.record
        record.provider = candidate.provider
        record.model = clean(candidate.model)
        record.offer_id = clean(candidate.offer_id)
        self.attempt_started = time.monotonic()
        self.attempt_running = True
        # What the one before was served by says nothing about this one.
        self.service_tier = None
        attempt = AttemptRecord(len(self.attempts) + 1, candidate.provider, record.model, record.offer_id)
        self.attempts.append(attempt)
        return attempt

    def end_attempt(self, attempt: AttemptRecord, outcome: str, *, status: int | None = None, error: BourseError | None = None) -> None:
        """The attempt is over (or, for a stream, has brought its first token)."""
        elapsed = time.monotonic() - self.attempt_started
        self.upstream_seconds += elapsed
        self.attempt_running = False
        if self.tried is not None and self.request is not None:
            self.tried.append((self.attempt_started, self.request.traceparent))
        if self.request is not None and self.request.key_name:
            attempt.key_name = self.request.key_name
        attempt.latency_ms = round(elapsed * 1000)
        attempt.outcome = outcome
        if status is not None:
            attempt.status = status
        attempt.error_code = error.code if error is not None else None
        if outcome == "failed":
            # A whole answer is written down once it is sent: until then nothing is heard of it.
            unheard = attempt.status is None and isinstance(error, UpstreamTimeout) and self._is_whole_and_sent
            if attempt.status == 200 or unheard:
                self.lose(None, 0)

    def lose(self, usage: Usage | None, tokens: int) -> Bill | None:
        """The attempt that ran last is not going to bring the answer, and its provider bills what it did all the same.

        Args:
            usage: the provider's own count, as far as it came.
            tokens: of the output, those that are not in it.
        """
        if self.bound is None:
            return None
        bill = Bill(self.attempts[-1], self.bound, self.record.model, usage, tokens, self.service_tier, self.prefilled, self.continues)
        self.lost = (*self.lost, bill)
        return bill

    def chunk_stream(self) -> ChunkStream:
        """For what the attempt that runs is going to send."""
        most = max(1, self.bound.answer - self.prefilled) if self.bound is not None else None
        return ChunkStream(
            wants_usage=self.wants_usage, with_facts=self.with_facts, most_tokens=most, keeps=self.keeps_text, seam=self.seam
        )

    def answered_by(self, model: Any) -> None:
        """What the upstream calls the model that answered; its own id where it does not say."""
        if isinstance(model, str) and model:
            self.record.model = clean(model)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Fields of the caller's, by his names, that whoever answers was not given."""
        names = self.dropped if self.request is None else self.request.dropped
        return names if not names or self.own_name is None else tuple(dict.fromkeys(map(self.own_name, names)))

    @property
    def fell_back(self) -> bool:
        """Whether another candidate was asked last than the one whose turn it was."""
        return self.bound is not None and self.bound is not self.bounds[0]

    @property
    def accepted(self) -> bool:
        """Whether a provider has taken the call on, so that it is going to bill at least the prompt: a stream is accepted once its status
        came; of a whole answer nothing is heard before its end, so it counts as accepted once the request was written."""
        if not self.attempts:
            return False
        last = self.attempts[-1]
        if last.outcome == "failed" and not self.attempt_running:
            return False
        return last.status == 200 or self._is_whole_and_sent

    @property
    def _is_whole_and_sent(self) -> bool:
        return not self.record.stream and self.request is not None and self.request.sent

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.context.started

    @property
    def overhead(self) -> float:
        """Our own part of the time so far; what a stream takes after its first token is not in it."""
        now = time.monotonic()
        running = now - self.attempt_started if self.attempt_running else 0.0
        return max(0.0, now - self.context.started - self.upstream_seconds - running)


def clean(text: str) -> str:
    """A name from outside as the ledger and a header can hold it: at most 255 characters, none of them control or layout signs."""
    if len(text) > MAX_NAME:
        text = text[:MAX_NAME]
    return text if text.isprintable() else "".join(sign if sign.isprintable() else "?" for sign in text)
