"""What a column of the playground says about its answer: the ledger's figures where there are any, else what was seen; never a guess."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.kernel.money import format_usd
from backend.metering.record import ANSWER_TOKENS
from backend.playground.comparison import Answer
from state.views import milliseconds_text

_DO = {
    "budget_exceeded": "Ask an admin of your tenant for a larger budget, or choose a cheaper model.",
    "context_length_exceeded": "Shorten the prompt, or choose a model with a longer context.",
    "model_not_allowed": "Choose another model.",
    "model_not_found": "Choose another model: this one is unknown here, or not among your tenant's.",
    "no_available_provider": "Wait a minute and run it again, or choose another model.",
    "overloaded": "Wait a few seconds and run it again.",
    "parallel_limit_exceeded": "Wait until other calls have ended, or ask fewer models at once.",
    "price_unknown": "Choose a model with a known price; an operator can say what unpriced ones may cost.",
    "quota_exceeded": "The day's quota is used up; it begins anew at midnight.",
    "rate_limit_exceeded": "Wait a minute, or ask fewer models at once.",
    "tenant_suspended": "Ask an operator why.",
    "timeout": "Run it again, or allow fewer tokens.",
    "unsupported_parameter": "Leave the parameter empty, or choose another model.",
    "upstream_credentials": "An operator has to look at this provider's key.",
    "upstream_error": "Run it again; a route with a second candidate would have gone on by itself.",
    "upstream_rate_limited": "Wait a minute and run it again.",
    "upstream_timeout": "Run it again, or choose a faster model.",
}


@dataclass(slots=True)
class Column:
    """`stage` is ready, asked, answering, answered, stopped or failed; figures are finished text, a dash where nothing is known."""

    number: int = 0
    model: str = ""
    stage: str = "ready"
    word: str = ""
    tone: str = "plain"
    provider: str = ""
    simulated: bool = False
    first_token: str = "—"
    speed: str = "—"
    tokens: str = "—"
    cost: str = "—"
    note: str = ""
    error: str = ""
    advice: str = ""
    request_id: str = ""


def column(number: int, answer: Answer, *, simulated: bool, request_id: str) -> Column:
    """How one answer stands now."""
    record, said = answer.record, answer.answered
    shown = Column(number, answer.model, request_id=request_id, provider=said.provider or "", simulated=simulated)
    shown.stage, shown.word, shown.tone = _stage(answer)
    first = answer.first_token_ms if record is None or record.first_token_ms is None else record.first_token_ms
    shown.first_token = milliseconds_text(first)
    if record is not None:
        shown.provider = record.provider or shown.provider
        shown.cost = _cost(answer)
        if record.usage_source != "none":
            about = "≈ " if record.usage_source == "estimated" else ""
            answered = sum(getattr(record, name) for name in ANSWER_TOKENS)
            shown.tokens = f"{about}{record.total_tokens - answered:,} / {answered:,}"
            seconds = (record.latency_ms - (record.first_token_ms or 0)) / 1000
            if record.output_tokens > 1 and record.first_token_ms is not None and seconds > 0:
                shown.speed = f"{about}{(record.output_tokens - 1) / seconds:,.0f}"
    if shown.stage == "failed" and said.error is not None:
        shown.error = said.error.message
        shown.advice = _DO.get(said.error.code or "", "Run it again; if it stays so, tell an operator the request's id.")
    elif answer.ended:
        shown.note = _note(answer)
    return shown


def headline_text(answers: Sequence[Answer]) -> str:
    """What the comparison shows so far: who began first and who cost least, once all have ended."""
    count, running = len(answers), sum(not answer.ended for answer in answers)
    if running:
        return f"{answers[0].model} is answering" if count == 1 else f"{running} of {count} models are answering"
    good = [answer for answer in answers if answer.ended and not answer.stopped and answer.answered.success]
    if not good:
        stopped = any(answer.stopped for answer in answers)
        return "Stopped" if stopped else "There is no answer" if count == 1 else f"None of the {count} models answered"
    if len(good) == 1:
        alone = f"{good[0].model} answered" if count == 1 else f"Only {good[0].model} answered"
        return f"{alone}, for {_cost(good[0])}" if good[0].record is not None else alone
    parts = []
    first = _alone(good, _first)
    least = _alone(good, _charged)
    if first is not None:
        parts.append(f"{first.model} began first, after {milliseconds_text(_first(first))}")
    if least is not None:
        parts.append(f"{'cost' if least is first else f'{least.model} cost'} least, {_cost(least)}")
    told = (" and " if len(parts) == 2 and parts[1].startswith("cost") else "; ").join(parts) or f"{len(good)} models answered"
    return told if len(good) == count else f"{len(good)} of {count} answered: {told}"


def _alone(answers: Sequence[Answer], figure: Callable[[Answer], int | None]) -> Answer | None:
    """The one whose figure is less than all others'; nobody where two share it, or it is unknown of any."""
    figures = [(value, number) for number, answer in enumerate(answers) if (value := figure(answer)) is not None]
    if len(figures) < len(answers) or len(figures) < 2:
        return None
    (least, number), (next_to_it, _) = sorted(figures)[:2]
    return answers[number] if least < next_to_it else None


def _first(answer: Answer) -> int | None:
    return None if answer.record is None else answer.record.first_token_ms


def _charged(answer: Answer) -> int | None:
    return None if answer.record is None or answer.record.price_state == "unpriced" else answer.record.charged_nano


def _stage(answer: Answer) -> tuple[str, str, str]:
    if not answer.ended:
        return ("answering", "answering", "info") if answer.pieces else ("asked", "waiting for the first token", "info")
    if answer.stopped or answer.too_long:
        return "stopped", "stopped", "warn"
    if answer.answered.success:
        return "answered", "answered", "good"
    return "failed", "failed", "bad"


def _cost(answer: Answer) -> str:
    record = answer.record
    if record is None:
        return "—"
    if record.price_state == "unpriced" and not record.charged_nano and record.outcome != "refused":
        return "unpriced"
    return format_usd(record.charged_nano)


def _note(answer: Answer) -> str:
    """What one should know about a text that came."""
    record = answer.record
    if answer.too_long:
        return "Stopped here: more than a page can hold."
    if answer.stopped:
        return "Stopped by you. What had been said is paid for."
    if answer.answered.finish_reason == "length":
        return "Cut at the limit of tokens."
    if answer.answered.finish_reason == "content_filter":
        return "Cut by the provider's content filter."
    if not answer.pieces:
        thought = record.reasoning_tokens if record is not None else 0
        return f"No text came; {thought:,} tokens went into thinking." if thought else "The model said nothing."
    if record is not None and record.attempts > 1:
        return f"Answered at try {record.attempts}."
    return ""
