"""Sources and runs of ingestion as a person reads them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from backend.jobs.schemas import DifferenceView, NamesView, RunSummary, RunView, SourceList, SourceResult, SourceView
from state.views import age_text, counted, date_text, percent_text, soon_text

_SHIPPED_ONLY = ("sandbox", "aliases")
"""Ours: without a list that somebody publishes."""
_MOST_NAMES, _MOST_LINES = 12, 20
_OUTCOMES = {
    "changed": ("changed", "good"),
    "unchanged": ("nothing new", "plain"),
    "partly": ("partly", "warn"),
    "failed": ("failed", "bad"),
}
_TRIGGERS = {"schedule": "by itself", "person": "by hand", "upload": "handed in", "command": "command line", "day": "a day had come"}
_TELLING = {"waiting": "The webhook has yet to be told.", "told": "The webhook was told.", "given_up": "The webhook did not take it."}


@dataclass(slots=True)
class SourceRow:
    """One source. `state` is the word of its last look, `said` what it means; `next` is empty where nobody looks by himself."""

    name: str = ""
    label: str = ""
    licence: str = ""
    host: str = ""
    describes: str = ""
    age: str = ""
    origin: str = ""
    offers: str = ""
    state: str = ""
    tone: str = "plain"
    said: str = ""
    advice: str = ""
    tag: str = ""
    next: str = ""
    fetchable: bool = False
    can_force: bool = False
    removable: bool = False


@dataclass(slots=True)
class RunRow:
    """One run. Counts are empty where they are nothing."""

    id: str = ""
    at: str = ""
    by: str = ""
    sources: str = ""
    outcome: str = ""
    tone: str = "plain"
    new: str = ""
    gone: str = ""
    up: str = ""
    down: str = ""
    held: str = ""


@dataclass(slots=True)
class NameGroup:
    """`4 new models`, the first of them, and how many more."""

    title: str = ""
    names: list[str] = field(default_factory=list)
    more: str = ""


@dataclass(slots=True)
class ChangeLine:
    offer: str = ""
    what: str = ""
    amounts: str = ""
    word: str = ""
    tone: str = "plain"


@dataclass(slots=True)
class HeldLine:
    offer: str = ""
    price: str = ""
    reason: str = ""


@dataclass(slots=True)
class UnreadLine:
    """A place in a text, and why nobody can read it."""

    place: str = ""
    why: str = ""


@dataclass(slots=True)
class ResultLine:
    """What became of one source. `unread` are the lines of it that nobody can read, with the reason."""

    source: str = ""
    word: str = ""
    tone: str = "plain"
    said: str = ""
    advice: str = ""
    unread_title: str = ""
    unread: list[UnreadLine] = field(default_factory=list)


@dataclass(slots=True)
class RunDetail:
    """A run in full, or what one would do. `can_force`: it was refused for what a person may know better."""

    id: str = ""
    title: str = ""
    results: list[ResultLine] = field(default_factory=list)
    groups: list[NameGroup] = field(default_factory=list)
    changes: list[ChangeLine] = field(default_factory=list)
    changes_title: str = ""
    held: list[HeldLine] = field(default_factory=list)
    held_title: str = ""
    told: str = ""
    error: str = ""
    can_force: bool = False
    is_empty: bool = False
    would: bool = False


def headline_text(listed: SourceList, today: date) -> str:
    """How old what is known is, and what is wrong: `Prices are as of 20 Nov 2026; 1 of 4 sources cannot be had`."""
    days = [date.fromisoformat(one.data_as_of) for one in listed.sources if one.data_as_of and one.name not in _SHIPPED_ONLY]
    if not days:
        return "No source says how old it is"
    oldest, newest = min(days), max(days)
    old = _days_text((today - oldest).days)
    text = f"Prices are as of {date_text(newest)}"
    if newest != oldest:
        text = f"The oldest list is {old} old, the newest of {date_text(newest)}"
    failing = sum(one.failures > 0 for one in listed.sources)
    asked = sum(one.url is not None for one in listed.sources)
    return f"{text}; {failing} of {asked} sources cannot be read" if failing else text


def waiting_text(prices: int) -> str:
    """`27 prices wait for a decision`."""
    return f"{counted(prices, 'price waits', 'prices wait')} for a decision"


def under_way_text(listed: SourceList, now: datetime) -> str:
    """Whether somebody reads sources just now; empty if nobody does."""
    for job in listed.jobs:
        if job.name == "ingestion" and job.holder is not None and job.until is not None and job.until > now and job.started_at is not None:
            return f"Sources are being read since {job.started_at:%H:%M:%S} UTC."
    return ""


def mode_text(listed: SourceList, now: datetime) -> str:
    """Whether anything is fetched without being asked, and when next."""
    if not listed.enabled:
        return (
            "Fetching is off: the store lives on what ships with Bourse and what was read or handed in here. "
            "To look once a day by itself, set ingestion.enabled: true."
        )
    coming = sorted((one.next_at, one.label) for one in listed.sources if one.next_at is not None)
    if not coming:
        return "Fetching is on, but every source is switched off."
    return f"Every source is looked at by itself; next is {coming[0][1]}, {soon_text(coming[0][0], now)}."


def source_row(one: SourceView, now: datetime) -> SourceRow:
    """One source in finished text."""
    day = date.fromisoformat(one.data_as_of) if one.data_as_of else None
    last = one.last
    state, tone, said = look_text(one, now)
    shipped_only = one.name in _SHIPPED_ONLY
    return SourceRow(
        name=one.name,
        label=one.label,
        licence=one.licence,
        host=urlsplit(one.url).hostname or "" if one.url else "",
        describes=date_text(day) or ("no date" if one.bundled else "nothing yet"),
        age=f"{_days_text((now.date() - day).days)} old" if day else "",
        origin=origin_text(one),
        offers=f"{one.entries:,} offers" if one.entries else "",
        state="" if shipped_only else state,
        tone=tone,
        said="" if shipped_only else said,
        advice=advice_text(one.name, one.error, last.status if last else None) if one.failures else "",
        tag=one.etag or one.last_modified or "",
        next=soon_text(one.next_at, now) if one.next_at else "",
        fetchable=one.url is not None,
        can_force=one.failures > 0 and may_force(one.error),
        removable=one.fetched_at is not None,
    )


def origin_text(one: SourceView) -> str:
    """Where what counts of it came from."""
    if one.bundled:
        return "ships with Bourse"
    if one.fetched_at is None:
        return ""
    return "fetched" if one.etag or one.last_modified or (one.last is not None and one.last.status) else "handed in"


def look_text(one: SourceView, now: datetime) -> tuple[str, str, str]:
    """The word, its tone and the sentence about the last time that a source was looked at."""
    status = f", answered {one.last.status}" if one.last and one.last.status else ""
    when = f"{age_text(one.tried_at, now)}{status}" if one.tried_at else ""
    if one.failures:
        times = "once" if one.failures == 1 else f"{one.failures} times in a row"
        return "failed", "bad", f"{when}; {times}: {one.error}"
    if one.tried_at is None:
        return "never read", "plain", "what ships with Bourse counts" if one.bundled else ""
    if one.last is not None and one.last.outcome == "unchanged":
        return "nothing new", "plain", when
    return "read", "good", when


def advice_text(name: str, why: str | None, status: int | None) -> str:
    """What somebody can do about a source that cannot be had or is refused."""
    text = why or ""
    if may_force(why):
        return "Look at its text. If it is right, read it anyway."
    if "private network" in text:
        return "If that is meant, name its network in network.allow_private_fetch."
    if "set that as its url" in text or status in (404, 410):
        return f"Its address may have moved: set ingestion.sources.{name}.url."
    if status in (401, 403):
        return f"Its server lets nobody in without permission. Set another ingestion.sources.{name}.url, or hand the list in below."
    if status is not None and (status == 429 or status >= 500):
        return "Its server is busy or ill. What was known stays; try again later."
    if status is None and any(word in text for word in ("Error", "Timeout", "no answer")):
        return f"This machine may have no way out: set network.proxy, or get the list elsewhere and hand it in below under the name {name}."
    if "max_bytes" in text:
        return "If its size is right, raise ingestion.max_bytes."
    return "What was known stays. Its text may be damaged; the log has more."


def may_force(why: str | None) -> bool:
    """Whether a person may know better than what refused it."""
    return why is not None and ("(force)" in why or "cannot be read, such as" in why)


def run_row(one: RunSummary, now: datetime) -> RunRow:
    """One run in finished text."""
    word, tone = _OUTCOMES[one.outcome]
    return RunRow(
        id=one.id,
        at=moment_text(one.finished_at, now),
        by=_TRIGGERS[one.trigger],
        sources=", ".join(result.source for result in one.sources) or "what is stored",
        outcome=word,
        tone=tone,
        new=_count(one.new_offers),
        gone=_count(one.retired_offers),
        up=_count(one.prices_up),
        down=_count(one.prices_down),
        held=_count(one.quarantined),
    )


def run_detail(run: RunView, now: datetime, *, would: bool = False) -> RunDetail:
    """A run in full. `would`: it is only what one would do."""
    changed = run.difference
    seconds = (run.finished_at - run.started_at) / timedelta(seconds=1)
    results = [result_line(one) for one in run.sources]
    empty = changed is None or not (_groups(changed) or changed.largest or changed.held)
    title = f"{moment_text(run.started_at, now)}, {_TRIGGERS[run.trigger]}, {seconds:.0f} s"
    if would:
        title = "This would be refused" if run.outcome == "failed" else "It would change nothing" if empty else "It would change this"
    return RunDetail(
        id=run.id,
        title=title,
        results=results,
        groups=_groups(changed) if changed else [],
        changes=[_change(one.offer, one.component, one.before, one.after) for one in changed.largest[:_MOST_LINES]] if changed else [],
        changes_title=changes_title(changed),
        held=[
            HeldLine(one.offer, f"${one.usd_per_million} {f'{one.component} {one.tier}'.strip()}, says {one.source}", one.reason)
            for one in changed.held[:_MOST_LINES]
        ]
        if changed
        else [],
        held_title=f"{counted(changed.quarantined, 'price')} held back" if changed else "",
        told=_TELLING.get(run.webhook, ""),
        error=run.error or "",
        can_force=any(may_force(one.why) for one in run.sources if one.outcome == "refused"),
        is_empty=empty,
        would=would,
    )


def result_line(one: SourceResult) -> ResultLine:
    word, tone = {"new": ("read", "good"), "unchanged": ("nothing new", "plain"), "failed": ("not had", "bad")}.get(
        one.outcome, ("refused", "bad")
    )
    parts = [f"answered {one.status}"] if one.status else []
    parts += [f"{one.entries:,} offers"] if one.entries else []
    parts += [f"{one.new_prices:,} new prices"] if one.new_prices else []
    parts += [f"{count:,} × unknown field {name}" for name, count in list(one.unknown_fields.items())[:3]]
    failed = one.outcome in ("failed", "refused")
    shown = len(one.refused_entries)
    more = "" if shown == one.refused else f", the first {shown}"
    return ResultLine(
        source=one.source,
        word=word,
        tone=tone,
        said=one.why if failed and one.why else ", ".join(parts),
        advice=advice_text(one.source, one.why, one.status) if failed else "",
        unread_title=f"{counted(one.refused, 'entry', 'entries')} that cannot be read{more}" if one.refused else "",
        unread=[UnreadLine(place, why.removeprefix("ValueError: ")) for place, why in one.refused_entries.items()],
    )


def changes_title(changed: DifferenceView | None) -> str:
    """`3 prices down, 1 up`; how many of them are shown where not all are."""
    if changed is None or not (changed.prices_down or changed.prices_up):
        return ""
    parts = [f"{changed.prices_down:,} down"] if changed.prices_down else []
    parts += [f"{changed.prices_up:,} up"] if changed.prices_up else []
    total = changed.prices_down + changed.prices_up
    most = f"; the {_MOST_LINES} largest" if total > _MOST_LINES else ""
    return f"Prices: {', '.join(parts)}{most}"


def _groups(changed: DifferenceView) -> list[NameGroup]:
    kinds: Sequence[tuple[NamesView, str, str]] = (
        (changed.new_models, "new model", "new models"),
        (changed.new_offers, "new offer", "new offers"),
        (changed.deprecated_models, "model that is to end", "models that are to end"),
        (changed.retired_models, "model gone", "models gone"),
        (changed.retired_offers, "offer gone", "offers gone"),
        (changed.unpriced_offers, "offer without a price now", "offers without a price now"),
    )
    return [
        NameGroup(
            counted(names.count, one, many),
            names.some[:_MOST_NAMES],
            f"and {names.count - _MOST_NAMES:,} more" if names.count > _MOST_NAMES else "",
        )
        for names, one, many in kinds
        if names.count
    ]


def _change(offer: str, component: str, before: str, after: str) -> ChangeLine:
    old, new = Decimal(before), Decimal(after)
    share = percent_text(float(new / old - 1)) if old else ""
    word = f"{'▼' if new < old else '▲'} {share}".strip()
    return ChangeLine(offer, component, f"${before} → ${after}", word, "good" if new < old else "bad")


def moment_text(at: datetime, now: datetime) -> str:
    """`12:03 today`, `20 Nov 12:03`, `20 Nov 2025`: UTC."""
    if at.date() == now.date():
        return f"{at:%H:%M} today"
    return f"{at.day} {at:%b %H:%M}" if at.year == now.year else date_text(at)


def _days_text(days: int) -> str:
    return "less than a day" if days <= 0 else counted(days, "day")


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
