"""View models: what pages show, as small flat values of finished text. Made from the services' answers, sent to the browser as they are."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from backend.catalog.schemas import FacetValue, Freshness, ModelSummary, PaletteHit
from backend.kernel.money import usd_from_nano
from backend.pricing.equivalence import listed

UNPRICED = "unpriced"
NOT_STATED = "not stated"

_STATUS = {
    "active": ("in service", "good"),
    "preview": ("preview", "info"),
    "deprecated": ("retiring", "warn"),
    "retired": ("retired", "bad"),
}
_SOURCES: dict[str, str | None] = {
    "litellm": "LiteLLM map",
    "price-changes": "price history",
    "sandbox": None,
    "aliases": None,
    "operator": None,
}
"""Sources by their names for people; None: our own and what operators state, which have no age worth telling."""
_TAGS = {
    "vision": "vision",
    "audio_input": "audio",
    "video_input": "video",
    "tools": "tools",
    "structured_output": "JSON",
    "reasoning": "reasoning",
    "web_search": "web",
    "prompt_caching": "caching",
    "pdf_input": "PDF",
    "computer_use": "computer",
    "audio_output": "speech",
}
"""Capabilities that tell models apart, the telling ones first, short enough for a row."""


@dataclass(slots=True)
class ModelRow:
    """One line of the store; prices in USD per 1M tokens as text, empty when unpriced."""

    slug: str = ""
    href: str = ""
    name: str = ""
    seller: str = ""
    tags: list[str] = field(default_factory=list)
    context: str = ""
    input: str = ""
    output: str = ""
    input_from: str = ""
    output_from: str = ""
    price_note: str = ""
    released: str = ""
    status: str = ""
    tone: str = ""


@dataclass(slots=True)
class Choice:
    """One value of a filter, with how many models would be left if it were chosen."""

    facet: str = ""
    value: str = ""
    label: str = ""
    count: str = ""
    selected: bool = False


@dataclass(slots=True)
class Chip:
    """One filter in force; removing it is toggling it."""

    facet: str = ""
    value: str = ""
    label: str = ""


@dataclass(slots=True)
class Hit:
    """One line of the palette."""

    label: str = ""
    hint: str = ""
    href: str = ""


def model_row(summary: ModelSummary) -> ModelRow:
    sellers = counted(summary.offers, "offer")
    word, tone = status_text(summary.status)
    tags = [text for name, text in _TAGS.items() if name in summary.capabilities][:3]
    if summary.open_weights:
        tags.append("open")
    return ModelRow(
        slug=summary.id,
        href=f"/models/{summary.id}",
        name=summary.name,
        seller=f"{summary.creator_name} · {sellers}" if summary.creator_name else sellers,
        tags=tags,
        context=tokens_text(summary.context_tokens),
        input=price_text(shown_price(summary.own_input_nano, summary.input_nano)),
        output=price_text(shown_price(summary.own_output_nano, summary.output_nano)),
        input_from=from_text(summary.own_input_nano, summary.input_nano),
        output_from=from_text(summary.own_output_nano, summary.output_nano),
        price_note=price_note(summary.price_state, summary.input_nano, summary.output_nano),
        released=f"{summary.release_date:%b %Y}" if summary.release_date else "",
        status="" if summary.status == "active" else word,
        tone=tone,
    )


def shown_price(own: int | None, cheapest: int | None) -> int | None:
    """The price that a model is known by: its maker's where it sells the model itself, else the cheapest seller's."""
    return cheapest if own is None else own


def from_text(own: int | None, cheapest: int | None) -> str:
    """`from 1.25` where somebody asks less than the maker; empty otherwise."""
    return f"from {price_text(cheapest)}" if own is not None and cheapest is not None and cheapest < own else ""


def choices(facet: str, values: tuple[FacetValue, ...]) -> list[Choice]:
    """`facet` by its name in the address."""
    return [Choice(facet, one.value, one.label, f"{one.count:,}", one.selected) for one in values]


def hit(found: PaletteHit) -> Hit:
    return Hit(found.label, found.hint, found.href)


def status_text(status: str) -> tuple[str, str]:
    """The word for people and its tone."""
    return _STATUS.get(status, (status, "plain"))


def price_text(nano_per_million: int | None, digits: int = 5) -> str:
    """USD per 1M tokens with cents or as many places as it takes, empty when unknown: `0.25`, `0.025`, `10.00`.

    `digits`: significant ones that are kept; a list needs fewer than a price sheet.
    """
    if nano_per_million is None:
        return ""
    amount = usd_from_nano(nano_per_million)
    whole, _, fraction = f"{round(amount, max(2, digits - 1 - amount.adjusted())).normalize():f}".partition(".")
    return f"{int(whole):,}.{fraction.ljust(2, '0')}"


def price_note(price_state: str, input_nano: int | None, output_nano: int | None) -> str:
    """What stands where there is no price per token: never a blank and never 0."""
    if price_state == "free":
        return "free"
    if price_state != "priced":
        return UNPRICED
    return "other unit" if input_nano is None and output_nano is None else "—"


def tokens_text(tokens: int | None) -> str:
    """`400k`, `1M`, and 131,072 as `128k`: counts in powers of two read as people say them. Empty when unknown."""
    if tokens is None:
        return ""
    for size, binary, unit in ((1_000_000, 1_048_576, "M"), (1_000, 1_024, "k")):
        if tokens >= size:
            value = tokens / binary if tokens % size and tokens % binary == 0 else tokens / size
            return (f"{value:.1f}".rstrip("0").rstrip(".") if value < 10 else f"{value:.0f}") + unit
    return str(tokens)


def date_text(day: date | datetime | None) -> str:
    """`7 Aug 2025`; empty when unknown."""
    return f"{day.day} {day:%b %Y}" if day else ""


def month_text(stated: str | None) -> str:
    """`May 2024` for 2024-05, `31 Jul 2024` for 2024-07-31, and whatever is no date as it stands; empty when unknown."""
    if not stated:
        return ""
    try:
        return date_text(date.fromisoformat(stated)) if len(stated) > len("2024-05") else f"{date.fromisoformat(f'{stated}-01'):%b %Y}"
    except ValueError:
        return stated


def origin_text(source: str | None, as_of: date | None) -> str:
    """`genai-prices, 20 Nov 2026`: whose word a price is, and the day that it describes; empty when nobody has one."""
    return ", ".join(part for part in (source or "", date_text(as_of)) if part)


def age_text(since: datetime, now: datetime) -> str:
    """`12 minutes ago`, `3 hours ago`, `41 days ago`."""
    long = _duration(now - since)
    return f"{long} ago" if long else "just now"


def soon_text(at: datetime, now: datetime) -> str:
    """`within a minute`, `in 3 hours`."""
    long = _duration(at - now)
    return f"in {long}" if long else "within a minute"


def _duration(between: timedelta) -> str:
    """`3 hours`; empty for less than a minute."""
    seconds = int(between.total_seconds())
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return counted(seconds // size, unit)
    return ""


def milliseconds_text(milliseconds: float | None) -> str:
    """`402 ms`, `1.1 s`, or a dash where nothing was measured."""
    if milliseconds is None:
        return "—"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def counted(number: int, one: str, more: str = "") -> str:
    """`1 image`, `1,200 images`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def percent(number: str) -> str:
    """`18 %`, which no line breaks apart."""
    return f"{number}\u00a0%"


def percent_text(share: float) -> str:
    """How large a change is: `50 %`. One that rounds to nothing or to all of it is neither, so it has a place more or says how near it
    is."""
    size = abs(share)
    if 0.995 <= size < 1:
        return percent(">\u00a099")
    if 0 < size < 0.0005:
        return percent("<\u00a00.1")
    return percent((f"{size:.1%}" if size < 0.01 else f"{size:,.0%}").removesuffix("%"))


def freshness_text(freshness: Freshness, now: datetime) -> str:
    """The footer's sentences: how much there is, and how old it is, sources read at the same time together."""
    if not freshness.models:
        return "The catalog is still empty."
    text = f"{freshness.offers:,} offers of {freshness.models:,} models by {freshness.providers:,} providers."
    read: dict[str, list[str]] = {}
    for source in freshness.sources:
        # A list that was taken away was read as an empty one.
        if source.rows and (name := _SOURCES.get(source.source, source.source)) is not None:
            dated = f" of {date_text(source.data_date)}" if source.data_date else ""
            read.setdefault(age_text(source.read_at, now), []).append(name + dated)
    return " ".join([text, *(f"Read {age}: {listed(names)}." for age, names in read.items())])
