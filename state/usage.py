"""The signed-in tenant's last calls and today's spend, live."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import ClassVar

import reflex as rx
import structlog

from backend import runtime
from backend.identity.bootstrap import DEMO_TENANT
from backend.identity.principal import Role
from backend.identity.schemas import SessionView
from backend.kernel.money import format_usd
from backend.metering.events import CompletionFinished
from backend.metering.rollups.schemas import Usage
from backend.metering.schemas import CallSummary, SpendToday
from state.base import admitted, is_connected, session_of
from state.guard import PUBLIC, handler
from state.samples import curl_sample
from state.views import counted, milliseconds_text, percent

log = structlog.get_logger(__name__)

ROWS = 50
RECHECK_SECONDS = 4.0
"""How long a page stays open after its person signed out elsewhere."""
ELSEWHERE_SECONDS = 1.5
"""How often calls are looked for that other processes served; one process hears of its own at once."""
LEDGER_SECONDS = 0.35
"""A call's row is in the database this soon after the call."""
PACE_SECONDS = 1.0
"""One page reads the ledger at most this often."""
_TRIES = 5

_OUTCOMES = {
    "completed": ("answered", "good"),
    "cached": ("cache hit", "good"),
    "client_closed": ("stopped by the caller", "plain"),
    "interrupted": ("interrupted", "warn"),
    "failed": ("failed", "bad"),
    "refused": ("refused", "bad"),
}
_REASONS = {
    "budget_exceeded": "budget refused",
    "rate_limit_exceeded": "too many requests",
    "parallel_limit_exceeded": "too many at once",
    "model_not_found": "no such model",
    "model_not_allowed": "model not allowed",
    "price_unknown": "price unknown",
    "upstream_timeout": "provider too slow",
    "upstream_error": "provider failed",
    "no_available_provider": "no provider",
}


@dataclass(slots=True)
class CallRow:
    """One call as finished text."""

    id: str = ""
    time: str = ""
    model: str = ""
    provider: str = ""
    simulated: bool = False
    key: str = ""
    outcome: str = ""
    tone: str = ""
    used: str = ""
    first_token: str = ""
    cost: str = ""


class UsageState(rx.State):
    """`stage` is waiting, signed_out, no_tenant, empty or calls."""

    _personal: ClassVar[bool] = True

    stage: str = "waiting"
    headline: str = "Usage"
    place: str = ""
    spent: str = ""
    used: str = ""
    comparison: str = ""
    condition: str = ""
    rows: list[CallRow] = []
    samples: list[dict[str, str]] = []

    @handler(PUBLIC)
    async def load(self) -> rx.event.EventCallback | None:
        """On arrival: the last calls, and from then on whatever happens."""
        view = await session_of(self)
        self._begin(view)
        if view.principal.tenant_id is None:
            return None
        self._show(view, *await _read(view))
        return UsageState.watch

    @handler(Role.VIEWER, background=True, supersedes=True)
    async def watch(self) -> None:
        """Keep the page current until it is left, or its person may no longer see it."""
        now = runtime.current()
        tenant, socket = admitted().principal.tenant_id, self.router.session.session_id
        awaited: set[str] = set()
        woken = asyncio.Event()

        def heard(finished: CompletionFinished) -> None:
            if finished.call.tenant_id == tenant:
                if len(awaited) < ROWS:
                    awaited.add(finished.call.id)
                woken.set()

        forget = now.events.subscribe(CompletionFinished, heard)
        woken.set()  # a call that ended just before the page was loaded may still be on its way to the ledger
        alone = now.db.dialect == "sqlite"
        try:
            tries = 0
            while True:
                called = await _wait(woken, RECHECK_SECONDS if alone else ELSEWHERE_SECONDS)
                if not is_connected(socket):
                    return
                view = await session_of(self)
                if view.principal.tenant_id != tenant:
                    async with self:
                        self._begin(view)
                    return
                if alone and not called:
                    continue
                started = time.monotonic()
                woken.clear()
                try:
                    calls, names, spend = await _read(view)
                except Exception as error:
                    # The database may be back in a moment; a page that stops being live without a word is worse than a late one.
                    log.warning("usage.read_failed", error=type(error).__name__)
                    await asyncio.sleep(RECHECK_SECONDS)
                    woken.set()
                    continue
                async with self:
                    self._show(view, calls, names, spend)
                awaited -= {call.id for call in calls}
                tries = tries + 1 if awaited else 0
                if awaited and tries < _TRIES:
                    woken.set()
                else:
                    awaited.clear()
                    tries = 0
                await asyncio.sleep(max(0.0, started + PACE_SECONDS - time.monotonic()))
        finally:
            forget()

    def _begin(self, view: SessionView) -> None:
        """The page before anything was read: empty, and saying why where there is nothing to read."""
        self.rows, self.samples = [], []
        self.headline, self.place, self.spent, self.used, self.comparison, self.condition = "Usage", "", "", "", "", ""
        if not view.signed_in:
            self.stage = "signed_out"
        elif view.principal.tenant_id is None:
            self.stage = "no_tenant"
        else:
            self.stage = "waiting"

    def _show(self, view: SessionView, calls: Sequence[CallSummary], names: Mapping[str, str], spend: SpendToday) -> None:
        zone = spend.since.tzinfo
        today = spend.since.date()
        protocol_of = runtime.current().settings.protocol_of
        self.rows = [
            call_row(
                call,
                names,
                zone,
                today=today == call.created_at.astimezone(zone).date(),
                simulated=call.provider is not None and protocol_of(call.provider) == "sandbox",
            )
            for call in calls
        ]
        self.headline, self.spent, self.used = headline_text(spend), format_usd(spend.today.charged_nano), used_text(spend.today)
        self.comparison, self.condition = comparison_text(spend), condition_text(calls)
        self.place = f"{view.tenant_name}, {zone}"
        self.stage = "calls" if calls else "empty"
        if not calls:
            demo = view.tenant_slug == DEMO_TENANT and not runtime.current().settings.is_production
            self.samples = curl_sample("sandbox/chat", demo=demo)


async def _read(view: SessionView) -> tuple[Sequence[CallSummary], Mapping[str, str], SpendToday]:
    """The tenant's last calls, the names of its keys by id, and today's spend."""
    now, who = runtime.current(), view.principal
    tenant = who.tenant_id or ""
    calls = await now.metering.recent_calls(who, tenant, ROWS)
    keys = await now.identity.keys.of_tenant(who, tenant)
    return calls, {key.id: key.name for key in keys}, await now.metering.spend_today(who, tenant)


async def _wait(woken: asyncio.Event, seconds: float) -> bool:
    """Whether a call ended within that time; then its row has been given the time to arrive."""
    try:
        async with asyncio.timeout(seconds):
            await woken.wait()
    except TimeoutError:
        return False
    await asyncio.sleep(LEDGER_SECONDS)
    return True


def headline_text(spend: SpendToday) -> str:
    """`12 calls today`, and how many more or fewer that is than the day before by this time."""
    calls, before = spend.today.calls, spend.yesterday.calls
    if not calls:
        return "No calls yet today" if not before else f"No calls yet today, {before:,} yesterday by this time"
    count = "1 call" if calls == 1 else f"{calls:,} calls"
    more = calls - before
    if not before:
        return f"{count} today"
    return f"{count} today, " + (
        f"{abs(more):,} {'more' if more > 0 else 'fewer'} than yesterday by this time" if more else "as yesterday by this time"
    )


def comparison_text(spend: SpendToday) -> str:
    """`12 % less than yesterday by this time`; empty where there is nothing to compare with."""
    before = spend.yesterday.charged_nano
    if not before or not spend.today.calls:
        return ""
    change = round(100 * (spend.today.charged_nano - before) / before)
    if not change:
        return "As much as yesterday by this time."
    return f"{percent(f'{abs(change):,}')} {'more' if change > 0 else 'less'} than yesterday by this time."


def used_text(usage: Usage) -> str:
    """`48,200 tokens, 12 images and 5 min 40 s of sound.`: what all calls together used; empty where that is nothing."""
    amounts = [
        _some(usage.tokens, "token"),
        _some(usage.images, "image"),
        f"{sound_text(usage.sound_ms / 1000)} of sound" if usage.sound_ms else "",
        _some(usage.characters, "character"),
        _some(usage.searches, "search", "searches"),
    ]
    *most, last = [text for text in amounts if text] or [""]
    return f"{', '.join(most)} and {last}." if most else last and f"{last}."


def _some(number: int, one: str, more: str = "") -> str:
    return counted(number, one, more) if number else ""


def sound_text(seconds: float) -> str:
    """`2.5 s`, `5 min 40 s`, `3 h 5 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def condition_text(calls: Sequence[CallSummary]) -> str:
    """How the shown calls went: `2 of the last 50 calls went wrong, 1 was stopped by the caller.`"""
    if not calls:
        return ""
    stopped = sum(call.outcome == "client_closed" for call in calls)
    wrong = sum(call.outcome not in ("completed", "cached", "client_closed") for call in calls)
    if len(calls) == 1:
        return f"The last call {'went wrong' if wrong else 'was stopped by the caller' if stopped else 'was answered'}."
    shown = f"of the last {len(calls)} calls"
    by_caller = f"{'was' if stopped == 1 else 'were'} stopped by the caller"
    if wrong:
        return f"{wrong} {shown} went wrong{f', {stopped} {by_caller}' if stopped else ''}."
    return f"{stopped} {shown} {by_caller}." if stopped else f"All {shown} were answered."


def call_row(call: CallSummary, names: Mapping[str, str], zone: tzinfo | None, *, today: bool, simulated: bool = False) -> CallRow:
    """A ledger row as a person reads it."""
    local = call.created_at.astimezone(zone)
    outcome, tone = _OUTCOMES.get(call.outcome, (call.outcome, "plain"))
    if call.outcome in ("refused", "failed") and call.error_code:
        outcome = _REASONS.get(call.error_code, call.error_code.replace("_", " "))
    elif call.outcome == "completed" and call.attempts > 1:
        outcome, tone = f"answered at try {call.attempts}", "warn"
    return CallRow(
        id=call.id,
        time=f"{local:%H:%M:%S}" if today else f"{local.day} {local:%b %H:%M}",
        model=call.model if call.model and call.outcome in ("completed", "cached") else call.requested_model,
        provider=call.provider or "",
        simulated=simulated,
        key=names.get(call.key_id, call.key_id),
        outcome=outcome,
        tone=tone,
        used=amount_text(call),
        first_token=milliseconds_text(call.first_token_ms),
        cost=cost_text(call),
    )


def amount_text(call: CallSummary) -> str:
    """`1,204 / 388` tokens in and out, or `12 images`, `2.5 s`, as the call is metered; `≈` where it is our estimate."""
    if call.usage_source == "none":
        return "—"
    number = round(call.quantity)
    match call.unit:
        case None:
            text = f"{call.input_tokens:,} / {call.output_tokens:,}"
        case "second":
            text = sound_text(call.quantity)
        case "query":
            text = _some(number, "search", "searches")
        case unit:
            text = _some(number, unit)
    about = "≈ " if call.usage_source == "estimated" else ""
    return f"{about}{text}" if text else "—"


def cost_text(call: CallSummary) -> str:
    """What the tenant was charged; a call without a known price says so instead of $0."""
    if call.price_state == "unpriced" and not call.charged_nano:
        return "unpriced" if call.outcome in ("completed", "client_closed", "interrupted") else "$0"
    return format_usd(call.charged_nano)
