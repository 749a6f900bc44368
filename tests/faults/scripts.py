"""The faults by name: what the first candidate does, what the others do, and what the caller must get all the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.faults.provider import (
    OTHER_WORDS,
    TEXT,
    WORDS,
    Step,
    cut,
    garbled,
    healthy,
    late,
    refusing,
    resetting,
    silent,
    stalled,
    until,
    without_done,
)

Mode = Literal["stream", "whole"]
POLICY_REASON = "Your request was rejected by our safety system: violence."


@dataclass(frozen=True)
class Pace:
    """How fast a run goes: 1 is real time, 0.25 four times as fast. All waiting of providers and all limits of routes follow it.

    `breakers` is the pace of breakers alone, and of the calls that meet them: their times are long, and nothing is hurt by a busy machine
    that keeps a call from its answer for a second.
    """

    factor: float = 1.0
    breakers: float = 1.0

    def __call__(self, seconds: float) -> float:
        return seconds * self.factor

    def setting(self, seconds: float) -> str:
        return f"{seconds * self.factor * 1000:.0f}ms"


@dataclass(frozen=True)
class Fault:
    """Args:
    does: the candidates' scripts, first to last; what a list holds is one step for each question, the last one repeats.
    prefill: candidates declare that they go on from an assistant message.
    gets: "answer": all of the canonical one; "refusal": the provider's reason; "failure": one clear error, whole before the first
        token and as an event after it, and never a mixture of two texts; "answer or failure".
    seconds: within which the caller must have it, in real time.
    waits: seconds for which the first candidate must not be asked again.
    asked_once: the first candidate must not be asked a second time.
    modes: where it means something.
    """

    name: str
    title: str
    does: Callable[[Pace], list[list[Step]]]
    prefill: bool = False
    gets: Literal["answer", "refusal", "failure", "answer or failure"] = "answer"
    status: int | None = None
    code: str | None = None
    seconds: float = 20.0
    waits: float = 0.0
    asked_once: bool = False
    text: str = TEXT
    """What nobody can read is left out, by the wire's contract; how often that happens is counted."""
    modes: tuple[Mode, ...] = ("stream", "whole")
    recover: str = "auto"
    left_writing: bool = False
    """We hang up on somebody who writes still; what he wrote beyond what we read, only he knows."""
    needs_retry: bool = False
    """Nobody else can answer, so that the process must have a retry left: three a second, or a fifth of its calls."""
    calls: int = 1
    every: float = 0.0
    """Seconds between two of several calls."""


def before(*steps: Step, then: Step | None = None) -> Callable[[Pace], list[list[Step]]]:
    """A first candidate with these steps, and a healthy second."""
    return lambda pace: [list(steps), [then or healthy(per_event=3)]]


def alone(*steps: Step) -> Callable[[Pace], list[list[Step]]]:
    return lambda pace: [list(steps)]


def limited(pace: Pace) -> Step:
    return refusing(429, "rate_limit_exceeded", "slow down", f"retry-after: {pace(2):g}", kind="rate_limit_error")


LIMITED_FOR_EVER = refusing(429, "rate_limit_exceeded", "slow down", kind="rate_limit_error")
TOO_LONG = refusing(400, "context_length_exceeded", "This model's maximum context length is 10 tokens.", kind="invalid_request_error")
NOT_ALLOWED = refusing(400, "content_policy_violation", POLICY_REASON, kind="invalid_request_error")

SIXTEEN = (
    Fault("limited-once", "429 with Retry-After: 2, once", lambda pace: [[limited(pace), healthy()], [healthy()]], waits=2),
    Fault("limited", "429 for ever, without Retry-After", before(LIMITED_FOR_EVER)),
    Fault("broken-once", "500 once", before(refusing(500), healthy())),
    Fault("broken", "503 for ever", before(refusing(503))),
    Fault("reset-once", "TCP reset before the headers, once", before(resetting(), healthy())),
    Fault("silent", "accepted, then silent for 120 s", lambda pace: [[silent(pace(120))], [healthy()]], seconds=15, asked_once=True),
    Fault("late", "headers at once, first token after 20 s", lambda pace: [[late(pace(20))], [healthy()]], seconds=15, asked_once=True),
    Fault("cut", "stream cut after 40 of 60 tokens", before(cut(40)), modes=("stream", "whole")),
    Fault(
        "stalled", "silent for 30 s after 20 tokens", lambda pace: [[stalled(20, pace(30))], [healthy()]],
        seconds=45, asked_once=True, left_writing=True,
    ),
    Fault("garbled", "the tenth event is no JSON", before(garbled(10, lost=False))),
    Fault("no-done", "no [DONE]", before(without_done())),
    Fault("too-long", "400 context_length_exceeded", before(TOO_LONG)),
    Fault("policy", "400 content_policy_violation", before(NOT_ALLOWED), gets="refusal", status=400, code="content_policy_violation"),
    Fault("cut-no-prefill", "stream cut, fallback refuses prefill", before(cut(40), then=healthy(prefill="refuses")), prefill=True),
    Fault(
        "away", "503 for 60 s, then healthy: twenty calls",
        lambda pace: [[until(60 * pace.breakers, refusing(503), healthy())], [healthy()]], calls=20, every=4.7,
    ),
    Fault("accounts", "accounting of a fail-over", before(refusing(500))),
)  # fmt: skip
SEVENTEENTH = (
    Fault("cut-anew", "stream cut, fallback takes prefill but starts anew", before(cut(40), then=healthy(prefill="anew"))),
    Fault(
        "cut-anew-declared", "the same, though declared to go on", before(cut(40), then=healthy(prefill="anew")),
        prefill=True, gets="answer or failure", left_writing=True,
    ),
)  # fmt: skip
BEYOND = (
    Fault("limited-once-alone", "429 with Retry-After: 2, once, nobody else", lambda pace: [[limited(pace), healthy()]],
          waits=2, needs_retry=True),
    Fault("limited-once-both", "429 with Retry-After: 2, once, from both",
          lambda pace: [[limited(pace), healthy()], [limited(pace), healthy()]], waits=2, needs_retry=True),
    Fault("broken-then-cut", "503 for ever, and the fallback's stream is cut once", lambda pace: [[refusing(503)], [cut(40), healthy()]],
          needs_retry=True, modes=("stream",)),
    Fault("cut-twice-alone", "stream cut at 20, then at 40, nobody else", alone(cut(20), cut(40), healthy()), needs_retry=True,
          modes=("stream",)),
    Fault("broken-once-alone", "500 once, nobody else", alone(refusing(500), healthy()), needs_retry=True),
    Fault("reset-once-alone", "TCP reset once, nobody else", alone(resetting(), healthy()), needs_retry=True),
    Fault("limited-both", "429 for ever, from both", lambda pace: [[LIMITED_FOR_EVER], [LIMITED_FOR_EVER]],
          gets="failure", status=429, code="upstream_rate_limited"),
    Fault("broken-both", "503 for ever, from both", lambda pace: [[refusing(503)], [refusing(503)]], gets="failure"),
    Fault("cut-reset", "stream reset after 40 tokens", before(cut(40, "reset")), modes=("stream",)),
    Fault("cut-end", "body ends after 40 tokens, no finish_reason", before(cut(40, "end")), modes=("stream",)),
    Fault("cut-first", "stream cut after its first token", before(cut(1)), modes=("stream",)),
    Fault("cut-last", "stream cut after its last token, before the finish", before(cut(60)), modes=("stream",)),
    Fault("cut-prefill", "stream cut, fallback goes on from prefill", before(cut(40)), prefill=True, modes=("stream",)),
    Fault("cut-twice", "cut at 40, the second cut at 50, a third is healthy",
          lambda pace: [[cut(40)], [cut(50)], [healthy(per_event=7)]], modes=("stream",)),
    Fault("stalled-for-ever", "silent for ever after 20 tokens", lambda pace: [[stalled(20, 3600)], [healthy()]],
          seconds=45, asked_once=True, modes=("stream",)),
    Fault("stalled-first", "silent for ever after its first token", lambda pace: [[stalled(1, 3600)], [healthy(per_event=2)]],
          seconds=45, asked_once=True, modes=("stream",)),
    Fault("cut-last-prefill", "cut before the finish, fallback goes on from prefill", before(cut(60)), prefill=True, modes=("stream",)),
    Fault("cut-twice-prefill", "the same with prefill", lambda pace: [[cut(40)], [cut(50)], [healthy()]], prefill=True, modes=("stream",)),
    Fault("cut-other-words", "stream cut, fallback says it otherwise", before(cut(40), then=healthy(words=OTHER_WORDS)),
          gets="failure", modes=("stream",), left_writing=True),
    Fault("cut-anew-other-words", "declared to go on, says something else",
          before(cut(40), then=healthy(words=OTHER_WORDS, prefill="anew")), prefill=True, gets="answer or failure",
          modes=("stream",), left_writing=True),
    Fault("cut-late-anew", "cut at 48, declared to go on, starts anew: no room to say it all",
          before(cut(48), then=healthy(prefill="anew", honest=True)), prefill=True, modes=("stream",), left_writing=True),
    Fault("cut-off", "stream cut, recover: off", before(cut(40)), recover="off", gets="failure", modes=("stream",)),
    Fault("cut-alone-once", "stream cut once, nobody else", alone(cut(40), healthy()), modes=("stream",), needs_retry=True),
    Fault("cut-alone", "stream cut for ever, nobody else", alone(cut(40)), gets="failure", modes=("stream",)),
    Fault("garbled-lost", "the tenth event is no JSON, and its token lost", before(garbled(10, lost=True)), modes=("stream",),
          text="".join(word for word in WORDS if word != WORDS[9])),
)  # fmt: skip
ALL = tuple(SIXTEEN) + SEVENTEENTH + BEYOND
