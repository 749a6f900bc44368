"""How a model did in this gateway's own ledger: how soon, how fast, how often. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from backend.metering.rollups.schemas import Usage
from state.views import milliseconds_text, percent

DAYS = 7
UNMEASURED = "—"


@dataclass(slots=True)
class MeasuredRow:
    """One provider of the model over the last days."""

    provider: str = ""
    calls: str = ""
    first: str = ""
    whole: str = ""
    speed: str = ""
    answered: str = ""


def measured_rows(usage: Mapping[str, tuple[Usage, Usage]], names: Mapping[str, str]) -> list[MeasuredRow]:
    """`usage`: provider → (all calls, those that were answered in full); who had most calls first."""
    rows = sorted(usage.items(), key=lambda pair: -pair[1][0].calls)
    return [
        MeasuredRow(
            provider=names.get(provider, provider),
            calls=f"{everything.calls:,}",
            first=_both(done.first_token_ms(0.5), done.first_token_ms(0.95)),
            whole=_both(done.latency_ms(0.5), done.latency_ms(0.95)),
            speed=UNMEASURED if done.output_per_second is None else f"{done.output_per_second:,.0f}",
            answered=share_text(everything.calls - everything.errors, everything.calls),
        )
        for provider, (everything, done) in rows
        if everything.calls
    ]


def measured_sentence(usage: Mapping[str, tuple[Usage, Usage]]) -> str:
    """`You called it 1,204 times in 7 days, and 99.8 % were answered`."""
    calls = sum(everything.calls for everything, _ in usage.values())
    errors = sum(everything.errors for everything, _ in usage.values())
    times = "once" if calls == 1 else f"{calls:,} times"
    answered = f"{share_text(calls - errors, calls)} of that was answered" if errors else "every call was answered"
    return f"Your tenant called it {times} in {DAYS} days, and {answered}"


def share_text(part: int, whole: int) -> str:
    """`99.8 %`; only what is whole is 100."""
    share = 100 * part / whole
    return percent("100" if part == whole else f"{min(share, 99.9):.1f}")


def _both(half: float | None, most: float | None) -> str:
    if half is None or most is None:
        return UNMEASURED
    return f"{milliseconds_text(half)} / {milliseconds_text(most)}"
