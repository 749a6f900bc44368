"""News of prices and models as a person reads it: a word with a tone, the amounts before and after, and how well the day is known."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from backend.catalog.service import CatalogService
from backend.pricing.changes import PriceNews, Rate
from state.views import counted, date_text, percent_text, price_text

_SHORT = {"input": "in", "output": "out"}
_SOURCES = {"litellm": "LiteLLM's map", "genai-prices": "genai-prices", "models-dev": "models.dev"}


@dataclass(slots=True)
class NewsRow:
    """One line. `heading` is the day where it is the first of it; `href` is empty for a model that the store knows no more."""

    id: str = ""
    heading: str = ""
    day: str = ""
    model: str = ""
    href: str = ""
    word: str = ""
    tone: str = "plain"
    where: str = ""
    amounts: str = ""
    evidence: str = ""


def kind_of(news: PriceNews) -> str:
    """In the page's words: cut, rise (or priced anew), arrival, end, offer."""
    if news.kind in ("price", "announced"):
        share = news.share
        return "cut" if share is not None and share < 0 else "rise"
    return {"deprecation": "end"}.get(news.kind, news.kind)


def service_kinds(kinds: Iterable[str]) -> frozenset[str]:
    """The service's kinds that hold these of the page."""
    return frozenset({"cut": "price", "rise": "price", "end": "deprecation"}.get(kind, kind) for kind in kinds)


def best_known_first(news: Iterable[PriceNews], offers: Callable[[PriceNews], int]) -> list[PriceNews]:
    """The newest day first; within a day those whose model is sold by most, then the larger change."""
    return sorted(news, key=lambda one: (-one.day.toordinal(), -offers(one), -abs(one.share or 0), one.id))


def known_by(catalog: CatalogService, news: PriceNews) -> int:
    """How well known its model is: by how many it is sold."""
    found = catalog.summary(news.model_id)
    return found.offers if found is not None else 0


def rows_of(news: Sequence[PriceNews], *, headings: bool = True) -> list[NewsRow]:
    """The lines; `headings` where a new day begins. Two offers of a model by one seller on a day are told apart by their ids."""
    rows, day = [], None
    alike = Counter(_seen_as(one) for one in news)
    for one in news:
        row = news_row(one)
        if one.offer_id is not None and alike[_seen_as(one)] > 1:
            row.where += f" as {one.offer_id}"
        if headings and one.day != day:
            row.heading, day = f"{one.day:%A}, {one.day.day} {one.day:%B %Y}", one.day
        rows.append(row)
    return rows


def _seen_as(one: PriceNews) -> tuple[date, str, str | None]:
    return one.day, one.model_name, one.provider_name


def news_row(news: PriceNews) -> NewsRow:
    """One change in finished text."""
    word, tone = change_word(news)
    return NewsRow(
        id=news.id,
        day=date_text(news.day),
        model=news.model_name,
        href=f"/models/{news.model_id}",
        word=word,
        tone=tone,
        where=f"at {news.provider_name}" if news.provider_name else "",
        amounts=amounts_text(news.rates),
        evidence=evidence_text(news),
    )


def change_word(news: PriceNews) -> tuple[str, str]:
    """`▼ 50 %` good, `▲ 100 %` bad, `new`, `ends`, `one more seller`, with its tone. What is announced is not in force, and says so."""
    if news.kind == "arrival":
        return "new", "info"
    if news.kind == "deprecation":
        return "ends", "warn"
    if news.kind == "offer":
        return "one more seller", "plain"
    share, suffix = news.share, " announced" if news.kind == "announced" else ""
    if share is None:
        return f"priced anew{suffix}", "plain"
    return f"{'▼' if share < 0 else '▲'} {percent_text(share)}{suffix}", "good" if share < 0 else "bad"


def amounts_text(rates: Sequence[Rate]) -> str:
    """`$0.20 → $1.00 in, $1.50 → $2.00 out`, per 1M of the unit; two at most."""
    return ", ".join(_amount(rate) for rate in rates[:2])


def _amount(rate: Rate) -> str:
    what = _SHORT.get(rate.component, rate.component.replace("_", " "))
    unit = "" if rate.unit == "token" else f" per 1M {rate.unit}s"
    # As many digits as it takes to see that they differ.
    digits = 5 if price_text(rate.before) != price_text(rate.after) else 15
    after = f"${price_text(rate.after, digits)}" if rate.after is not None else "unknown"
    before = f"${price_text(rate.before, digits)} → " if rate.before is not None else ""
    return f"{before}{after} {what}{unit}"


def evidence_text(news: PriceNews) -> str:
    """Who says so, and when it was, as exactly as anybody knows."""
    if news.kind in ("arrival", "deprecation"):
        return ""
    if news.dated_by == "map":
        between = f"between {date_text(news.after)} and {date_text(news.day)}" if news.after else f"by {date_text(news.day)}"
        taken_back = "; taken back within 60 days" if news.reverted else ""
        return f"{between}, by {_SOURCES.get(news.source, news.source)}{taken_back}"
    source = _SOURCES.get(news.source, news.source)
    return f"read here, from {source}" if news.dated_by == "store" else f"dated by the seller, from {source}"


def is_dated_within(news: PriceNews, since: date) -> bool:
    """Whether it is known to have happened from that day on, and was not only seen then."""
    return news.dated_by != "map" or (news.after is not None and news.after >= since)


def period_text(days: int) -> str:
    """`the last 30 days`, `the last year`."""
    return "the last year" if days == 365 else f"the last {days} days"


def headline_text(news: Sequence[PriceNews], days: int, since: date) -> str:
    """`127 prices fell and 104 rose in the last 30 days; 3 models arrived and 92 ended`. Where a map tells that something changed some
    time before it was looked at again, prices `were seen to fall`."""
    count = {kind: sum(kind_of(one) == kind for one in news) for kind in ("cut", "rise", "arrival", "end", "offer")}
    if not any(count.values()):
        return f"Nothing changed in {period_text(days)}"
    seen = not all(is_dated_within(one, since) for one in news if one.kind == "price")
    parts: list[str] = []
    if count["cut"]:
        parts.append(f"{counted(count['cut'], 'price')} {_seen(count['cut'], 'fall') if seen else 'fell'}")
    if count["rise"]:
        rose = ("to rise" if parts else _seen(count["rise"], "rise")) if seen else "rose"
        parts.append(f"{count['rise']:,} {rose}" if parts else f"{counted(count['rise'], 'price')} {rose}")
    models: list[str] = []
    for kind, word in (("arrival", "arrived"), ("end", "ended"), ("offer", "got one more seller")):
        if count[kind]:
            models.append(f"{count[kind]:,} {word}" if models else f"{counted(count[kind], 'model')} {word}")
    told = [" and ".join(part) for part in (parts, models) if part]
    return f"{told[0]} in {period_text(days)}" + (f"; {told[1]}" if len(told) > 1 else "")


def _seen(count: int, verb: str) -> str:
    return f"{'was' if count == 1 else 'were'} seen to {verb}"


def first_day(today: date, days: int) -> date:
    """The first of so many days of which today is the last."""
    return today - timedelta(days=days - 1)
